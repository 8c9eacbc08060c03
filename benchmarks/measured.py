"""What a command costs: CPU-seconds and peak memory of its process and of every child it waited for.

A process's peak memory is counted from its fork, so it starts at what its parent had in memory then. Commands
are therefore started by a small process of their own: this file, run as a script.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAXRSS_UNIT_BYTES = 1024
"""getrusage(2): Linux counts ru_maxrss in kilobytes."""


class CommandFailed(RuntimeError):
    """A measured command ended badly; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    cpu_s: float
    peak_mb: float
    elapsed_s: float

    def then(self, other: "Cost") -> "Cost":
        """The cost of both commands, one after the other."""
        peak_mb = max(self.peak_mb, other.peak_mb)
        return Cost(self.cpu_s + other.cpu_s, peak_mb, self.elapsed_s + other.elapsed_s)


def measure(
    command: Sequence[str | Path],
    *,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    runs: int = 1,
    before_each: Callable[[], None] = lambda: None,
) -> Cost:
    """The cheapest of some runs. Raises CommandFailed when one ends with another status than 0."""
    words = [str(word) for word in command]
    costs = []
    for _ in range(runs):
        before_each()
        costs.append(_run_once(words, folder, {**os.environ, **(variables or {})}))
    return min(costs, key=lambda cost: cost.cpu_s)


def _run_once(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    with tempfile.TemporaryDirectory() as work:
        report, log = Path(work) / "cost.json", Path(work) / "log"
        with log.open("wb") as output:
            launcher = [sys.executable, "-I", "-S", __file__, str(report), *words]
            subprocess.run(launcher, cwd=folder, env=environment, stdout=output, stderr=output, check=False)
        if not report.exists():
            raise CommandFailed(f"{words[0]}: could not be started: {_end_of(log)}")
        result = json.loads(report.read_text())
        if result.pop("status") != 0:
            raise CommandFailed(f"{Path(words[0]).name} failed: {_end_of(log)}")
        return Cost(**result)


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "it printed nothing"


def _launch(report: str, words: Sequence[str]) -> None:
    start = time.monotonic()
    process = subprocess.Popen(words)
    _, status, usage = os.wait4(process.pid, 0)
    result = {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss * MAXRSS_UNIT_BYTES / 1e6,
        "elapsed_s": time.monotonic() - start,
        "status": os.waitstatus_to_exitcode(status),
    }
    Path(report).write_text(json.dumps(result))


if __name__ == "__main__":
    _launch(sys.argv[1], sys.argv[2:])
