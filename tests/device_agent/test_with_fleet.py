"""Agent, broker and fleet together, each its own process: what the agent accepted is in the fleet's table once."""

import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import AgentProcess, accepted
from fleet.real_parts import EDGEWISE, WAIT_S, Mosquitto, wait_until

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]


@pytest.fixture
def keeping_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Keeps its sessions and messages over a restart."""
    folder = tmp_path / "keeping"
    folder.mkdir()
    made = Mosquitto(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def fleet_store(tmp_path: Path, keeping_broker: Mosquitto) -> Iterator[Path]:
    """The store of a fleet server that listens to the broker."""
    store = tmp_path / "fleet.db"
    command = [
        EDGEWISE,
        "fleet",
        "serve",
        "--port",
        "0",
        "--broker",
        keeping_broker.url,
        "--store",
        str(store),
    ]
    with (tmp_path / "fleet.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout
    assert re.match("Fleet page:", process.stdout.readline())
    yield store
    process.terminate()
    process.wait(WAIT_S)
    process.stdout.close()


def stored(store: Path) -> list[tuple[str, int]]:
    """(boot, seq) of every record in the fleet's table."""
    database = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    rows = database.execute("SELECT boot, seq FROM records JOIN boots ON boots.id = boot_id").fetchall()
    database.close()
    return rows


@pytest.mark.parametrize("outage_s", [3, pytest.param(60, marks=pytest.mark.long)])
def test_every_record_is_in_the_fleets_table_once_after_kills_and_an_outage(
    outage_s: int,
    keeping_broker: Mosquitto,
    fleet_store: Path,
    write_config: WriteConfig,
    start_agent: StartAgent,
    tmp_path: Path,
) -> None:
    config = write_config(keeping_broker.url, pipeline={"interval_s": 0.002})
    for kill_number in range(1, 4):
        agent = start_agent(config)
        wait_until(lambda count=100 * kill_number: len(stored(fleet_store)) >= count, "records are stored")
        wait_until(
            lambda number=kill_number: len({boot for boot, _ in stored(fleet_store)}) == number, "this boot"
        )
        agent.kill()
    agent = start_agent(config)
    wait_until(lambda: len({boot for boot, _ in stored(fleet_store)}) == 4, "the fourth boot reports")
    keeping_broker.stop()
    agent.wait_until_said("next attempt in")
    before = accepted(tmp_path / "state", tmp_path)
    time.sleep(outage_s)
    assert accepted(tmp_path / "state", tmp_path) > before, "it goes on accepting records without a broker"
    keeping_broker.start()
    wait_until(lambda: agent.said.count("INFO broker: connected") == 2, "it is connected again")
    assert agent.end() == 0
    count = accepted(tmp_path / "state", tmp_path)
    wait_until(lambda: len(stored(fleet_store)) >= count, f"all {count} accepted records are stored")
    assert sorted(seq for _, seq in stored(fleet_store)) == list(range(1, count + 1))
