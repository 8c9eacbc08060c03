"""Measurements that come as lines of text, as a microcontroller sends them over a serial line."""

from math import isfinite
from typing import Protocol

from edgewise.errors import SourceError

_LINE_LIMIT = 4096
"""A longer line is junk: a device at another baud rate may never send an end of line."""
_TIMEOUT_S = 0.25


class ByteLines(Protocol):
    """An open serial port of pyserial, a socket's or a file's stream. Whoever opened it closes it."""

    def readline(self, limit: int, /) -> bytes:
        """Bytes up to and including an end of line, at most so many; fewer when a timeout ends it."""

    def close(self) -> None:
        """Give it back."""


class SerialLines:
    """A `Sensor` of lines such as ``0.02,-9.81,0.4``, separated by commas, semicolons, tabs or blanks.

    Lines that are not the wanted count of finite numbers (headers, boot messages, bytes lost on the way) are
    counted in ``junk`` and left out. Use it as ``SensorSource(SerialLines.open(...), is_paced=False, ...)``.
    """

    def __init__(self, stream: ByteLines, *, channels: int, is_endless: bool = True) -> None:
        """``is_endless`` says that no bytes mean none yet, as of a serial port; of a file they mean its end."""
        if channels < 1:
            raise SourceError(f"channels: got {channels}, expected at least 1")
        self._stream, self._channels, self._is_endless = stream, channels, is_endless
        self._begun = b""
        self.junk = 0

    @classmethod
    def open(cls, port: str, *, channels: int, baud: int = 115_200) -> "SerialLines":
        """A serial port such as /dev/ttyACM0, by pyserial. Raises SourceError, also where that is not installed."""
        try:
            import serial
        except ImportError as error:
            raise SourceError(
                f"{port}: serial lines are read by pyserial, which is not installed here: pip install pyserial, "
                "or apt install python3-serial"
            ) from error
        try:
            return cls(serial.Serial(port, baud, timeout=_TIMEOUT_S), channels=channels)
        except (serial.SerialException, ValueError) as error:
            raise SourceError(
                f"{port}: it does not open: {error}; python -m serial.tools.list_ports lists the ports"
            ) from error

    def read(self) -> tuple[float, ...] | None:
        """See `Sensor.read`."""
        part = self._stream.readline(_LINE_LIMIT)
        if not part and not self._is_endless:
            line, self._begun = self._begun, b""
            return self._parsed(line) if line else None
        line = self._begun + part
        if not line.endswith(b"\n") and len(line) < _LINE_LIMIT:  # the timeout came in its middle
            self._begun = line
            return ()
        self._begun = b""
        return self._parsed(line)

    def _parsed(self, line: bytes) -> tuple[float, ...]:
        numbers = parse_line(line, self._channels)
        self.junk += not numbers
        return numbers

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def parse_line(line: bytes, channels: int) -> tuple[float, ...]:
    """The numbers of a line; () for anything but so many finite ones."""
    if len(line) >= _LINE_LIMIT:
        return ()
    text = line.decode("ascii", "replace")
    for separator in ",;\t":
        text = text.replace(separator, " ")
    try:
        numbers = tuple(map(float, text.split()))
    except ValueError:
        return ()
    return numbers if len(numbers) == channels and all(map(isfinite, numbers)) else ()
