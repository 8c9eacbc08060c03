"""Who had the processor since the last look: everybody, this process, all others."""

from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.vitals.files import ROOT, Readings, read_text

_IDLE_FIELDS = (3, 4)
"""idle and iowait of the first line of /proc/stat (proc(5)); guest time, from field 8 on, is in user already."""
_COUNTED_FIELDS = 8
_LEAST_TICKS = 10
"""A tenth of a second of one core at the usual 100 ticks; over less, percentages say nothing."""


@dataclass(frozen=True)
class Ticks:
    """Clock ticks since boot, all cores together."""

    total: int
    idle: int
    own: int


def parse_ticks(stat: str, self_stat: str) -> Ticks | None:
    """From the texts of /proc/stat and /proc/self/stat; None for anything else."""
    try:
        fields = [int(word) for word in stat.splitlines()[0].split()[1:]][:_COUNTED_FIELDS]
        # The program's name, in brackets, may hold blanks and brackets; utime and stime are fields 14 and 15.
        own = [int(word) for word in self_stat.rpartition(")")[2].split()[11:13]]
        return Ticks(sum(fields), sum(fields[place] for place in _IDLE_FIELDS), sum(own))
    except (ValueError, IndexError):
        return None


def cores_of(stat: str) -> int:
    """How many cores /proc/stat tells of."""
    return sum(1 for line in stat.splitlines() if line.startswith("cpu") and line[3:4].isdigit())


class ProcessorUse:
    """Differences between two looks; the first look has nothing to compare with."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._before = self._look()[0]

    def read(self) -> Readings:
        """Percent of all cores for the board and for others, percent of one core for this process."""
        now, cores = self._look()
        before = self._before
        if now is None or before is None or now.total - before.total < _LEAST_TICKS * max(cores, 1):
            self._before = before or now
            return {}
        self._before = now
        total = now.total - before.total
        busy = max(total - (now.idle - before.idle), 0)
        own = max(now.own - before.own, 0)
        return {
            "board.cpu_percent": round(100 * busy / total, 1),
            "board.cpu_others_percent": round(100 * max(busy - own, 0) / total, 1),
            "agent.cpu_percent": round(100 * own * max(cores, 1) / total, 2),
        }

    def _look(self) -> tuple[Ticks | None, int]:
        stat = read_text(self._root / "proc/stat") or ""
        return parse_ticks(stat, read_text(self._root / "proc/self/stat") or ""), cores_of(stat)
