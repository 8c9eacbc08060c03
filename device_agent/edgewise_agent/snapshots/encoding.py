"""An input of a source as the bytes of a file that any program reads."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgewise.streams.frame import Block, Frame, SensorBlock
from edgewise.tensors import Array

JPEG, WAV, NPZ, TEXT = "image/jpeg", "audio/wav", "application/x-npz", "text/plain"
_KINDS = {
    ".jpg": JPEG, ".jpeg": JPEG, ".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp", ".gif": "image/gif",
    ".tif": "image/tiff", ".tiff": "image/tiff", ".wav": WAV,
}  # fmt: skip
SUFFIXES = {NPZ: ".npz", TEXT: ".txt", **{media: suffix for suffix, media in reversed(_KINDS.items())}}
MAX_FILE_BYTES = 32 * 1024 * 1024
"""A larger file is not copied: a snapshot is one input, not a film."""


@dataclass(frozen=True)
class Encoded:
    """The bytes of one input."""

    media: str
    """Its media type, such as image/jpeg."""
    data: bytes

    @property
    def suffix(self) -> str:
        """Of its file."""
        return SUFFIXES[self.media]

    @property
    def is_picture(self) -> bool:
        """Whether it may show faces."""
        return self.media.startswith("image/")

    @property
    def is_sound(self) -> bool:
        """Whether it may hold voices."""
        return self.media.startswith("audio/")


def encode_input(given: Any, *, jpeg_quality: int = 85) -> Encoded:
    """A Frame, Block, SensorBlock, path, picture array (uint8, height, width, 3, RGB), rows of numbers or a text.

    Raises OSError for a file that cannot be read, ValueError for what is none of these.
    """
    if isinstance(given, Frame):
        given = given.image
    if isinstance(given, Path):
        return _of_file(given)
    if isinstance(given, Block):
        return Encoded(WAV, wav_bytes(given.samples, given.sample_rate_hz))
    if isinstance(given, SensorBlock):
        return Encoded(NPZ, _npz_bytes(given.samples, given.rate_hz))
    if isinstance(given, str):
        return Encoded(TEXT, given.encode(errors="replace"))
    if isinstance(given, np.ndarray):
        if given.dtype == np.uint8 and given.ndim == 3 and given.shape[2] == 3:
            return Encoded(JPEG, jpeg_bytes(Image.fromarray(given), quality=jpeg_quality))
        return Encoded(NPZ, _npz_bytes(given, 0.0))
    raise ValueError(f"got {type(given).__name__}, expected an input of a source")


def jpeg_bytes(picture: Image.Image, *, quality: int) -> bytes:
    """Without any metadata: no place, no camera's number, no thumbnail of the picture before it was changed."""
    stream = io.BytesIO()
    clean = Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes())
    clean.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def wav_bytes(samples: Array, rate_hz: int) -> bytes:
    """One channel of 16 bits; ``samples`` are from -1 to 1."""
    import wave  # for sound only

    stream = io.BytesIO()
    whole = np.round(np.clip(np.nan_to_num(samples), -1.0, 1.0) * 32767).astype("<i2")
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(whole.tobytes())
    return stream.getvalue()


def _of_file(path: Path) -> Encoded:
    media = _KINDS.get(path.suffix.lower())
    if media is None:
        raise ValueError(f"{path}: got a file ending in '{path.suffix}', expected one of {', '.join(_KINDS)}")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path}: got {size} bytes, expected at most {MAX_FILE_BYTES}")
    return Encoded(media, path.read_bytes())


def _npz_bytes(rows: Array, rate_hz: float) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, samples=rows, rate_hz=np.float64(rate_hz))
    return stream.getvalue()
