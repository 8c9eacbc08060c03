"""Update torture: cuts at every step and at random moments; models that crash, hang or are sound, for whole lives.

.venv/bin/python benchmarks/update_torture.py                     # every step, 1000 random kills; some minutes
.venv/bin/python benchmarks/update_torture.py --every 3 --random 60
.venv/bin/python benchmarks/update_torture.py --only lives --lives 100 --events 40    # crashes, hangs, power cuts
.venv/bin/python benchmarks/update_torture.py --only agents --agents 20               # real agents that really hang

Exit code 1 when a device does not end on a working model.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder, whose fleet.py is not the tests' fleet
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from device_agent.agent_torture import Agents, torture_agents
from device_agent.protection_torture import Lives, torture_lives
from device_agent.update_torture import Tally, torture


def main() -> None:
    """Run it and print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("updates", "lives", "agents"), help="one part; by default all")
    parser.add_argument("--every", type=int, default=1, help="updates: cut at each so many steps")
    parser.add_argument("--random", type=int, default=1000, help="updates: kills at random moments")
    parser.add_argument("--lives", type=int, default=20, help="devices of each character")
    parser.add_argument("--events", type=int, default=30, help="crashes, hangs, cuts in a life")
    parser.add_argument("--agents", type=int, default=8, help="real agents whose model hangs")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    # In memory, where a flush costs nothing: what a pulled plug loses is the test's doing, not the disk's.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for name, run in PARTS.items():
            if asked.only in (None, name):
                began_s = time.monotonic()
                told[name] = _counts(run(Path(folder) / name, asked))
                told[name]["took_s"] = round(time.monotonic() - began_s, 1)
    print(json.dumps(told, indent=1))
    raise SystemExit(any(part["failed"] for part in told.values()))


def _updates(folder: Path, asked: argparse.Namespace) -> Tally:
    folder.mkdir()
    return torture(folder, random_cuts=asked.random, every=asked.every, seed=asked.seed, show=_show)


def _lives(folder: Path, asked: argparse.Namespace) -> Lives:
    folder.mkdir()
    return torture_lives(folder, lives=asked.lives, events=asked.events, seed=asked.seed, show=_show)


def _agents(folder: Path, asked: argparse.Namespace) -> Agents:
    return torture_agents(folder, agents=asked.agents, seed=asked.seed, show=_show)


PARTS: dict[str, Callable[[Path, argparse.Namespace], Tally | Lives | Agents]] = {
    "updates": _updates,
    "lives": _lives,
    "agents": _agents,
}


def _counts(found: Tally | Lives | Agents) -> dict[str, Any]:
    counters = {key: dict(value.most_common()) for key, value in vars(found).items() if key != "failures"}
    return {**counters, "failures": found.failures[:20], "failed": len(found.failures)}


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
