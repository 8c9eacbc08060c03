import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/update_torture.py"
FEWEST_CUTS = 300


@pytest.mark.long
def test_whatever_cuts_an_update_the_device_starts_on_a_working_model_and_says_which_and_why() -> None:
    """In a process of its own, which forks one for each cut. benchmarks/update_torture.py alone cuts at every step."""
    command = [sys.executable, str(SCRIPT), "--only", "updates", "--every", "2", "--random", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)["updates"]
    assert told["cuts"]["cut at a step"] + told["cuts"]["killed"] >= FEWEST_CUTS
    assert told["ended_with"]["good: version 2"] > 0


@pytest.mark.long
def test_whole_lives_of_crashing_hanging_and_sound_models_end_where_they_must() -> None:
    command = [sys.executable, str(SCRIPT), "--only", "lives", "--lives", "4", "--events", "24"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)["lives"]
    assert told["ended_with"]["sound: version 2"] == 4
    assert told["events"]["crash"] + told["events"]["hang"] > 20
