"""What counts as a failure of a model and what does not; which model runs after it; what the disk and memory hold."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from device_agent.update_parts import good_model

from edgewise_agent.protection.choosing import Chosen, choose, identity_of
from edgewise_agent.protection.crash_note import FILE_NAME as NOTE_NAME
from edgewise_agent.protection.hang_watch import HangWatch, Watched
from edgewise_agent.protection.hanging import write_hang_down
from edgewise_agent.protection.marker import Hand, Marker, marker_path
from edgewise_agent.protection.run_record import FILE_NAME, RunKeeper
from edgewise_agent.protection.settings import ProtectionSettings
from edgewise_agent.updates.model_store import SHADOW, ModelStore, file_sha256, slot_model
from edgewise_agent.updates.store_state import Place, Stage

SETTINGS = ProtectionSettings()
SEGV = "Segmentation fault"


class Device:
    """One pipeline's store and keeper, started and ended as an agent does; each start is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.boot = folder / "models", "boot-1"
        self.marker = folder / "marker"
        self.factory = good_model(folder / "factory.tflite", "factory")
        self.scratch = folder / "scratch"

    def start(self, *, signal: str = "", settings: ProtectionSettings = SETTINGS) -> Chosen:
        self.store = ModelStore(self.folder, self.factory, boot=self.boot)
        self.store.recover()
        self.keeper = RunKeeper(self.folder, Marker(self.marker), boot=self.boot, signal=signal)
        return choose(self.store, self.keeper, settings)

    def crash(self, *, busy: bool = True) -> None:
        """Dies, in the middle of an inference or not."""
        self.keeper.marker.mark(busy)

    def pull_the_plug(self) -> None:
        """Memory is lost, and the next boot is another one."""
        self.keeper.marker.begin()
        self.marker.unlink()
        self.boot = f"boot-{int(self.boot.removeprefix('boot-')) + 1}"

    def update(self, name: str, *, confirm: bool = True) -> None:
        made = good_model(self.scratch.with_name(f"{name}.tflite"), name)
        model = slot_model(target="models/door.tflite", sha256=file_sha256(made), version=int(name))
        self.store.take_in(made, model)
        self.store.advance(Stage.SHADOWED)
        self.store.switch()
        if confirm:
            self.store.confirm()
        self.keeper.begin(identity_of(self.store.running()))


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_a_confirmed_model_that_crashes_three_times_gives_way_to_the_one_before_it_then_to_the_factorys(
    device: Device,
) -> None:
    device.start()
    device.update("1")
    device.update("2")
    versions = []
    for _ in range(10):
        device.crash()
        chosen = device.start(signal=SEGV)
        versions.append((chosen.model.version, chosen.failures, chosen.is_stopped))
    assert versions[:3] == [(2, 1.0, False), (2, 2.0, False), (1, 0.0, False)]
    assert versions[3:6] == [(1, 1.0, False), (1, 2.0, False), (0, 0.0, False)]
    assert versions[6:] == [(0, 1.0, False), (0, 2.0, False), (0, 3.0, True), (0, 3.0, True)]
    assert (
        "failed 3 times in a row: the agent died of a Segmentation fault during an inference"
        in chosen.model.reason
    )
    assert len(device.store.state.rejected) == 2
    assert "no model before it" in chosen.why_stopped
    device.factory.write_bytes(device.factory.read_bytes() + b"\0")
    assert not device.start().is_stopped  # another file is another model


def test_an_unplugged_board_loses_no_model_however_often(device: Device) -> None:
    device.start()
    device.update("1")
    for _ in range(60):
        device.pull_the_plug()
        chosen = device.start()
        assert (chosen.model.version, chosen.failures) == (1, 0)


def test_a_plug_pulled_between_crashes_neither_adds_to_them_nor_ends_the_row(device: Device) -> None:
    device.start()
    found = []
    for _ in range(3):
        device.crash()
        found.append(device.start(signal=SEGV).failures)
        device.pull_the_plug()
        found.append(device.start().failures)
    assert found == [1, 1, 2, 2, 3, 3]


def test_ends_that_are_not_the_models_are_not_counted(device: Device) -> None:
    device.start()
    for _ in range(5):
        device.keeper.close()  # in order
        assert device.start().failures == 0
        device.crash(busy=False)  # kill -9 between two inferences, or a crash elsewhere
        assert device.start(signal=SEGV).failures == 0


