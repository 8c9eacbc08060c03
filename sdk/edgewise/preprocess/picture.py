"""Opening pictures of every kind as 8-bit RGB or grey, with Pillow."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from edgewise.errors import EdgewiseError, InvalidInput, UnreadableImage
from edgewise.tensors import Array

ImageSource: TypeAlias = str | os.PathLike[str] | BinaryIO | Image.Image | Array
"""A file, an open binary file, a PIL image, or a uint8 array (height, width[, 1, 3 or 4]), RGB order."""

_ORIENTATION = 0x0112
"""The Exif tag (Exif 2.32, section 4.6.4 A)."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ACROSS_THE_DIAGONAL = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
)
"""Turns that make width of height."""
_REVERSED: dict[Image.Transpose | None, tuple[bool, bool]] = {
    Image.Transpose.FLIP_LEFT_RIGHT: (False, True),
    Image.Transpose.FLIP_TOP_BOTTOM: (True, False),
    Image.Transpose.ROTATE_180: (True, True),
    Image.Transpose.ROTATE_90: (True, False),
    Image.Transpose.ROTATE_270: (False, True),
    Image.Transpose.TRANSVERSE: (True, True),
}
"""What is backwards after a turn, rows and columns, once the sides are swapped where it does that."""
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError, MemoryError)
"""What Pillow's decoders raise for files that are not whole, or not what they say they are."""
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@contextmanager
def broken_as_unreadable(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises for a bad picture into UnreadableImage naming it."""
    try:
        yield
    except EdgewiseError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{name}: not a picture of a kind that Pillow knows") from error
    except _TOO_LARGE as error:
        raise UnreadableImage(f"{name}: too large: {error}") from error
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImage(f"{name}: broken picture: {reason}") from error


def name_of(source: ImageSource) -> str:
    """What to call the source in a message."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "") or getattr(source, "filename", "") or type(source).__name__)


def is_readable_again(source: ImageSource) -> bool:
    """Whether the source can be opened twice: a pipe can not."""
    return not hasattr(source, "read") or bool(getattr(source, "seekable", bool)())


def open_picture(source: ImageSource) -> Image.Image:
    """The picture, pixels not yet decoded where it is a file. Raises InvalidInput and Pillow's errors."""
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, str | os.PathLike) or hasattr(source, "read"):
        picture = Image.open(Path(source) if isinstance(source, str) else source)
        _refuse_too_large(picture, name_of(source))
        return picture
    raise InvalidInput(
        f"image: got {type(source).__name__}, expected a path, a PIL image, or a uint8 array (h, w, 3)"
    )


def leave(picture: Image.Image, source: ImageSource) -> None:
    """Close what `open_picture` opened; what the caller gave stays open."""
    if picture is source:
        return
    if hasattr(source, "read"):
        picture.fp = None  # type: ignore[attr-defined]  # as Pillow does itself once the pixels are decoded
    picture.close()


def picture_size_wh(source: ImageSource) -> tuple[int, int]:
    """Width and height as stored, without decoding. Raises UnreadableImage, InvalidInput."""
    with broken_as_unreadable(name_of(source)):
        picture = open_picture(source)
        size = picture.size
        leave(picture, source)
    return size


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """How the picture is to be turned to stand upright."""
    return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))


def upright(source: ImageSource) -> Image.Image:
    """The whole picture in RGB, standing upright, as a new image. Raises UnreadableImage, InvalidInput."""
    with broken_as_unreadable(name_of(source)):
        picture = open_picture(source)
        try:
            turn = turn_of(picture)
            copy = to_mode(picture, "RGB")
            copy = copy.copy() if turn is None else copy.transpose(turn)
            copy.info = {}  # the orientation in it has been applied, and parts of the picture would inherit it
        finally:
            leave(picture, source)
    return copy


def swaps_sides(turn: Image.Transpose | None) -> bool:
    """Whether turning makes width of height."""
    return turn in _ACROSS_THE_DIAGONAL


def turned(pixels_hwc: Array, turn: Image.Transpose | None) -> Array:
    """The pixels after a turn, as Pillow's `transpose` makes them: a view of the array."""
    if turn in _ACROSS_THE_DIAGONAL:
        pixels_hwc = pixels_hwc.transpose(1, 0, 2)
    down, across = _REVERSED.get(turn, (False, False))
    return pixels_hwc[:: -1 if down else 1, :: -1 if across else 1]


def to_mode(picture: Image.Image, mode: str) -> Image.Image:
    """The picture as 8-bit ``RGB`` or ``L``. What is transparent becomes white, as a viewer shows it."""
    if picture.mode == mode:
        return picture
    if picture.mode.startswith("I"):
        picture = _from_16_bit(picture)
    if picture.mode == "F":
        raise InvalidInput("image: got floating-point pixels, expected 8 or 16 bits; scale them first")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert(mode)


def _from_16_bit(picture: Image.Image) -> Image.Image:
    """Pillow's own conversion cuts off at 255 instead of scaling."""
    values = np.asarray(picture)
    if values.min(initial=0) < 0 or values.max(initial=0) > 0xFFFF:
        raise InvalidInput("image: got 32-bit pixels, expected 8 or 16 bits; scale them first")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _from_array(array: Array) -> Image.Image:
    if array.dtype != np.uint8:
        raise InvalidInput(
            f"image: got an array of {array.dtype}, expected uint8; for tensors there is run()"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_picture or array.size == 0:
        raise InvalidInput(f"image: got an array {array.shape}, expected (height, width, 3)")
    return Image.fromarray(array)


def _refuse_too_large(picture: Image.Image, name: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    width, height = picture.size
    if limit is not None and width * height > limit:
        raise UnreadableImage(f"{name}: too large: {width} x {height} pixels, expected at most {limit}")
