"""Truncated and bit-flipped files are refused in one line, by a command that neither crashes nor hangs."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from converters.fuzz.files import TRIALS

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "fuzz.py"
FILES = 3 * len(TRIALS)
"""Each kind three times, broken in another way each time."""


def test_broken_files_are_refused_or_harmless() -> None:
    # A process of its own: the trials fork, which a process that has opened models should not.
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--files", str(FILES), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = json.loads(done.stdout)
    wrong = [outcome for outcome in outcomes if outcome["word"] not in ("equal", "refused")]
    assert not wrong
    assert len(outcomes) == FILES
    assert Counter(outcome["word"] for outcome in outcomes)["refused"] > FILES / 2