def test_a_kill_during_an_inference_counts_half_and_so_does_one_of_which_nobody_knows(device: Device) -> None:
    device.start()
    device.crash()
    assert device.start().failures == 0.5
    device.marker.unlink()  # as in a container that was started again
    chosen = device.start()
    assert (chosen.failures, chosen.reason) == (1.0, "the agent was killed")


def test_kills_give_way_to_the_model_before_and_never_stop_the_last_one(device: Device) -> None:
    """Another program may eat the memory, or somebody sends kill -9."""
    device.start()
    device.update("1")
    for _ in range(6):
        device.crash()
        chosen = device.start()
    assert (chosen.model.place, chosen.failures) == (Place.FACTORY, 0)
    for _ in range(20):
        device.crash()
        chosen = device.start()
    assert (chosen.failures, chosen.wait_s, chosen.is_stopped) == (10, 300, False)
    assert replace(chosen, failures=5000).wait_s == 300  # some weeks later
    device.crash()
    assert device.start(signal=SEGV).is_stopped


def test_what_the_watch_was_blamed_for_is_not_counted_twice(device: Device) -> None:
    device.start()
    device.update("1", confirm=False)
    device.crash()
    chosen = device.start(signal=SEGV)
    assert (chosen.model.place, chosen.failures) == (Place.FACTORY, 0)


def test_a_good_run_ends_the_row_and_writes_only_where_there_was_one(device: Device) -> None:
    device.start()
    device.crash()
    device.start(signal=SEGV)
    device.keeper.forget()
    before = (device.folder / FILE_NAME).stat().st_ino
    device.keeper.forget()
    assert (device.folder / FILE_NAME).stat().st_ino == before
    device.crash()
    assert device.start(signal=SEGV).failures == 1


def test_a_start_and_an_end_are_one_small_write_each(device: Device) -> None:
    device.start()
    inodes = {(device.folder / FILE_NAME).stat().st_ino}
    for _ in range(1000):
        device.keeper.marker.begin()
        device.keeper.marker.end()
    assert inodes == {(device.folder / FILE_NAME).stat().st_ino}
    device.keeper.close()
    assert (device.folder / FILE_NAME).stat().st_size < 4096


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 100, b'{"schema":2}', b"[1]"])
def test_a_damaged_record_begins_anew(device: Device, damage: bytes) -> None:
    device.start()
    (device.folder / FILE_NAME).write_bytes(damage)
    assert device.start().failures == 0


def test_none_is_counted_where_the_settings_say_so(device: Device) -> None:
    settings = ProtectionSettings(failures=0)
    for _ in range(10):
        chosen = device.start(signal=SEGV, settings=settings)
        device.crash()
    assert not chosen.is_stopped


