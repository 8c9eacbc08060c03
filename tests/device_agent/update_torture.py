"""Cuts a device's update at every step and at random moments, and looks what it then starts with.

Every trial is a process of its own, forked from this one, which has imported everything and started nothing: no
threads, no runtime. A cut is one of

- step k: the process ends just before its k-th operation on a file below the state folder. Python's audit hooks tell of
  each (open, rename, remove, mkdir, rmdir), so that no product code knows of the test. With ``power`` what was
  written and not flushed with fsync is then lost, as when the plug is pulled: such files are cut to half.
- time: SIGKILL after a random time, wherever it is then: in the middle of a write, or while the child tries a model.

After each cut a fresh start must end on a model that answers the three pictures rightly, be one of those it may be,
and say which and why; after that the device, left alone, must come to the end that an uncut one comes to.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copyfile, copytree, rmtree

from device_agent.update_parts import (
    TARGET,
    Device,
    Owner,
    crashing_model,
    disagreeing_model,
    good_model,
    lying_model,
    settings_for,
    slow_model,
    write_photos,
)

import edgewise
from edgewise.testing import write_tiny_model
from edgewise_agent.updates.trial import ChildTrial
from edgewise_fleet.publishing import PublishedRepository

ALL = ["blue", "green", "red"]
CUT = 77
"""The exit code of a process that was cut at a step."""
TOO_LONG_S = 60.0
LONGEST_S = 0.4
"""An update with the real child takes about this long here."""
WATCHED_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
BAD = {"lying": lying_model, "crashing": crashing_model, "disagreeing": disagreeing_model, "slow": slow_model}


class QuickTrial:
    """The golden cases in this process, which is one of its own already: for cuts that are about the disk."""

    def try_model(self, path: Path) -> str:
        try:
            with edgewise.load(path) as model:
                return "" if model.self_test().passed else "it does not give its promised answers"
        except edgewise.EdgewiseError as error:
            return str(error)


@dataclass
class Tally:
    """What came of the cuts."""

    cuts: Counter[str] = field(default_factory=Counter)
    started_with: Counter[str] = field(default_factory=Counter)
    ended_with: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """A device before an update: what it has, and what its owner has published since."""

    name: str
    folder: Path
    may_start_with: tuple[int, ...]
    """Versions; 0 is the factory model."""
    must_end_with: tuple[int, ...]
    settings: tuple[tuple[str, object], ...] = ()

    def device(self, state: Path, *, boot: str, quick: bool) -> Device:
        owner = object.__new__(Owner)
        owner.folder = self.folder / "owner"
        owner.__dict__["repository"] = _Repository(owner.folder / "repository")
        settings = settings_for(owner, **dict(self.settings))
        trial = QuickTrial() if quick else ChildTrial(settings)
        return Device(state, settings, self.folder / "factory.tflite", self.folder / "photos", boot, trial)


@dataclass(frozen=True)
class _Repository:
    """What a device knows of it."""

    folder: Path

    @property
    def root_file(self) -> Path:
        return self.folder / "metadata/1.root.json"


def build_scene(
    folder: Path,
    name: str,
    second: Callable[[Path], Path] | None = None,
    spoil: Callable[[Owner, Path], None] | None = None,
) -> Scene:
    """A device that runs version 1, and a version 2: a good one, or ``second``; then ``spoil`` the repository."""
    folder.mkdir(parents=True)
    write_tiny_model(folder / "factory.tflite")
    write_photos(folder / "photos")
    owner = Owner(folder / "owner")
    owner.publish(good_model(folder / "one.tflite", "one"))
    # On a busy machine even a slow model can measure as quick as the other one; it answers rightly all the same.
    ends = (2,) if second is None and spoil in (None, corrupt_delta) else (1, 2) if name == "slow" else (1,)
    settings = (("max_slowdown", 3.0), ("shadow_inputs", 20)) if name == "slow" else ()
    scene = Scene(name, folder, tuple({1, *ends}), ends, settings)
    before, said = replace(scene, settings=()), folder / "said"
    code = in_child(
        lambda: _settle(before.device(folder / "state", boot="boot-0", quick=True), {1}), said=said
    )
    assert code == 0, said.read_text()
    two = (second or (lambda path: good_model(path, "two")))(folder / "two.tflite")
    if spoil is None or not spoil.__name__.startswith("publish"):
        # With a delta the whole file, which is spoilt, would not be needed.
        published = owner.publish(two, delta=spoil is None or spoil is corrupt_delta)
        if spoil:
            spoil(owner, owner.target_file(published))
    else:
        spoil(owner, two)
    return scene


def corrupt(owner: Owner, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def corrupt_delta(owner: Owner, file: Path) -> None:
    """The whole file is fetched then."""
    deltas = list(owner.place.glob("targets/deltas/**/*.bsdiff"))
    assert deltas, "there is a delta"
    for delta in deltas:
        corrupt(owner, delta)


def truncate(owner: Owner, file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def forge_signature(owner: Owner, file: Path) -> None:
    path = owner.place / "metadata/timestamp.json"
    document = json.loads(path.read_text())
    document["signatures"][0]["sig"] = "00" * 64
    path.write_text(json.dumps(document))


def mix_releases(owner: Owner, file: Path) -> None:
    copyfile(owner.place / "metadata/2.targets.json", owner.place / "metadata/3.targets.json")


def publish_older(owner: Owner, two: Path) -> None:
    owner.publish(two, version=0)


def publish_frozen(owner: Owner, two: Path) -> None:
    days = {"root": 1, "targets": 1, "snapshot": 1, "timestamp": -1}
    PublishedRepository(owner.place, owner.repository.keys, days).publish(two, target=TARGET)


SPOILED = {
    "corrupted": corrupt, "damaged delta": corrupt_delta, "truncated": truncate, "wrong signature": forge_signature,
    "mixed": mix_releases, "older": publish_older, "frozen": publish_frozen,
}  # fmt: skip


def _settle(device: Device, versions: set[int]) -> None:
    device.start()
    running = device.settle(guarded=True)
    assert running.version in versions, (
        f"ended with version {running.version}: {running.reason}; {device.events}"
    )
    assert device.answers() == ALL
    device.stop()


def in_child(
    work: Callable[[], object], *, kill_after_s: float | None = None, said: Path | None = None
) -> int:
    """Fork, work, end without tidying up: 0, 1 after an error (told in ``said``), CUT, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            signal.alarm(int(TOO_LONG_S))
            work()
            code = 0
        except BaseException:
            if said is not None:
                said.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError):  # the child that tried a model, if it was left
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def cut_at(state: Path, step: int, *, power: bool, counter: Path | None = None) -> None:
    """End this process before its ``step``-th operation below ``state``; with a ``counter`` only count them."""
    top = str(state)
    count = 0
    is_busy = False
    dirty: set[str] = set()
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        flush(descriptor)
        with contextlib.suppress(OSError):
            dirty.discard(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count, is_busy
        if is_busy or event not in WATCHED_EVENTS or not str(arguments[0]).startswith(top):
            return
        path = str(arguments[0])
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if not flags & (os.O_WRONLY | os.O_RDWR):
                return
        is_busy = True
        count += 1
        if counter is not None:
            counter.write_text(str(count))
        elif count == step:
            for file in dirty if power else ():
                with contextlib.suppress(OSError):
                    os.truncate(file, Path(file).stat().st_size // 2)
            os._exit(CUT)
        if event == "open":
            dirty.add(path)
        elif event == "os.rename" and path in dirty:
            dirty.discard(path)
            dirty.add(str(arguments[1]))
        is_busy = False

    os.fsync = fsync
    sys.addaudithook(hook)


def count_steps(scene: Scene, scratch: Path) -> int:
    """How many operations an uncut update has."""
    state = _fresh(scene, scratch)
    counter = scratch / "count"

    def work() -> None:
        device = scene.device(state, boot="boot-1", quick=True)
        cut_at(state, 0, power=False, counter=counter)
        _settle(device, set(scene.must_end_with))

    said = scratch / "said"
    assert in_child(work, said=said) == 0, said.read_text()
    return int(counter.read_text())


def cut_once(
    scene: Scene,
    scratch: Path,
    tally: Tally,
    *,
    step: int = 0,
    power: bool = False,
    after_s: float | None = None,
) -> None:
    """One cut, a start, and the rest of the way."""
    what = f"{scene.name}: " + (
        f"killed after {after_s * 1000:.0f} ms" if after_s is not None else f"step {step}"
    )
    what += " (power)" if power else ""
    state, said = _fresh(scene, scratch), scratch / "said"
    quick = after_s is None

    def update() -> None:
        device = scene.device(state, boot="boot-1", quick=quick)
        if after_s is None:
            cut_at(state, step, power=power)
        _settle(device, set(scene.must_end_with))

    code = in_child(update, kill_after_s=after_s, said=said)
    if code == 1:
        tally.failures.append(f"{what}: {said.read_text()}")
        return
    tally.cuts["cut at a step" if code == CUT else "killed" if code < 0 else "ended before the cut"] += 1
    # A plug that is pulled ends the boot; a process that is killed does not.
    boot = "boot-2" if power else "boot-1"
    told, ended = scratch / "told", scratch / "ended"

    def look() -> None:
        quick = scene.name != "crashing"  # that one kills whoever opens it
        device = scene.device(state, boot=boot, quick=quick)
        running = device.start()
        told.write_text(json.dumps([running.version, running.reason]))
        assert running.version in scene.may_start_with, (
            f"started with version {running.version}: {running.reason}"
        )
        assert running.reason
        assert device.answers() == ALL
        device.stop()
        device = scene.device(state, boot=boot, quick=quick)
        device.start()
        running = device.settle(guarded=True)
        if running.version not in scene.must_end_with:
            # Killed during its watch version 2 is blamed, and version 1 stays until it is asked for again.
            blamed = [why for why in device.store.state.rejected.values() if "died while" in why]
            assert blamed, f"ended with version {running.version}: {running.reason}; {device.events}"
        assert device.answers() == ALL
        ended.write_text(f"{scene.name}: version {running.version}")
        device.stop()

    if in_child(look, said=said) != 0:
        tally.failures.append(f"{what}: {said.read_text() if said.exists() else 'it hung or crashed'}")
        return
    version, reason = json.loads(told.read_text())
    tally.ended_with[ended.read_text()] += 1
    tally.started_with[f"version {version}: {reason}"] += 1


def _fresh(scene: Scene, scratch: Path) -> Path:
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return Path(copytree(scene.folder / "state", scratch / "state"))


def torture(folder: Path, *, random_cuts: int, every: int, seed: int, show: Callable[[str], None]) -> Tally:
    """All of it: each scene at every ``every``-th step, twice, and ``random_cuts`` kills over the scenes."""
    tally, chance = Tally(), random.Random(seed)
    scenes = [build_scene(folder / "good", "good")]
    scenes += [build_scene(folder / name, name, make) for name, make in BAD.items()]
    scenes += [build_scene(folder / name, name, spoil=spoil) for name, spoil in SPOILED.items()]
    scratch = folder / "scratch"
    for scene in scenes:
        if scene.name == "crashing":  # it kills whoever opens it: only the real child may, in the random cuts
            continue
        steps = count_steps(scene, scratch)
        for power in (False, True):
            for step in range(1, steps + 1, every):
                cut_once(scene, scratch, tally, step=step, power=power)
        show(
            f"{scene.name}: {steps} steps; {sum(tally.cuts.values())} cuts so far, {len(tally.failures)} failures"
        )
    for number in range(random_cuts):
        scene = scenes[number // 2 % len(scenes)] if number % 2 else scenes[0]
        cut_once(scene, scratch, tally, after_s=chance.uniform(0.0, LONGEST_S))
    show(f"random: {sum(tally.cuts.values())} cuts in all, {len(tally.failures)} failures")
    return tally
