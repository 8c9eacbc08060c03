"""Shortened runs of the long benchmarks: benchmarks/soak.py and benchmarks/reconnect_storm.py."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.long
def test_every_accepted_record_is_in_the_fleets_table_once_and_unaltered_through_all_trouble_at_once() -> (
    None
):
    done = run("soak.py", "--minutes", "0.5", "--kills", "8", "--seed", "3", "--outage-s", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["missing"] == told["altered"] == told["dropped"] == told["quarantined"] == 0
    assert told["accepted"] > 1000
    assert told["trouble"]["kill -9 of the device"] == 8
    assert told["trouble"]["disk full"] >= 1
    assert told["trouble"]["collector killed"] >= 1


@pytest.mark.long
def test_fifty_agents_that_lose_their_broker_are_all_let_in_again() -> None:
    done = run("reconnect_storm.py", "--devices", "50", "--away-s", "1", "--after-s", "35", "--without-peer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r" 50 let in", done.stdout), done.stdout