def test_a_failed_model_begins_later_each_time(device: Device) -> None:
    waits = []
    for _ in range(9):
        waits.append(device.start(signal=SEGV, settings=ProtectionSettings(failures=100)).wait_s)
        device.crash()
    assert waits == [0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_hangs_of_models_on_trial_take_them_back_and_others_are_counted(device: Device) -> None:
    told: list[tuple[str, int]] = []

    def hang(*, in_shadow: bool = False) -> str:
        blame = write_hang_down(device.folder, device.factory, device.keeper, "it hangs", in_shadow=in_shadow)
        told.extend([(blame.event, blame.model.version)] if blame.model else [])
        return blame.words

    device.start()
    assert hang() == "1 failures in a row"
    assert device.start().failures == 1
    device.update("1", confirm=False)
    assert hang() == "the model before runs again"
    chosen = device.start()
    assert (chosen.model.place, chosen.failures) == (Place.FACTORY, 1)
    made = good_model(device.scratch.with_name("2.tflite"), "2")
    model = slot_model(target="models/door.tflite", sha256=file_sha256(made), version=2)
    device.store.take_in(made, model)
    device.store.begin_trying(SHADOW)
    assert hang(in_shadow=True) == "it is rejected"
    assert device.start().failures == 1
    assert device.store.state.rejected[model.sha256] == "it hangs"
    assert told == [("update.rolled-back", 1), ("update.rejected", 2)]  # what a fleet's rollout looks for


def test_a_marker_outlives_a_killed_process_and_costs_no_file_of_the_card(tmp_path: Path) -> None:
    path = marker_path(tmp_path, "main", {})
    assert path is not None and path.is_relative_to("/dev/shm")
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from edgewise_agent.protection.marker import Marker\n"
        "Marker(Path(sys.argv[1])).begin(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
        marker = Marker(path)
        assert marker.last is Hand.BUSY
    marker.close()
    assert Marker(path).last is Hand.IDLE
    path.unlink()


def test_the_markers_place_is_systemds_or_memory_or_none(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    environment = {"RUNTIME_DIRECTORY": f"{tmp_path}/run:/other"}
    (tmp_path / "run").mkdir()
    mounts.write_text(f"/dev/root / ext4 rw 0 0\ntmpfs {tmp_path}/run tmpfs rw 0 0\n")
    found = marker_path(tmp_path, "main", environment, mounts=mounts)
    assert found is not None and found.parent == tmp_path / "run"
    mounts.write_text("tmpfs / tmpfs rw 0 0\n/dev/root / ext4 rw 0 0\n")
    assert marker_path(tmp_path, "main", environment, mounts=mounts) is None
    assert Marker(None).last is Hand.UNKNOWN


@pytest.mark.parametrize("spoil", ["link", "folder", "second name"])
def test_a_marker_that_is_not_this_users_own_file_is_left_alone(tmp_path: Path, spoil: str) -> None:
    path, other = tmp_path / "marker", tmp_path / "other"
    other.write_bytes(b"kept")
    if spoil == "link":
        path.symlink_to(other)
    elif spoil == "folder":
        path.mkdir()
    else:
        path.hardlink_to(other)
    marker = Marker(path)
    marker.begin()
    assert (marker.last, other.read_bytes()) == (Hand.UNKNOWN, b"kept")


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGSEGV, SEGV), (signal.SIGABRT, "Aborted"), (signal.SIGKILL, "")]
)
def test_a_process_that_dies_of_a_signal_leaves_a_note_and_a_killed_one_does_not(
    tmp_path: Path, number: signal.Signals, said: str
) -> None:
    code = (
        "import sys, os; from pathlib import Path\n"
        "from edgewise_agent.protection.crash_note import CrashNote\n"
        "note = CrashNote(Path(sys.argv[1])); os.kill(os.getpid(), int(sys.argv[2]))\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path), str(int(number))]
    assert subprocess.run(words).returncode == -number
    reading = (
        "import sys; from pathlib import Path; from edgewise_agent.protection.crash_note import CrashNote\n"
    )
    reading += "print(CrashNote(Path(sys.argv[1])).signal)"
    for expected in (said, ""):
        done = subprocess.run([sys.executable, "-c", reading, str(tmp_path)], capture_output=True, text=True)
        assert done.stdout.strip() == expected
    assert (tmp_path / NOTE_NAME).stat().st_size == 0


def watch(busy_s: Callable[[], float], limit_s: float = 0.2) -> tuple[HangWatch, list[str]]:
    told: list[str] = []
    return HangWatch([Watched("inference of main", busy_s, lambda: limit_s, told.append)]), told


def test_a_hang_is_told_once(tmp_path: Path) -> None:
    began_s = time.monotonic()
    looking, told = watch(lambda: time.monotonic() - began_s)
    with looking:
        while not told:
            time.sleep(0.01)
        looking.look()
    assert told == ["one inference of main took more than 0.2 s"]
    looking, told = watch(lambda: 1e9, limit_s=0.0)
    looking.look()
    assert told == []


def test_a_process_that_was_stopped_meanwhile_does_not_hang() -> None:
    looking, told = watch(lambda: 100.0, limit_s=60.0)
    looking._pauses.append((time.monotonic() - 1.0, 50.0))
    looking.look()
    assert told == []
    looking._pauses.clear()
    looking.look()
    assert told


def test_a_runtime_that_holds_pythons_lock_forever_ends_the_process() -> None:
    """sleep(3) called without giving the lock back: no thread of Python runs any more."""
    code = (
        "import ctypes, time\n"
        "from edgewise_agent.protection.hang_watch import HangWatch, Watched\n"
        "watched = Watched('inference', lambda: 0.0, lambda: 0.5, print)\n"
        "with HangWatch([watched], last_resort_s=1.0):\n"
        "    time.sleep(0.3)\n"
        "    ctypes.PyDLL(None).sleep(600)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Timeout (0:00:01)!" in done.stderr
