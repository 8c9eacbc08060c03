"""Sensors on an I2C bus whose measurements lie in consecutive registers."""

from collections.abc import Callable

from edgewise.errors import InvalidInput, SourceError
from edgewise.streams.register_map import RegisterMap
from edgewise.streams.smbus import I2CBus, open_bus

_ADDRESSES = range(0x08, 0x78)
"""The others are reserved (NXP, UM10204 "I2C-bus specification", table of reserved addresses)."""


class I2CRegisters:
    """A `Sensor` that reads all channels of a chip in one burst, so that they are of one moment.

    ``I2CRegisters.open(1, 0x68, MPU_6050)`` opens /dev/i2c-1 for this sensor alone, and closes it; buses of several
    sensors are opened once for each. A bus that is handed over stays the caller's. Use it as
    ``SensorSource(sensor, rate_hz=100, channels=sensor.channels)``.
    """

    def __init__(self, bus: I2CBus, address: int, registers: RegisterMap) -> None:
        """Asks who the chip is, and sets it up. Raises InvalidInput, and SourceError when it does not answer."""
        if address not in _ADDRESSES:
            raise InvalidInput(
                f"address: got {address:#04x}, expected {_ADDRESSES[0]:#04x} to {_ADDRESSES[-1]:#04x} (7 bits)"
            )
        self._bus, self._address, self._map = bus, address, registers
        self._closes: Callable[[], None] | None = None
        try:
            self._check_identity()
            for register, value in registers.setup:
                bus.write_byte_data(address, register, value)
        except OSError as error:
            raise SourceError(
                f"I2C address {address:#04x}: nobody answers: {error.strerror or error}; check its wires, and "
                "i2cdetect -y BUS for its address"
            ) from error

    @classmethod
    def open(
        cls,
        bus: int | str,
        address: int,
        registers: RegisterMap,
        *,
        opener: Callable[[int | str], I2CBus] = open_bus,
    ) -> "I2CRegisters":
        """On a bus by its number or path, by smbus2 (not installed with edgewise).

        Raises SourceError where there is no such bus, no right to use it, no chip that answers, another one, or no
        smbus2. ``opener`` stands in for smbus2 in tests.
        """
        opened = opener(bus)
        try:
            sensor = cls(opened, address, registers)
        except BaseException:
            opened.close()
            raise
        sensor._closes = opened.close
        return sensor

    @property
    def channels(self) -> tuple[str, ...]:
        """Their names, in the order of a row."""
        return self._map.channels

    def read(self) -> tuple[float, ...]:
        """See `Sensor.read`."""
        return self._map.row(self._burst(self._map.first, self._map.span))

    def close(self) -> None:
        """Close the bus that `open` opened. Closing twice does nothing."""
        closes, self._closes = self._closes, None
        if closes is not None:
            closes()

    def _burst(self, register: int, length: int) -> bytes:
        data = bytes(self._bus.read_i2c_block_data(self._address, register, length))
        if len(data) != length:
            raise SourceError(f"I2C address {self._address:#04x}: got {len(data)} bytes, expected {length}")
        return data

    def _check_identity(self) -> None:
        if self._map.identity is None:
            return
        register, expected = self._map.identity
        (got,) = self._burst(register, 1)
        if got != expected:
            raise SourceError(
                f"I2C address {self._address:#04x}: register {register:#04x} says {got:#04x}, expected "
                f"{expected:#04x}: it is another chip; where it has the same registers, use "
                "dataclasses.replace(..., identity=None)"
            )
