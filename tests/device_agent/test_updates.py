"""A device with a real repository, real models and the real trial in a child."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.update_parts import (
    TARGET,
    Device,
    Owner,
    Server,
    crashing_model,
    disagreeing_model,
    good_model,
    lying_model,
    settings_for,
    slow_model,
    write_photos,
)
from fleet.real_parts import wait_until

from edgewise import ModelFileError
from edgewise.testing import write_tiny_model
from edgewise_agent.commands.desk import Refuse
from edgewise_agent.errors import RepositoryRefused, RepositoryUnreachable, StoreError
from edgewise_agent.updates.model_store import ModelStore, Running, file_sha256
from edgewise_agent.updates.opening import open_current
from edgewise_agent.updates.store_state import Place

ALL = ["blue", "green", "red"]
MakeDevice = Callable[..., Device]


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path / "owner")


@pytest.fixture
def make_device(tmp_path: Path, owner: Owner) -> Iterator[MakeDevice]:
    made: list[Device] = []
    factory = write_tiny_model(tmp_path / "factory.tflite")
    photos = write_photos(tmp_path / "photos")

    def make(boot: str = "boot-1", **changes: Any) -> Device:
        made.append(Device(tmp_path / "state", settings_for(owner, **changes), factory, photos, boot))
        made[-1].start()
        return made[-1]

    yield make
    for device in made:
        device.live.close()
        assert (tmp_path / "factory.tflite").exists(), "the factory model is never touched"


def test_a_published_model_is_fetched_tried_switched_to_watched_and_confirmed(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    published = owner.publish(good_model(tmp_path / "one.tflite", "one"))
    running = device.settle()
    assert device.names() == ["update.fetched", "update.switched", "update.confirmed"]
    assert (running.place, running.version, running.sha256) == (Place.A, 1, published.sha256)
    assert running.reason == f"version 1 of {TARGET}, confirmed"
    assert file_sha256(device.live.path) == published.sha256
    assert device.answers() == ALL


def test_updates_go_from_slot_to_slot_and_a_command_goes_back(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    places = []
    for name in ("one", "two", "three"):
        owner.publish(good_model(tmp_path / f"{name}.tflite", name))
        places.append(device.settle().place)
    assert places == [Place.A, Place.B, Place.A]
    assert "runs" in device.manager.roll_back("asked by command c-1")
    assert device.manager.running().version == 2
    assert device.live.path == device.manager.running().path
    assert device.settle().version == 2, "what was taken back is not fetched again"
    assert device.names()[-1] == "update.rolled-back"
    device.manager.want(TARGET, again=True)
    assert device.settle().version == 3, "unless it is asked for"
    assert device.answers() == ALL


def test_with_nothing_new_nothing_is_written(owner: Owner, make_device: MakeDevice, tmp_path: Path) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    device.settle()
    state = (tmp_path / "state/models/door/state.json").stat().st_ino
    device.settle()
    assert (tmp_path / "state/models/door/state.json").stat().st_ino == state
    assert device.names().count("update.fetched") == 1


@pytest.mark.parametrize(
    ("make", "why", "changes"),
    [
        (lying_model, "it does not give its promised answers here", {}),
        (crashing_model, "the runtime died of SIGSEGV", {}),
        (disagreeing_model, "it answered 0 of 12 live inputs as the current model does", {}),
        (slow_model, "its median latency is", {"max_slowdown": 2.0, "shadow_inputs": 60}),
    ],
)
def test_a_bad_model_is_rejected_with_the_reason_and_not_tried_again(
    owner: Owner, make_device: MakeDevice, tmp_path: Path, make: Callable[[Path], Path], why: str,
    changes: dict[str, Any],
) -> None:  # fmt: skip
    device = make_device(**changes)
    owner.publish(make(tmp_path / "bad.tflite"))
    running = device.settle()
    assert (running.place, device.live.path) == (Place.FACTORY, tmp_path / "factory.tflite")
    assert device.names() == ["update.fetched", "update.rejected"]
    assert why in device.events[-1][1]
    device.settle()
    assert len(device.events) == 2, "told once, fetched never again"
    assert not list((tmp_path / "state/models/door/a").iterdir())
    owner.publish(good_model(tmp_path / "good.tflite", "good"))
    assert device.settle().version == 2, "the next good one is taken"


def test_a_model_that_does_not_come_to_an_end_is_rejected(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device(trial_s=0.01)
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    assert device.settle().place is Place.FACTORY
    assert "not done after 0.01 s" in device.events[-1][1]


def test_a_model_without_golden_cases_is_rejected(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(write_tiny_model(tmp_path / "bare.tflite", golden=()))
    device.settle()
    assert "carries no golden cases" in device.events[-1][1]


def test_an_older_version_is_left_alone_unless_a_command_allows_it(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "five.tflite", "five"), version=5)
    assert device.settle().version == 5
    old = owner.publish(good_model(tmp_path / "four.tflite", "four"), version=4)
    assert device.settle().version == 5
    assert device.events[-1] == (
        "update.refused",
        f"version 4 of {TARGET} is left alone: version 4 is older than 5, which ran here",
    )
    device.manager.want(TARGET, sha256=old.sha256, older=True)
    assert device.settle().version == 4


def test_another_digest_than_the_one_asked_for_is_refused(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    device.manager.want(TARGET, sha256="0" * 64)
    with pytest.raises(RepositoryRefused, match="is wanted"):
        device.step()
    with pytest.raises(Refuse, match="expected a name that ends in"):
        device.manager.want("models/door.sh")


def test_a_model_that_errs_after_the_switch_is_rolled_back(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    """The pictures break after the switch, so the model's errors do."""
    device = make_device(watch_inputs=1000)
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    while "update.switched" not in device.names():
        device.step()
    assert device.manager.running().reason.endswith("being watched")
    device.step()
    for photo in (tmp_path / "photos").iterdir():
        photo.write_bytes(b"broken")
    device.step()
    device.step()
    assert device.names()[-1] == "update.rolled-back"
    assert "of 12 inputs failed, 0.0% with the model before" in device.events[-1][1]
    assert device.live.path == tmp_path / "factory.tflite"
    write_photos(tmp_path / "photos")
    assert device.answers() == ALL


