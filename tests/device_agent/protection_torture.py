"""Lives of devices whose model crashes, hangs or is sound, with power cuts and kills in between.

A life is a device that runs version 2, confirmed, with version 1 in the other slot and a factory model, and some tens
of events drawn at random. Every run of the "agent" is a process of its own, forked; it opens store, marker and run
record as an agent does. A crash is a real SIGSEGV inside ctypes, a kill a real SIGKILL; a pulled plug ends the process
at a random operation on a file of the state folder, loses what was not flushed, takes the memory along and begins
another boot. After each event a fresh start says what it would run. What is looked for:

- a sound model is never given up, however often the plug is pulled or the process is killed between two inferences;
- a model that fails is given up after its failures, not before, for the one before it, and after the factory model
  nothing runs, unless it was only ever killed;
- no start fails, and no file of a model that is to run is damaged.
"""

import ctypes
import json
import logging
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree

from device_agent.update_parts import good_model
from device_agent.update_torture import CUT, cut_at, in_child

from edgewise_agent.protection.choosing import Chosen, choose
from edgewise_agent.protection.crash_note import CrashNote
from edgewise_agent.protection.hanging import write_hang_down
from edgewise_agent.protection.marker import Marker
from edgewise_agent.protection.run_record import RunKeeper
from edgewise_agent.protection.settings import ProtectionSettings
from edgewise_agent.updates.model_store import ModelStore, file_sha256, slot_model
from edgewise_agent.updates.store_state import Stage

SETTINGS = ProtectionSettings()
STEPS = 24
"""A start and an end have about so many operations on files."""
ORDER = (2, 1, 0, -1)
"""Versions as they are given up; 0 is the factory model, -1 none."""
CHARACTERS = {
    "sound": {"in order": 3, "killed between two": 2, "unplugged at work": 4, "unplugged at a step": 4},
    "crashing": {
        "in order": 1,
        "killed between two": 1,
        "unplugged at work": 1,
        "unplugged at a step": 1,
        "crash": 6,
    },
    "hanging": {
        "in order": 1,
        "killed between two": 1,
        "unplugged at work": 1,
        "unplugged at a step": 1,
        "hang": 6,
    },
    "hanging and killed": {"in order": 1, "hang": 3, "hang, killed at a step": 3},
    "out of memory": {"in order": 1, "unplugged at a step": 1, "killed at work": 6},
}
"""Events and how often they come."""


@dataclass
class Lives:
    """What came of them."""

    events: Counter[str] = field(default_factory=Counter)
    ended_with: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class Life:
    """One device."""

    folder: Path
    factory: Path
    """One for all lives: a model at another place is another one."""
    boot: int = 1
    least_halves: int = 0
    """Half failures that must have been counted."""
    most_halves: int = 0
    """And that may."""

    @property
    def marker(self) -> Path:
        return self.folder / "marker"

    def start(self) -> Chosen:
        """As an agent does, in this process."""
        boot = f"boot-{self.boot}"
        store = ModelStore(self.folder / "state/models", self.factory, boot=boot)
        store.recover()
        note = CrashNote(self.folder / "state")
        keeper = RunKeeper(self.folder / "state/models", Marker(self.marker), boot=boot, signal=note.signal)
        chosen = choose(store, keeper, SETTINGS)
        if not chosen.is_stopped:
            keeper.marker.begin()  # the model is opened
            keeper.marker.end()
        return chosen

    def plug(self) -> None:
        self.marker.unlink(missing_ok=True)
        self.boot += 1


