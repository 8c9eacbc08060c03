"""How worn the card is that holds the state, as far as it tells, and how much was written to it."""

import os
from pathlib import Path

from edgewise_agent.vitals.files import ROOT, Readings, read_int, read_text

_SECTOR_BYTES = 512
"""Of /sys/block/*/stat, whatever the device's own sector is (Linux, Documentation/block/stat.rst)."""
_WRITTEN_SECTORS = 6
_MOST_LIFE_STEPS = 11
"""JESD84-B51, DEVICE_LIFE_TIME_EST: steps of 10 %, 11 is beyond the estimated life, 0 is not defined."""


def parse_life_used_percent(text: str) -> int | None:
    """From `life_time` of an eMMC, such as ``0x01 0x02``: the upper end of the more worn of its two kinds of memory."""
    try:
        steps = [int(word, 16) for word in text.split()]
    except ValueError:
        return None
    known = [step for step in steps if 1 <= step <= _MOST_LIFE_STEPS]
    return max(known) * 10 if known else None


def parse_written_bytes(stat: str) -> int | None:
    """Bytes written since boot, from the text of /sys/block/<device>/stat."""
    fields = stat.split()
    if len(fields) <= _WRITTEN_SECTORS or not fields[_WRITTEN_SECTORS].isdigit():
        return None
    return int(fields[_WRITTEN_SECTORS]) * _SECTOR_BYTES


class CardWear:
    """Of the block device on which ``disk`` lies."""

    def __init__(self, *, disk: Path, root: Path = ROOT) -> None:
        self._root, self._disk = root, disk

    def read(self) -> Readings:
        """Empty where the state is on no block device (a network share, an overlay in memory)."""
        device = self._block_device()
        if device is None:
            return {}
        return {
            "board.disk_written_bytes": parse_written_bytes(read_text(device / "stat") or ""),
            "board.card_life_used_percent": parse_life_used_percent(
                read_text(device / "device/life_time") or ""
            ),
            "board.card_pre_eol": read_int(device / "device/pre_eol_info", base=0) or None,
        }

    def _block_device(self) -> Path | None:
        try:
            number = self._disk.stat().st_dev
            link = self._root / "sys/dev/block" / f"{os.major(number)}:{os.minor(number)}"
            folder = link.resolve(strict=True)
        except OSError:
            return None
        return folder.parent if (folder / "partition").exists() else folder
