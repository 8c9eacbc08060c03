"""Where watts come from: counters, the kernel's sensors, the firmware of a Pi 5, an INA chip on the I2C bus."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgewise.device import VCGENCMD, ask_firmware
from edgewise.energy import RaplMeter, parse_pmic_w
from edgewise_agent.vitals.files import ROOT, read_int, read_text

_SENSOR_NAMES = ("ina209", "ina219", "ina220", "ina226", "ina230", "ina231", "ina260", "sy24655")
"""`name` of the drivers ina2xx and ina209 (Linux, Documentation/hwmon/ina2xx.rst)."""


class PowerMeter(Protocol):
    """Gives watts of what it is wired to."""

    @property
    def source(self) -> str:
        """What is measured, in words."""
        ...

    @property
    def is_counter(self) -> bool:
        """True: the mean since the last call, without a gap. False: the power at this moment."""
        ...

    def power_w(self) -> float | None:
        """None when it cannot tell just now."""
        ...


class RaplPower:
    """The mean between two calls, from the counters of an x86 processor."""

    is_counter = True

    def __init__(self, meter: RaplMeter, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._meter, self._now_s = meter, now_s
        self._began_s = now_s()
        meter.start()

    @property
    def source(self) -> str:
        """As the SDK says it."""
        return self._meter.source

    def power_w(self) -> float | None:
        """Watts since the last call; None when that was this very moment, or a counter has gone."""
        energy_mj, now_s = self._meter.stop_mj(), self._now_s()
        elapsed_s, self._began_s = now_s - self._began_s, now_s
        self._meter.start()
        return energy_mj / 1000 / elapsed_s if energy_mj is not None and elapsed_s > 0 else None


class PmicPower:
    """The power chip of a Raspberry Pi 5, asked through the firmware."""

    is_counter = False
    source = "PMIC of the Raspberry Pi: the sum of its rails; what USB devices and HATs take is not in it"

    def __init__(self, vcgencmd: str = VCGENCMD) -> None:
        self._vcgencmd = vcgencmd

    def power_w(self) -> float | None:
        """At this moment."""
        return parse_pmic_w(ask_firmware(self._vcgencmd, "pmic_read_adc"))


class HwmonPower:
    """A power sensor that the kernel has bound."""

    is_counter = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def source(self) -> str:
        """With the chip's name."""
        return f"{read_text(self._folder / 'name')} through hwmon: all that is behind its shunt"

    def power_w(self) -> float | None:
        """`power1_input` is in microwatts; without it, `in1_input` (mV) times `curr1_input` (mA)."""
        power_uw = read_int(self._folder / "power1_input")
        if power_uw is not None:
            return power_uw / 1e6
        voltage_mv, current_ma = read_int(self._folder / "in1_input"), read_int(self._folder / "curr1_input")
        return None if voltage_mv is None or current_ma is None else voltage_mv * current_ma / 1e6


def find_hwmon(root: Path = ROOT) -> HwmonPower | None:
    """The first power sensor of a kind that is wired into a supply; None without one."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if read_text(folder / "name") in _SENSOR_NAMES and HwmonPower(folder).power_w() is not None:
            return HwmonPower(folder)
    return None


def find_rapl(root: Path = ROOT) -> RaplPower | None:
    """The counters of all packages; None where there are none or only root may read them."""
    folders = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    packages = tuple(folder for folder in folders if folder.name.count(":") == 1)
    readable = all(read_int(folder / "energy_uj") is not None for folder in packages)
    return RaplPower(RaplMeter(packages)) if packages and readable else None


def find_pmic(vcgencmd: str | None = VCGENCMD) -> PmicPower | None:
    """None where the firmware has no such command."""
    meter = PmicPower(vcgencmd) if vcgencmd else None
    return meter if meter is not None and meter.power_w() is not None else None
