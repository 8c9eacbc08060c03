"""INA219, INA226 and INA260 on an I2C bus, read as they wake up: continuous conversion of voltage and current."""

from dataclasses import dataclass
from typing import Literal, Protocol

from edgewise_agent.errors import SourceError

Chip = Literal["ina219", "ina226", "ina260"]


class Bus(Protocol):
    """What is asked of `edgewise.streams.smbus.I2CBus`."""

    def read_i2c_block_data(self, address: int, register: int, length: int, /) -> list[int]:
        """Raises OSError when no chip answers."""
        ...


@dataclass(frozen=True)
class _Layout:
    voltage_v: float
    """One step of the bus voltage, register 2."""
    voltage_shift: int
    current: float
    """One step of register 1: volts across the shunt, or amperes where the shunt is inside."""
    has_own_shunt: bool = False
    die_id: int | None = None
    """Register 0xFF without its revision (the lowest four bits); None for a chip that has none."""


_LAYOUTS: dict[str, _Layout] = {
    "ina219": _Layout(4e-3, 3, 10e-6),
    "ina226": _Layout(1.25e-3, 0, 2.5e-6, die_id=0x226),
    "ina260": _Layout(1.25e-3, 0, 1.25e-3, has_own_shunt=True, die_id=0x227),
}
"""Texas Instruments: INA219 SBOS448G, 8.6.3; INA226 SBOS547B, 7.6; INA260 SBOS656C, 8.6."""
_CURRENT_REGISTER, _VOLTAGE_REGISTER, _DIE_REGISTER = 1, 2, 0xFF


class InaPower:
    """Volts times amperes of one chip. It writes nothing, so a chip that another program set up stays as it is."""

    is_counter = False

    def __init__(self, bus: Bus, chip: Chip, *, address: int, shunt_milliohm: float) -> None:
        """Asks who it is where the chip can say so. Raises SourceError."""
        self._bus, self._chip, self._address = bus, chip, address
        self._layout, self._shunt_ohm = _LAYOUTS[chip], shunt_milliohm / 1000
        self._check_identity()

    @property
    def source(self) -> str:
        """With the chip's name and place."""
        return f"{self._chip} at I2C address {self._address:#04x}: all that is behind its shunt"

    def power_w(self) -> float | None:
        """At this moment, averaged as the chip is set; None when it does not answer. Never below zero."""
        try:
            voltage_v = (self._word(_VOLTAGE_REGISTER) >> self._layout.voltage_shift) * self._layout.voltage_v
            current = _signed(self._word(_CURRENT_REGISTER)) * self._layout.current
        except OSError:
            return None
        current_a = current if self._layout.has_own_shunt else current / self._shunt_ohm
        return max(voltage_v * current_a, 0.0)

    def _check_identity(self) -> None:
        where = f"power.i2c_address {self._address:#04x}"
        try:
            self._word(_VOLTAGE_REGISTER)
            got = self._word(_DIE_REGISTER) >> 4 if self._layout.die_id is not None else None
        except OSError as error:
            raise SourceError(
                f"{where}: no {self._chip} answers: {error.strerror or error}; check its wires, and "
                "`i2cdetect -y BUS` for its address"
            ) from error
        if got != self._layout.die_id:
            raise SourceError(
                f"{where}: it says it is {got:#05x}, expected {self._layout.die_id:#05x} of an {self._chip}; "
                "name the chip that is there in power.meter"
            )

    def _word(self, register: int) -> int:
        data = self._bus.read_i2c_block_data(self._address, register, 2)
        if len(data) != 2:
            raise OSError(f"got {len(data)} bytes, expected 2")
        return int.from_bytes(bytes(data), "big")


def _signed(word: int) -> int:
    return word - 0x1_0000 if word & 0x8000 else word
