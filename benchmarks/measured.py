"""What a command costs: CPU-seconds and peak memory of its process and of every child it waited for.

A process's peak memory is counted from its fork, so it starts at what its parent had in memory then. Commands
are therefore started by a small process of their own: this file, run as a script.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAXRSS_UNIT_BYTES = 1024
"""getrusage(2): Linux counts ru_maxrss in kilobytes."""


MOST_OF_A_COMPLAINT = 120
"""Characters."""


class CommandFailed(RuntimeError):
    """A measured command ended badly; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    cpu_s: float
    peak_mb: float
    elapsed_s: float
    complaint: str = ""
    """What a command said that wrote the wanted file and then ended with another status than 0."""

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
    wanted: Path | None = None,
) -> Cost:
    """The cheapest of some runs.

    Raises CommandFailed when one ends with another status than 0 and has not written the file `wanted`.
    """
    words = [str(word) for word in command]
    costs = []
    for _ in range(runs):
        before_each()
        cost = _run_once(words, folder, {**os.environ, **(variables or {})})
        if cost.complaint and not (wanted and wanted.exists()):
            raise CommandFailed(f"{Path(words[0]).name} failed: {cost.complaint}")
        costs.append(cost)
    return min(costs, key=lambda cost: cost.cpu_s)


def _run_once(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    with tempfile.TemporaryDirectory() as work:
        report, log = Path(work) / "cost.json", Path(work) / "log"
        with log.open("wb") as output:
            launcher = [sys.executable, "-I", "-S", __file__, str(report), *words]
            subprocess.run(launcher, cwd=folder, env=environment, stdout=output, stderr=output, check=False)
        if not report.exists():
            raise CommandFailed(f"{words[0]}: could not be started: {_complaint(log)}")
        result = json.loads(report.read_text())
        failed = result.pop("status") != 0
        return Cost(**result, complaint=_complaint(log) if failed else "")


def _complaint(log: Path) -> str:
    """The first error in what a program printed (the last one of a chain says least), else its last line."""
    lines = log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
    errors = [line for line in lines if re.match(r"[\w.]*Error: ", line)]
    said = (errors or lines[-1:] or ["it printed nothing"])[0].strip()
    return textwrap.shorten(said, MOST_OF_A_COMPLAINT, placeholder=" ...")


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