def test_an_agent_that_dies_during_the_watch_starts_with_the_model_before(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device(watch_inputs=1000)
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    while "update.switched" not in device.names():
        device.step()
    again = make_device()
    running = again.manager.running()
    assert running.place is Place.FACTORY
    assert running.reason == f"version 1 of {TARGET} was taken back: the agent died while it was watched"
    assert again.events == [("update.recovered", running.reason)]
    again.settle()
    assert again.names()[1:] == ["update.refused"]


def test_a_stop_in_order_during_the_watch_is_no_fault_of_the_model(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device(watch_inputs=1000)
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    while "update.switched" not in device.names():
        device.step()
    device.stop()
    assert make_device().settle().reason.endswith("confirmed")


def test_a_pulled_plug_during_the_watch_is_forgiven_twice(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device(watch_inputs=1000)
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    while "update.switched" not in device.names():
        device.step()
    versions = [make_device(boot=f"boot-{number}").manager.running().version for number in (2, 3, 4)]
    assert versions == [1, 1, 0]
    assert "went down 3 times" in make_device(boot="boot-5").manager.running().reason


def test_an_agent_that_dies_in_the_shadow_run_rejects_the_candidate(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    for _ in range(3):
        device.step()
    device.store.begin_trying("shadow")
    again = make_device()
    assert "died while it ran beside the current model" in again.events[0][1]
    again.settle()
    assert again.manager.running().place is Place.FACTORY


def test_a_damaged_slot_gives_way_to_the_model_before_and_is_fetched_again(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    for name in ("one", "two"):
        owner.publish(good_model(tmp_path / f"{name}.tflite", name))
        device.settle()
    data = bytearray(device.live.path.read_bytes())
    data[300] ^= 1
    device.live.path.write_bytes(data)
    again = make_device()
    assert again.manager.running().version == 1
    assert "its file is damaged" in again.manager.running().reason
    assert again.settle().version == 2


def test_a_damaged_state_starts_with_the_factory_model(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    device.settle()
    state = tmp_path / "state/models/door/state.json"
    for rubbish in (b"", b"{}}", b'{"current": "c"}', b'{"slots": {"a": {"file": "../../x", "sha256": ""}}}'):
        state.write_bytes(rubbish)
        again = make_device()
        assert again.manager.running().place is Place.FACTORY
        assert "cannot be read" in again.events[0][1]
    assert again.settle().version == 1


def test_a_download_goes_on_where_it_was_cut(owner: Owner, make_device: MakeDevice, tmp_path: Path) -> None:
    published = owner.publish(slow_model(tmp_path / "large.tflite"))
    with Server(owner.place) as server:
        device = make_device(repository=(server.url,))
        for cut in (100_000, 50_000):
            server.cut_after = cut
            with pytest.raises(RepositoryUnreachable):
                device.step()
        assert device.settle().sha256 == published.sha256
        ranges = [span for path, span in server.requests if "targets/" in path]
    assert ranges == ["", "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_is_read_from_the_beginning(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    published = owner.publish(slow_model(tmp_path / "large.tflite"))
    with Server(owner.place) as server:
        server.ranges = False
        device = make_device(repository=(server.url,))
        server.cut_after = 100_000
        with pytest.raises(RepositoryUnreachable):
            device.step()
        assert device.settle().sha256 == published.sha256


def test_a_stick_is_found_when_it_appears_and_the_next_place_helps_out(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device(repository=("http://127.0.0.1:1", str(tmp_path / "media/*/edgewise")))
    with pytest.raises(RepositoryUnreachable, match="Connection refused"):
        device.step()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    (tmp_path / "media/stick").mkdir(parents=True)
    owner.place.rename(tmp_path / "media/stick/edgewise")
    (tmp_path / "owner/repository/metadata").mkdir(parents=True)
    root = tmp_path / "owner/repository/metadata/1.root.json"
    root.write_bytes((tmp_path / "media/stick/edgewise/metadata/1.root.json").read_bytes())
    assert device.settle().version == 1


def test_a_failure_is_told_once_and_retried_ever_later(owner: Owner, make_device: MakeDevice) -> None:
    device = make_device(repository=("http://127.0.0.1:1",), poll_s=1000.0)
    waits = [device.manager._guarded_step() for _ in range(8)]
    assert device.names() == ["update.failed"]
    assert waits[0] < waits[2] < waits[4]
    assert max(waits) <= 1100.0


def test_a_look_that_the_agents_end_breaks_off_is_no_failure(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    """The agent knows of its end before it stops the updater."""
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    device.is_stopping = True
    with pytest.raises(RepositoryUnreachable, match="broken off"):
        device.manager.step()
    device.manager._guarded_step()
    assert device.names() == []


def test_the_thread_updates_by_itself_and_stops(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device(watch_inputs=6)
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    thread = threading.Thread(target=device.manager.run)
    thread.start()
    wait_until(lambda: (device.live.work(3), "update.confirmed" in device.names())[1], "it is confirmed")
    device.manager.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert device.manager.running().version == 1


def test_another_factory_model_in_the_settings_is_run(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    device.settle()
    store = ModelStore(tmp_path / "state/models/door", good_model(tmp_path / "mine.tflite", "mine"), boot="b")
    running = store.recover()
    assert (running.path.name, running.place) == ("mine.tflite", Place.FACTORY)
    assert running.reason == "the settings name another model than when the last update came"


def test_a_model_that_cannot_be_opened_at_a_start_gives_way_to_the_one_before(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    device.settle()
    store = ModelStore(tmp_path / "state/models/door", tmp_path / "factory.tflite", boot="b")
    store.recover()

    def load(running: Running) -> str:
        if running.place is not Place.FACTORY:
            raise ModelFileError("a runtime that no longer runs it")
        return "factory"

    opened, running = open_current(store, load)
    assert opened == "factory"
    assert running.reason.endswith("it cannot be opened: a runtime that no longer runs it")


def test_a_disk_that_refuses_to_be_written_changes_nothing(
    owner: Owner, make_device: MakeDevice, tmp_path: Path
) -> None:
    device = make_device()
    owner.publish(good_model(tmp_path / "one.tflite", "one"))
    folder = tmp_path / "state/models/door"
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(StoreError, match="the model that runs stays"):
        device.settle()
    assert device.live.path == tmp_path / "factory.tflite"
    folder.unlink()
    assert device.settle().version == 1
