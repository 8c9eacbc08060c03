"""smbus2: the I2C buses of a Linux board."""

from typing import Any, Protocol, cast

from edgewise.errors import SourceError


class I2CBus(Protocol):
    """An open I2C bus, as smbus2's SMBus is one. Its methods raise OSError when no chip answers."""

    def read_i2c_block_data(self, address: int, register: int, length: int, /) -> list[int]:
        """The bytes from a register on, 32 at most."""

    def write_byte_data(self, address: int, register: int, value: int, /) -> None:
        """Write one byte into a register."""

    def close(self) -> None:
        """Give it back."""


def open_bus(bus: int | str) -> I2CBus:
    """A bus by its number, 1 for /dev/i2c-1, or by its path. Raises SourceError, also without smbus2."""
    name = f"/dev/i2c-{bus}" if isinstance(bus, int) else bus
    try:
        import smbus2
    except ImportError as error:
        raise SourceError(
            f"{name}: I2C is read by smbus2, which is not installed here: pip install smbus2, or "
            "apt install python3-smbus2"
        ) from error
    opened: Any = None
    try:
        opened = smbus2.SMBus()
        opened.open(bus)
        return cast(I2CBus, opened)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise SourceError(f"{name}: it does not open: {error.strerror or error}; {_advice(error)}") from error


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            "ls /dev/i2c-* lists the buses; on a Raspberry Pi turn I2C on: sudo raspi-config nonint do_i2c 0"
        )
    if isinstance(error, PermissionError):
        return "let yourself use it, and log in again: sudo usermod -aG i2c $USER"
    return "is it an I2C bus?"
