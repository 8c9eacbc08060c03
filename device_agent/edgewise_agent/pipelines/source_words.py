"""The words that name a source in the settings."""

from collections.abc import Sequence
from pathlib import Path

_SCHEMES = (
    "picamera",
    "microphone",
    "mqtt",
    "push",
    "serial",
    "i2c",
    "rtsp",
    "rtsps",
    "http",
    "https",
    "udp",
    "tcp",
)
"""What stands before the colon of a source that is no path."""
_NO_PICTURES = ("microphone", "serial", "i2c")
_MAY_BE_ANYTHING = ("mqtt", "push")


class SourceWord(str):
    """A path, or what names a camera, a microphone, a sensor or where inputs are sent to."""

    __slots__ = ()

    @classmethod
    def of(cls, text: str, base: Path) -> "SourceWord":
        """A path made absolute; names of cameras and the like as they are."""
        is_named = text.isdecimal() or scheme_of(text)
        return cls(text if is_named else base / Path(text).expanduser())


def scheme_of(word: str) -> str:
    """What stands before the colon, "" for a path."""
    scheme, colon, _ = word.partition(":")
    return scheme.lower() if colon and scheme.lower() in _SCHEMES else ""


def sends_pictures(words: Sequence[str]) -> bool:
    """Whether they can only be sources of pictures."""
    others = (*_NO_PICTURES, *_MAY_BE_ANYTHING)
    return not any(scheme_of(word) in others or word.lower().endswith((".wav", ".wave")) for word in words)
