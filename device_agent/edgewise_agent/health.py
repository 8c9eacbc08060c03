"""Vital signs of the board. A reading that this board cannot give is left out, never made up."""

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

import psutil

_PROCESSOR_ZONES = ("cpu", "soc", "x86_pkg")
_NOW_MASK = 0x0F
"""Bits 0-3 of get_throttled: under-voltage, frequency capped, throttled, soft temperature limit."""
_SINCE_BOOT_SHIFT = 16
_THROTTLED_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_MODEL_FILES = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
_VCGENCMD_TIMEOUT_S = 2.0
_CPU_SPAN_S = 0.1
"""psutil's documentation: shorter spans give meaningless answers."""


class BoardHealth:
    """Reads one board. ``root`` is where /sys and /proc are found, ``disk`` a path on the disk to watch."""

    def __init__(self, *, disk: Path, root: Path = Path("/"), vcgencmd: str | None = "vcgencmd") -> None:
        self._disk = disk
        self._root = root
        self._vcgencmd = shutil.which(vcgencmd) if vcgencmd else None
        self._process = psutil.Process()
        self._asked_s = 0.0
        self._cpu_percent()

    def read(self) -> dict[str, float | int]:
        """Metrics by their standard names (edgewise_messages.metrics)."""
        memory = psutil.virtual_memory()
        readings: dict[str, float | int | None] = {
            "board.cpu_percent": self._cpu_percent(),
            "board.memory_used_percent": memory.percent,
            "board.memory_available_bytes": memory.available,
            "board.temperature_c": self.temperature_c(),
            "agent.memory_bytes": self._process.memory_info().rss,
        }
        with contextlib.suppress(OSError):
            disk = psutil.disk_usage(str(self._disk))
            readings["board.disk_used_percent"] = disk.percent
            readings["board.disk_free_bytes"] = disk.free
        flags = self.throttled_flags()
        if flags is not None:
            readings["board.throttled_now"] = flags & _NOW_MASK
            readings["board.throttled_since_boot"] = flags >> _SINCE_BOOT_SHIFT & _NOW_MASK
        return {name: value for name, value in readings.items() if value is not None}

    def _cpu_percent(self) -> float | None:
        """Since the last call; None when that was too short ago to say anything."""
        percent, now_s = psutil.cpu_percent(), time.monotonic()
        was_s, self._asked_s = self._asked_s, now_s
        return percent if was_s and now_s - was_s >= _CPU_SPAN_S else None

    def temperature_c(self) -> float | None:
        """Of the hottest thermal zone that belongs to the processor."""
        readings = []
        for zone in sorted((self._root / "sys/class/thermal").glob("thermal_zone*")):
            kind, value = _read(zone / "type"), _read(zone / "temp")
            if kind is None or value is None or not kind.lower().startswith(_PROCESSOR_ZONES):
                continue
            with contextlib.suppress(ValueError):
                readings.append(int(value) / 1000)
        return max(readings, default=None)

    def throttled_flags(self) -> int | None:
        """The word that `vcgencmd get_throttled` prints; None where there is no such firmware."""
        text = _read(self._root / _THROTTLED_FILE)
        if text is None and self._vcgencmd is not None:
            text = self._ask_firmware(self._vcgencmd)
        if text is None:
            return None
        try:
            return int(text.rpartition("=")[2], 16)
        except ValueError:
            return None

    def _ask_firmware(self, program: str) -> str | None:
        try:
            done = subprocess.run(
                [program, "get_throttled"],
                capture_output=True,
                text=True,
                timeout=_VCGENCMD_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()


def board_name(root: Path = Path("/")) -> str:
    """What the device tree says, such as "Raspberry Pi 4 Model B Rev 1.4"; empty where there is none."""
    for name in _MODEL_FILES:
        text = _read(root / name)
        if text:
            return text.rstrip("\0").strip()
    return ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
