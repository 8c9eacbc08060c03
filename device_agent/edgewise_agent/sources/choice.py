"""Which source a pipeline's words mean."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

import edgewise.streams as streams  # its names are loaded when they are used
from edgewise.errors import InvalidInput, SourceError
from edgewise.streams.choice import AnySource
from edgewise.streams.folder import SUFFIXES
from edgewise.streams.frame import BLOCK_SAMPLES
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.sources.images import PictureFiles

if TYPE_CHECKING:
    from edgewise_agent.sources.pushed import Receiver

CHIPS = {"mpu-6050": (0x68, streams.MPU_6050)}
"""I2C chips by name: their usual address and registers."""
LOCAL_HOST = "127.0.0.1"

MakeReceiver: TypeAlias = "Callable[[str], Receiver]"
"""A receiver of what is published on a topic."""


def make_source(
    settings: PipelineSettings, *, subscribe: MakeReceiver, block_samples: int = BLOCK_SAMPLES
) -> AnySource:
    """The source, not open yet. Raises SourceError or InvalidInput for words that mean none."""
    words = settings.source
    if all(_is_pictures(word) for word in words):
        return PictureFiles([Path(word) for word in words], loop=settings.loop, recursive=settings.recursive)
    if len(words) != 1:
        raise InvalidInput(
            f"source: got {list(words)}, expected one source, or a list of folders and pictures"
        )
    word = str(words[0])
    kind, _, rest = word.partition(":")
    match kind:
        case "mqtt":
            return _pushed(word, subscribe(_topic(rest, word)))
        case "push":
            from edgewise_agent.sources.http_inputs import HttpReceiver  # brings an HTTP server along

            return _pushed(word, HttpReceiver(*_address(rest, word)))
        case "serial":
            return _serial(rest, word)
        case "i2c":
            return _i2c(rest, word)
    try:
        return streams.open_source(word, block_samples=block_samples)
    except SourceError as error:
        raise SourceError(
            f"{error}, 'mqtt:TOPIC', 'push:PORT', 'serial:PORT?...' or 'i2c:CHIP?...'"
        ) from error


def _pushed(word: str, receiver: "Receiver") -> AnySource:
    from edgewise_agent.sources.pushed import PushedSource  # knows pictures, sound and measurements

    return PushedSource(word, receiver)


def _is_pictures(word: str) -> bool:
    """A folder or a picture, also one that is not there yet, such as a USB stick's."""
    path = Path(word)
    if not path.is_absolute() or path.parent == Path("/dev"):
        return False
    return path.is_dir() or path.suffix.lower() in {"", *SUFFIXES}


def _topic(rest: str, word: str) -> str:
    if not rest or "\0" in rest or len(rest.encode()) > 65_535:
        raise InvalidInput(f"source: got {word!r}, expected 'mqtt:TOPIC' such as 'mqtt:cameras/door/jpeg'")
    return rest


def _address(rest: str, word: str) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535 or (colon and not host):
        raise InvalidInput(
            f"source: got {word!r}, expected 'push:PORT', or 'push:HOST:PORT' to hear other machines"
        )
    return host or LOCAL_HOST, int(port)


def _serial(rest: str, word: str) -> AnySource:
    port, options = _options(rest, word, ("channels", "rate_hz", "baud"))
    channels, rate_hz = _names(options, word), _number(options, "rate_hz", word)
    baud = int(_number(options, "baud", word, 115_200))
    return _Opening(
        word,
        lambda: streams.SensorSource(
            streams.SerialLines.open(port, channels=len(channels), baud=baud),
            rate_hz=rate_hz,
            channels=channels,
            is_paced=False,
            name=word,
        ),
    )


def _i2c(rest: str, word: str) -> AnySource:
    name, options = _options(rest, word, ("bus", "address", "rate_hz"))
    if name not in CHIPS:
        raise InvalidInput(
            f"source: got {word!r}, expected a chip of {', '.join(CHIPS)}, as 'i2c:mpu-6050?rate_hz=50'"
        )
    usual, registers = CHIPS[name]
    bus, address = int(_number(options, "bus", word, 1)), int(options.get("address", hex(usual)), 0)
    return _chip(word, bus, address, registers, _number(options, "rate_hz", word))


def _chip(word: str, bus: int, address: int, registers: "streams.RegisterMap", rate_hz: float) -> AnySource:
    return _Opening(
        word,
        lambda: streams.SensorSource(
            streams.I2CRegisters.open(bus, address, registers),
            rate_hz=rate_hz,
            channels=registers.channels,
            name=word,
        ),
    )


class _Opening:
    """A source whose sensor is opened with it, and not when the settings are read."""

    is_live = False

    def __init__(self, name: str, make: "Callable[[], streams.SensorSource]") -> None:
        self.name, self._make = name, make
        self._source: streams.SensorSource | None = None

    def open(self) -> None:
        """See `edgewise.streams.Source.open`."""
        if self._source is None:
            source = self._make()
            source.open()
            self._source = source

    def read(self) -> "streams.SensorBlock | None":
        """See `edgewise.streams.Source.read`."""
        return None if self._source is None else self._source.read()

    def close(self) -> None:
        """See `edgewise.streams.Source.close`."""
        source, self._source = self._source, None
        if source is not None:
            source.close()


def _options(rest: str, word: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    head, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    unknown = [name for name in options if name not in known]
    if unknown or not head:
        raise InvalidInput(f"source: got {word!r}, expected options of {', '.join(known)}")
    return head, options


def _names(options: dict[str, str], word: str) -> tuple[str, ...]:
    names = tuple(name for name in options.get("channels", "").split(",") if name)
    if not names:
        raise InvalidInput(f"source: got {word!r}, expected channels=NAME,NAME,... in it")
    return names


def _number(options: dict[str, str], name: str, word: str, default: float | None = None) -> float:
    try:
        value = float(options[name]) if name in options else default
    except ValueError:
        value = None
    if value is None or not 0 < value < 1e9:
        raise InvalidInput(f"source: got {word!r}, expected {name}=NUMBER in it")
    return value
