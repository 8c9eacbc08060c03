"""What a stretch of work costs in energy, where the board can tell."""

import threading
import time
from pathlib import Path
from typing import Protocol

from edgewise.device import ROOT, VCGENCMD, ask_firmware

_SAMPLE_SPAN_S = 0.2
"""Asking takes some milliseconds of a core, which the measured work does not have then."""


class EnergyMeter(Protocol):
    """Measures the whole of what it is wired to, whatever runs there: keep the board idle otherwise."""

    @property
    def source(self) -> str:
        """What is measured; for a board that cannot tell, why not."""
        ...

    def start(self) -> None:
        """Begin a stretch."""
        ...

    def stop_mj(self) -> float | None:
        """End the stretch: its energy in millijoules, or None where it is not known."""
        ...


class NoMeter:
    """For a board that cannot tell."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @property
    def source(self) -> str:
        """Why nothing is known."""
        return self._reason

    def start(self) -> None:
        """Nothing to do."""

    def stop_mj(self) -> float | None:
        """Always None."""
        return None


class RaplMeter:
    """The energy counters of x86 processors (Linux, Documentation/power/powercap/powercap.rst)."""

    def __init__(self, packages: tuple[Path, ...]) -> None:
        """``packages`` are folders with `energy_uj` and `max_energy_range_uj`, microjoules."""
        self._packages = packages
        self._began_uj: tuple[int | None, ...] = ()

    @property
    def source(self) -> str:
        """What is measured."""
        return "RAPL counters: the whole processor, idle power and other programs included"

    def start(self) -> None:
        """Remember the counters."""
        self._began_uj = tuple(_integer(package / "energy_uj") for package in self._packages)

    def stop_mj(self) -> float | None:
        """What the counters rose by; a counter may have begun anew once."""
        total_uj = 0
        for package, began_uj in zip(self._packages, self._began_uj, strict=True):
            ended_uj, range_uj = _integer(package / "energy_uj"), _integer(package / "max_energy_range_uj")
            if began_uj is None or ended_uj is None or (ended_uj < began_uj and range_uj is None):
                return None
            total_uj += ended_uj - began_uj + ((range_uj or 0) if ended_uj < began_uj else 0)
        return total_uj / 1000


class PmicMeter:
    """The power chip of a Raspberry Pi 5, asked again and again while the work runs."""

    def __init__(self, vcgencmd: str) -> None:
        self._vcgencmd = vcgencmd
        self._samples: list[tuple[float, float]] = []
        self._began_s = 0.0
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def source(self) -> str:
        """What is measured."""
        return "PMIC of the Raspberry Pi: all its rails, idle power included, the 5 V of USB devices not"

    def start(self) -> None:
        """Begin to sample, in a thread."""
        self._samples = []
        self._began_s = time.monotonic()
        self._ends.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop_mj(self) -> float | None:
        """The mean power, by the trapezoidal rule, times the time; None with fewer than two samples."""
        elapsed_s = time.monotonic() - self._began_s
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        self._take()
        if len(self._samples) < 2:
            return None
        pairs = zip(self._samples, self._samples[1:], strict=False)
        energy_j = sum((later[0] - first[0]) * (later[1] + first[1]) / 2 for first, later in pairs)
        return energy_j / (self._samples[-1][0] - self._samples[0][0]) * elapsed_s * 1000

    def _sample(self) -> None:
        self._take()
        while not self._ends.wait(_SAMPLE_SPAN_S):
            self._take()

    def _take(self) -> None:
        power_w = parse_pmic_w(ask_firmware(self._vcgencmd, "pmic_read_adc"))
        if power_w is not None:
            self._samples.append((time.monotonic(), power_w))


def parse_pmic_w(text: str) -> float | None:
    """Watts from what `vcgencmd pmic_read_adc` prints: the sum over rails that tell both current and voltage.

    Lines are such as ``VDD_CORE_A current(7)=1.21A`` and ``VDD_CORE_V volt(15)=0.86V``; None without a pair.
    """
    currents_a: dict[str, float] = {}
    voltages_v: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition("=")
        rail, unit = name.split(" ")[0], value[-1:]
        readings = {"A": currents_a, "V": voltages_v}.get(unit)
        try:
            reading = float(value[:-1])
        except ValueError:
            continue
        if readings is not None and rail.endswith(f"_{unit}"):
            readings[rail[:-2]] = reading
    rails = currents_a.keys() & voltages_v.keys()
    return sum(currents_a[rail] * voltages_v[rail] for rail in rails) if rails else None


def find_energy_meter(root: Path = ROOT, *, vcgencmd: str | None = VCGENCMD) -> EnergyMeter:
    """The meter of this board; a NoMeter that says why where there is none."""
    folders = (root / "sys/class/powercap").glob("intel-rapl:*")
    packages = tuple(sorted(folder for folder in folders if folder.name.count(":") == 1))
    readable = tuple(package for package in packages if _integer(package / "energy_uj") is not None)
    if packages and packages == readable:
        return RaplMeter(packages)
    if vcgencmd and parse_pmic_w(ask_firmware(vcgencmd, "pmic_read_adc")) is not None:
        return PmicMeter(vcgencmd)
    if packages:
        return NoMeter("its RAPL counters may be read by root only: run it with sudo")
    return NoMeter("this board has neither RAPL counters nor the PMIC of a Raspberry Pi 5")


def _integer(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
