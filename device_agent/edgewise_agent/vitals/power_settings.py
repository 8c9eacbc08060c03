"""[power]: how the board's power is measured."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise_agent.errors import Problem


class PowerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[power]: how the board's power is measured; `auto` takes the first of RAPL, hwmon and the PMIC of a Pi 5."""

    meter: Literal["auto", "none", "hwmon", "ina219", "ina226", "ina260"] = "auto"
    """`hwmon` is a power sensor that the kernel has bound; an ina chip is read on the I2C bus by the agent."""
    i2c_bus: Annotated[int, Meta(ge=0, le=255)] = 1
    """The bus of the ina chip: 1 is /dev/i2c-1."""
    i2c_address: Annotated[int, Meta(ge=0x08, le=0x77)] = 0x40
    """Its address."""
    shunt_milliohm: Annotated[float, Meta(gt=0.0, le=10_000.0)] = 100.0
    """Its shunt resistor; breakout boards have 100, some INA226 boards 10 or 2. An INA260 has its own."""
    every_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 2.0
    """Mean time between two samples of a meter that has no counter."""


def contradictions(power: PowerSettings) -> list[Problem]:
    """What each value alone does not tell; empty when all is well."""
    defaults = PowerSettings()
    if power.meter == "ina260" and power.shunt_milliohm != defaults.shunt_milliohm:
        return [
            Problem(
                "power.shunt_milliohm", "is of no use with an ina260, whose shunt is inside; leave it out"
            )
        ]
    if not power.meter.startswith("ina") and (power.i2c_bus, power.i2c_address) != (
        defaults.i2c_bus,
        defaults.i2c_address,
    ):
        return [
            Problem("power.meter", "i2c_bus and i2c_address are of use with an ina chip only; name it here")
        ]
    return []