def live_once(life: Life, event: str, chance: random.Random, said: Path) -> str:
    """One run of the agent that ends with this event; what is wrong, else empty."""
    step = chance.randint(1, STEPS)

    def work() -> None:
        if event == "unplugged at a step":
            cut_at(life.folder / "state", step, power=True)
        chosen = life.start()
        if chosen.is_stopped:
            chosen.keeper.close()
            return
        chosen.keeper.marker.mark(event not in ("in order", "killed between two"))
        match event:
            case "crash":
                ctypes.string_at(0)
            case "killed between two" | "killed at work" | "unplugged at work":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang" | "hang, killed at a step":
                if event != "hang":
                    cut_at(life.folder / "state", 1 + step % 5, power=False)
                write_hang_down(
                    life.folder / "state/models", life.factory, chosen.keeper, "it hangs", in_shadow=False
                )
                os._exit(0)  # as execve leaves: nothing is closed
        chosen.keeper.close()

    code = in_child(work, said=said)
    if code == 1:
        return said.read_text()
    was_cut = code == CUT
    if event.startswith("unplugged"):
        life.plug()
        # What the start found out about the run before may be lost with it.
        life.least_halves -= 2 if was_cut else 0
    elif event in ("crash", "hang"):
        life.least_halves += 2
        life.most_halves += 2
    elif event in ("killed at work", "hang, killed at a step"):
        life.least_halves += 1
        life.most_halves += 2 if event != "killed at work" else 1
    life.least_halves = max(life.least_halves, 0)
    return ""


def look(life: Life, told: Path, said: Path) -> str:
    """A start that ends in order: what does it run?"""

    def work() -> None:
        chosen = life.start()
        if chosen.model.sha256:
            assert file_sha256(chosen.model.path) == chosen.model.sha256
        assert chosen.model.reason
        version = -1 if chosen.is_stopped else chosen.model.version
        told.write_text(json.dumps([version, chosen.failures, chosen.model.reason]))
        chosen.keeper.close()

    return (
        "" if in_child(work, said=said) == 0 else said.read_text() if said.exists() else "it hung or crashed"
    )


def prepare(folder: Path) -> Path:
    """A device with versions 1 and 2 confirmed."""
    folder.mkdir(parents=True)
    factory = good_model(folder / "factory.tflite", "factory")

    def work() -> None:
        life = Life(folder, factory)
        (folder / "state").mkdir()
        chosen = life.start()
        store = ModelStore(folder / "state/models", factory, boot="boot-1")
        store.recover()
        for version in (1, 2):
            made = good_model(folder / "made.tflite", str(version))
            model = slot_model(target="models/door.tflite", sha256=file_sha256(made), version=version)
            store.take_in(made, model)
            store.advance(Stage.SHADOWED)
            store.switch()
            store.confirm()
        chosen.keeper.close()

    said = folder / "said"
    assert in_child(work, said=said) == 0, said.read_text()
    return folder


def one_life(
    origin: Path, scratch: Path, character: str, events: int, chance: random.Random, lives: Lives
) -> None:
    """From the first event to the last, or to the first thing that is wrong."""
    life = Life(Path(copytree(origin, scratch)), origin / "factory.tflite")
    told, said = scratch / "told", scratch / "said"
    kinds = CHARACTERS[character]
    for number in range(events):
        (event,) = chance.choices(list(kinds), list(kinds.values()))
        lives.events[event] += 1
        wrong = live_once(life, event, chance, said) or look(life, told, said)
        if not wrong:
            version, failures, reason = json.loads(told.read_text())
            # Where halves and wholes mix, each model may be given up half a failure late: 2.5 and 1 are more than 3.
            late = 1 if "hang, killed at a step" in kinds else 0
            least = min(life.least_halves // (2 * SETTINGS.failures + late), 3)
            most = min(life.most_halves // (2 * SETTINGS.failures), 2 if character == "out of memory" else 3)
            # Nor do kills alone stop the factory model.
            least = min(least, 3 if character in ("crashing", "hanging") else 2)
            if not least <= ORDER.index(version) <= most:
                wrong = f"runs version {version} ({reason}; {failures} failures), expected {ORDER[least : most + 1]}"
        if wrong:
            lives.failures.append(f"{character}, event {number} ({event}): {wrong}")
            return
    lives.ended_with[f"{character}: version {json.loads(told.read_text())[0]}"] += 1


def torture_lives(folder: Path, *, lives: int, events: int, seed: int, show: Callable[[str], None]) -> Lives:
    """So many lives of each character."""
    chance, found = random.Random(seed), Lives()
    logging.disable(logging.CRITICAL)
    origin = prepare(folder / "origin")
    for character in CHARACTERS:
        for number in range(lives):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                one_life(origin, Path(scratch) / "life", character, events, chance, found)
            if number % 10 == 9:
                show(f"{character}: {number + 1} lives, {len(found.failures)} failures")
    return found
