"""The agent's own process."""

from collections.abc import Callable
from pathlib import Path

from edgewise_agent.vitals.files import ROOT, Readings, read_table


class ProcessVitals:
    """Memory, threads and open files. ``queued`` says how many inputs wait for the model."""

    def __init__(self, root: Path = ROOT, *, queued: Callable[[], int] | None = None) -> None:
        self._folder = root / "proc/self"
        self._queued = queued

    def read(self) -> Readings:
        """PSS counts memory shared with other processes by its share (Linux, Documentation/filesystems/proc.rst)."""
        status = read_table(self._folder / "status")
        rollup = read_table(self._folder / "smaps_rollup")
        return {
            "agent.memory_bytes": _bytes(status.get("VmRSS")),
            "agent.pss_bytes": _bytes(rollup.get("Pss")),
            "agent.threads": status.get("Threads"),
            "agent.open_files": self._open_files(),
            "agent.queued_inputs": self._queued() if self._queued else None,
        }

    def _open_files(self) -> int | None:
        try:
            return sum(1 for _ in (self._folder / "fd").iterdir())
        except OSError:
            return None


def _bytes(kilobytes: int | None) -> int | None:
    return None if kilobytes is None else kilobytes * 1024
