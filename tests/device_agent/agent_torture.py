"""Real agents whose confirmed model does not come back from one picture in three, killed at random moments besides.

Each is `edgewise agent run` with a real runtime in a real endless loop (see hanging_files.py), started again by this
process when it is killed, as a service manager does. It must end on version 1, at work, by itself.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from device_agent.agent_parts import AgentProcess, accepted
from device_agent.hanging_files import write_looping_model
from device_agent.update_parts import write_photos

from edgewise.testing import write_tiny_model
from edgewise_agent.updates.model_store import ModelStore, file_sha256, slot_model
from edgewise_agent.updates.store_state import Stage

TARGET = "models/door.onnx"
LONGEST_S = 120.0
SETTINGS = """\
[device]
id = "cam-1"
group = "test"
state_dir = "state"
[pipelines.main]
model = "factory.tflite"
source = "photos"
interval_s = 0.02
events = "all"
[broker]
url = "mqtt://127.0.0.1:1"
[outbox]
commit_interval_s = 0.05
[status]
port = 0
[protection]
hang_s = 1.0
failures = 2
"""
KILLS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM)


@dataclass
class Agents:
    """What came of them."""

    signals: Counter[str] = field(default_factory=Counter)
    ended_with: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def prepare(folder: Path) -> Path:
    """Version 1 is sound, version 2 hangs at blue pictures; both are confirmed. The settings file."""
    folder.mkdir(parents=True)
    write_photos(folder / "photos")
    factory = write_tiny_model(folder / "factory.tflite")
    store = ModelStore(folder / "state/models/main", factory)
    store.recover()
    for version, turns in ((1, 1.0), (2, 1e15)):
        made = write_looping_model(folder / "made.onnx", f"v{version}", turns=turns)
        store.take_in(made, slot_model(target=TARGET, sha256=file_sha256(made), version=version))
        store.advance(Stage.SHADOWED)
        store.switch()
        store.confirm()
    config = folder / "agent.toml"
    config.write_text(SETTINGS)
    return config


def one_agent(folder: Path, kills: int, chance: random.Random, found: Agents) -> None:
    """From its start with version 2 until version 1 is at work."""
    config = prepare(folder)
    agent = AgentProcess(config, folder / "log")
    give_up_s = time.monotonic() + LONGEST_S
    kill_at_s = sorted(time.monotonic() + chance.uniform(0.0, 10.0) for _ in range(kills))
    version = 2
    try:
        while time.monotonic() < give_up_s and version != 1:
            time.sleep(0.1)
            if kill_at_s and time.monotonic() > kill_at_s[0]:
                kill_at_s.pop(0)
                found.signals[(how := chance.choice(KILLS)).name] += 1
                agent.end(how)
            if agent.process.poll() is not None:
                agent.wait()
                agent = AgentProcess(config, folder / "log")
            store = ModelStore(folder / "state/models/main", folder / "factory.tflite")
            store.read()
            version = store.running().version
        before = accepted(folder / "state", folder)
        time.sleep(3.0)
        works = accepted(folder / "state", folder) > before and agent.process.poll() is None
        found.ended_with[f"version {version}, {'at work' if works else 'NOT at work'}"] += 1
        if version != 1 or not works:
            found.failures.append(f"version {version}, works: {works}; {agent.said[-1500:]}")
    finally:
        agent.kill()


def torture_agents(folder: Path, *, agents: int, seed: int, show: Callable[[str], None]) -> Agents:
    """So many, one after another, each killed up to three times on its way."""
    chance, found = random.Random(seed), Agents()
    for number in range(agents):
        one_agent(folder / f"agent-{number}", number % 4, chance, found)
        if number % 5 == 4:
            show(f"agents: {number + 1}, {len(found.failures)} failures")
    return found
