"""Which source a word means."""

import os
from pathlib import Path
from typing import TypeAlias

import edgewise.streams as streams  # its names are loaded when they are used
from edgewise.errors import InvalidInput, SourceError
from edgewise.streams.folder import SUFFIXES
from edgewise.streams.frame import BLOCK_SAMPLES, Block, Frame, SensorBlock
from edgewise.streams.source import Source

AnySource: TypeAlias = Source[Frame | Block | SensorBlock]
What: TypeAlias = str | os.PathLike[str] | int

_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp")
_EXPECTED = (
    "a folder of pictures, a .wav file, a video, a camera's number, an rtsp:// address, "
    "'picamera:' or 'microphone:'"
)


def open_source(
    what: What | AnySource, *, watch: bool = False, block_samples: int = BLOCK_SAMPLES
) -> AnySource:
    """The source that ``what`` means, for a ``with`` statement, which opens it and closes it.

    A folder of pictures (with ``watch`` those still to come, too), a .wav file in blocks of ``block_samples``, any
    other file as a video, a V4L2 device as a number or /dev/video0, a stream as rtsp://..., ``picamera:`` or
    ``picamera:1``, ``microphone:`` or ``microphone:name``; a source is given back as it is.
    Raises SourceError when there is no such file, InvalidInput for anything else.
    """
    if isinstance(what, int) and not isinstance(what, bool) and what >= 0:
        return streams.VideoSource(what)
    if isinstance(what, str | os.PathLike):
        text = os.fspath(what)
        if isinstance(what, str) and (named := _named(text, block_samples)) is not None:
            return named
        return _file(Path(text), watch, block_samples)
    if isinstance(what, int) or not hasattr(what, "read") or not hasattr(what, "is_live"):
        raise InvalidInput(f"source: got {what!r}, expected {_EXPECTED}, or a source")
    return what


def _named(text: str, block_samples: int) -> AnySource | None:
    """What is no path."""
    kind, colon, rest = text.partition(":")
    if text.isdecimal():
        return streams.VideoSource(int(text))
    if colon and rest.startswith("//"):
        if kind.lower() not in _SCHEMES:
            raise InvalidInput(f"source: got {kind}://, expected one of {', '.join(_SCHEMES)}")
        return streams.VideoSource(text)
    if colon and kind == "picamera":
        if rest and not rest.isdecimal():
            raise InvalidInput(f"source: got {text}, expected picamera: or picamera:NUMBER")
        return streams.PicameraSource(int(rest or 0))
    if colon and kind == "microphone":
        return streams.MicrophoneSource(
            int(rest) if rest.isdecimal() else rest or None, block_samples=block_samples
        )
    return None


def _file(path: Path, watch: bool, block_samples: int) -> AnySource:
    if path.is_dir():
        return streams.FolderSource(path, watch=watch)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder; expected {_EXPECTED}")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        raise InvalidInput(
            f"{path}: got one picture, expected {_EXPECTED}; for one picture there is predict()"
        )
    if suffix in (".wav", ".wave"):
        return streams.WavSource(path, block_samples=block_samples)
    device = path.name.removeprefix("video")
    if path.parent == Path("/dev") and device.isdecimal():
        return streams.VideoSource(int(device))
    return streams.VideoSource(path)
