"""What a device sent, decoded: only what is a picture or a sound through and through is kept and shown."""

import io
import warnings
import wave
from dataclasses import dataclass

from PIL import Image

from edgewise_fleet.errors import SnapshotProblem

MAX_PIXELS = 80_000_000
"""Above the 64 megapixels of the largest camera module for such boards; decoded it takes 240 MB for a moment."""
THUMBNAIL_SIDE = 320
SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "audio/wav": "wav"}
_PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG"}
_SOUNDS = ("audio/wav", "audio/x-wav", "audio/vnd.wave")


@dataclass(frozen=True)
class Checked:
    """A sound input."""

    media: str
    shape: str
    thumbnail: bytes = b""
    """JPEG of at most `THUMBNAIL_SIDE` pixels a side, written here; empty for sounds."""


def check_snapshot(data: bytes, media: str) -> Checked:
    """Decode all of it as what it says to be. Raises SnapshotProblem for anything else."""
    if media in _PICTURES:
        return _check_picture(data, media)
    if media in _SOUNDS:
        return _check_sound(data)
    raise SnapshotProblem(f"{media[:100]!r} is not shown here, only {', '.join(SUFFIXES)}")


def _check_picture(data: bytes, media: str) -> Checked:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            # One decoder, that of the media type: no other format of Pillow's is reachable from a device.
            with Image.open(io.BytesIO(data), formats=[_PICTURES[media]]) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise SnapshotProblem(
                        f"{media}: got {width} x {height}, expected at most {MAX_PIXELS} pixels"
                    )
                picture.load()
                picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
                small = picture.convert("RGB")
    except SnapshotProblem:
        raise
    except Exception as error:  # decoders raise what they like on what is none of theirs
        raise SnapshotProblem(f"{media}: cannot be decoded as that: {str(error)[:200]}") from error
    written = io.BytesIO()
    small.save(written, "JPEG", quality=80)
    return Checked(media, f"{width} x {height}", written.getvalue())


def _check_sound(data: bytes) -> Checked:
    try:
        with wave.open(io.BytesIO(data)) as sound:
            channels, width, rate, frames = sound.getparams()[:4]
            held = len(sound.readframes(frames))
    except (wave.Error, EOFError, ValueError, OverflowError, RuntimeError) as error:
        raise SnapshotProblem(f"audio/wav: cannot be decoded as that: {error}") from error
    if not frames or not rate or held != frames * channels * width:
        raise SnapshotProblem(f"audio/wav: got {held} bytes of sound, expected {frames * channels * width}")
    return Checked("audio/wav", f"{frames / rate:.1f} s")
