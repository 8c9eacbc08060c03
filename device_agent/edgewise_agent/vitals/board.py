"""The board: memory, pressure, temperature, clock, throttling, and the disk that holds the state."""

import os
from pathlib import Path

from edgewise.device import THROTTLED_BITS, Throttling, read_condition
from edgewise_agent.vitals.files import ROOT, Readings, read_table, read_text


class BoardVitals:
    """Reads one board. ``root`` is where /sys and /proc are found, ``disk`` a path on the disk to watch."""

    def __init__(self, *, disk: Path, root: Path = ROOT, vcgencmd: str | None = "vcgencmd") -> None:
        self._disk, self._root, self._vcgencmd = disk, root, vcgencmd

    def read(self) -> Readings:
        """Metrics by their standard names; None where this board cannot tell."""
        condition = read_condition(self._root, vcgencmd=self._vcgencmd)
        clocks_mhz = condition.frequencies_mhz
        return {
            **self._memory(),
            **self._pressure(),
            **self._disk_space(),
            "board.temperature_c": condition.temperature_c,
            "board.cpu_frequency_mhz": round(sum(clocks_mhz) / len(clocks_mhz), 1) if clocks_mhz else None,
            **throttled(condition.throttling),
        }

    def _memory(self) -> Readings:
        memory = read_table(self._root / "proc/meminfo")
        total, available = memory.get("MemTotal"), memory.get("MemAvailable")
        if not total or available is None:
            return {}
        swap, swap_free = memory.get("SwapTotal"), memory.get("SwapFree")
        return {
            "board.memory_used_percent": round(100 * (total - available) / total, 1),
            "board.memory_available_bytes": available * 1024,
            "board.swap_used_bytes": None if swap is None or swap_free is None else (swap - swap_free) * 1024,
        }

    def _pressure(self) -> Readings:
        loads = (read_text(self._root / "proc/loadavg") or "").split()
        return {
            "board.load_average": _number(loads[0]) if loads else None,
            "board.cpu_pressure_percent": parse_pressure(read_text(self._root / "proc/pressure/cpu")),
            "board.memory_pressure_percent": parse_pressure(read_text(self._root / "proc/pressure/memory")),
        }

    def _disk_space(self) -> Readings:
        try:
            disk = os.statvfs(self._disk)
        except OSError:
            return {}
        # As df does: what is reserved for root is neither used nor free.
        used, free = disk.f_blocks - disk.f_bfree, disk.f_bavail
        return {
            "board.disk_used_percent": round(100 * used / (used + free), 1) if used + free else None,
            "board.disk_free_bytes": free * disk.f_frsize,
        }


def throttled(throttling: Throttling | None) -> Readings:
    """As the bits of `vcgencmd get_throttled`, those of now and those since boot."""
    if throttling is None:
        return {}
    return {
        "board.throttled_now": _bits(throttling.now),
        "board.throttled_since_boot": _bits(throttling.since_boot),
    }


def parse_pressure(text: str | None) -> float | None:
    """Percent of the last ten seconds in which some task waited (Linux, Documentation/accounting/psi.rst)."""
    for line in (text or "").splitlines():
        words = line.split()
        if words and words[0] == "some":
            fields = dict(word.partition("=")[::2] for word in words[1:])
            return _number(fields.get("avg10", ""))
    return None


def _bits(words: tuple[str, ...]) -> int:
    return sum(1 << THROTTLED_BITS.index(word) for word in words)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
