"""From the settings and what this board has to one PowerWatch."""

import logging
from collections.abc import Callable
from pathlib import Path

import edgewise.device
from edgewise.device import VCGENCMD
from edgewise_agent.errors import Problem, SourceError
from edgewise_agent.vitals.board_power import published_power
from edgewise_agent.vitals.files import ROOT
from edgewise_agent.vitals.ina import Bus, InaPower
from edgewise_agent.vitals.power import PowerWatch
from edgewise_agent.vitals.power_meters import PowerMeter, find_hwmon, find_pmic, find_rapl
from edgewise_agent.vitals.power_settings import PowerSettings

log = logging.getLogger("edgewise.agent.power")


def open_i2c(bus: int) -> Bus:
    """A bus through the SDK. Raises SourceError."""
    from edgewise.errors import SourceError as NoBus
    from edgewise.streams.smbus import open_bus

    try:
        return open_bus(bus)
    except NoBus as error:
        raise SourceError(f"power.i2c_bus: {error}") from error


def make_power_watch(
    settings: PowerSettings,
    *,
    root: Path = ROOT,
    vcgencmd: str | None = VCGENCMD,
    opener: Callable[[int], Bus] = open_i2c,
) -> PowerWatch:
    """Not started yet. A meter that does not answer costs the figures and a warning, not the agent."""
    try:
        meter = choose_meter(settings, root=root, vcgencmd=vcgencmd, opener=opener)
    except SourceError as error:
        log.warning("%s; nothing is measured", error)
        meter = None
    published = published_power(edgewise.device.board_name(root)) if settings.meter != "none" else None
    return PowerWatch(meter, published, every_s=settings.every_s)


def check_power(settings: PowerSettings) -> list[Problem]:
    """For `edgewise agent check`: whether the meter that is named answers."""
    try:
        choose_meter(settings, root=ROOT, vcgencmd=VCGENCMD, opener=open_i2c)
    except SourceError as error:
        where, _, said = str(error).partition(" ")
        return [Problem(where.rstrip(":"), said)]
    return []


def choose_meter(
    settings: PowerSettings, *, root: Path, vcgencmd: str | None, opener: Callable[[int], Bus]
) -> PowerMeter | None:
    """An asked-for meter must answer; `auto` takes what there is, first what measures the most."""
    match settings.meter:
        case "none":
            return None
        case "auto":
            return find_hwmon(root) or find_rapl(root) or find_pmic(vcgencmd)
        case "hwmon":
            found = find_hwmon(root)
            if found is None:
                raise SourceError(
                    "power.meter 'hwmon': no power sensor under /sys/class/hwmon; bind one, for example by "
                    "dtoverlay=i2c-sensor,ina219 in config.txt, or name the chip here"
                )
            return found
        case "ina219" | "ina226" | "ina260" as chip:
            bus = opener(settings.i2c_bus)
            return InaPower(bus, chip, address=settings.i2c_address, shunt_milliohm=settings.shunt_milliohm)
