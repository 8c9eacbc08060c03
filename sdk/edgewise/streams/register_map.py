"""Where a chip keeps what it measures: registers of signed 16-bit numbers, and what one step of each means."""

from dataclasses import dataclass

from edgewise.errors import InvalidInput

MOST_BYTES = 32
"""Of one burst (Linux, include/uapi/linux/i2c.h, I2C_SMBUS_BLOCK_MAX)."""


@dataclass(frozen=True)
class RegisterMap:
    """The registers of one chip that are read as one row: for each channel two bytes, two's complement.

    A channel's value is ``scale * number + offset``. What lies between the registers is read, too, and left out.
    """

    channels: tuple[str, ...]
    registers: tuple[int, ...]
    """For each channel the register of the first of its two bytes."""
    scales: tuple[float, ...]
    offsets: tuple[float, ...] = ()
    """() for none."""
    units: tuple[str, ...] = ()
    """() where nobody says."""
    byte_order: str = "big"
    """big: the high byte first; little: the low byte."""
    setup: tuple[tuple[int, int], ...] = ()
    """Registers and what is written into them, in this order, before the first row is read."""
    identity: tuple[int, int] | None = None
    """A register and what it says in a chip of this kind; None to ask for nothing."""

    def __post_init__(self) -> None:
        """Raises InvalidInput for what makes no sense."""
        sizes = {len(self.channels), len(self.registers), len(self.scales)}
        sizes |= {len(optional) for optional in (self.offsets, self.units) if optional}
        if len(sizes) != 1 or not self.channels:
            raise InvalidInput(
                f"register map: got {len(self.channels)} channels, {len(self.registers)} registers, "
                f"{len(self.scales)} scales, {len(self.offsets)} offsets and {len(self.units)} units; expected one "
                "of each for each channel, offsets and units or none"
            )
        asked = [*self.registers, *(number for pair in self.setup for number in pair), *(self.identity or ())]
        if not all(0 <= number <= 0xFF for number in asked):
            raise InvalidInput(f"register map: got {asked}, expected registers and bytes of 0 to 255")
        if self.span > MOST_BYTES:
            raise InvalidInput(
                f"register map: got registers {self.span} bytes apart, expected at most {MOST_BYTES}, which one "
                "burst reads; use two maps"
            )
        if self.byte_order not in ("big", "little"):
            raise InvalidInput(f"byte_order: got {self.byte_order!r}, expected 'big' or 'little'")

    @property
    def first(self) -> int:
        """The lowest register."""
        return min(self.registers)

    @property
    def span(self) -> int:
        """How many bytes one burst reads."""
        return max(self.registers) + 2 - self.first

    def row(self, data: bytes) -> tuple[float, ...]:
        """The channels' values in the bytes from the lowest register on."""
        offsets = self.offsets or (0.0,) * len(self.channels)
        return tuple(
            scale * self._number(data, register - self.first) + offset
            for register, scale, offset in zip(self.registers, self.scales, offsets, strict=True)
        )

    def _number(self, data: bytes, place: int) -> int:
        pair = data[place : place + 2]
        return int.from_bytes(pair, "big" if self.byte_order == "big" else "little", signed=True)


MPU_6050 = RegisterMap(
    channels=("ax", "ay", "az", "gx", "gy", "gz"),
    registers=(0x3B, 0x3D, 0x3F, 0x43, 0x45, 0x47),
    scales=(1 / 16384,) * 3 + (1 / 131,) * 3,
    units=("g",) * 3 + ("deg/s",) * 3,
    setup=((0x6B, 0x01), (0x1B, 0x00), (0x1C, 0x00)),
    identity=(0x75, 0x68),
)
"""Acceleration to 2 g and rotation to 250 degrees a second, at address 0x68, or 0x69 where AD0 is high.

InvenSense, "MPU-6000 and MPU-6050 Register Map and Descriptions", RM-MPU-6000A-00 revision 4.2: registers and steps in
4.17 and 4.19, which also say that a burst is of one moment; 4.4 and 4.5, full scales; 4.28, waking up with a
gyroscope's clock; chapter 3, WHO_AM_I.
"""
