"""What somebody sent to the device, as bytes, into what a model is asked about."""

import io
import json
import math
import wave
from typing import Any

import numpy as np

from edgewise.errors import InvalidInput, UnreadableImage
from edgewise.preprocess.picture import upright
from edgewise.streams import Block, Frame, SensorBlock
from edgewise.streams.sound import decode_samples

MOST_BYTES = 16 * 1024 * 1024
"""Of one input. A 12 MP JPEG has 3 to 6 MB."""
MOST_VALUES = 1_000_000
_EXPECTED = (
    "expected a picture (JPEG, PNG, ...), a WAV file, or JSON such as "
    '{"rate_hz": 50, "samples": [[0.1, 0.2, 9.8], ...]}'
)


def read_payload(data: bytes, *, index: int, time_s: float, source: str) -> Frame | Block | SensorBlock:
    """A Frame for a picture, a Block for a WAV file, a SensorBlock for JSON. Raises UnreadableImage, InvalidInput."""
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"{source}: got {len(data)} bytes, expected at most {MOST_BYTES}")
    if data[:1] in (b"{", b" ", b"\n", b"\r", b"\t"):
        rows, rate_hz = _measurements(data, source)
        return SensorBlock(rows, rate_hz, index, time_s, source)
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        samples, rate = _sound(data, source)
        return Block(samples, rate, index, time_s, source)
    if not data:
        raise InvalidInput(f"{source}: got no bytes, {_EXPECTED}")
    try:
        picture = upright(io.BytesIO(data))
    except UnreadableImage as error:
        raise UnreadableImage(f"{source}: got {len(data)} bytes that are no picture, {_EXPECTED}") from error
    return Frame(np.asarray(picture), index, time_s, source)


def _sound(data: bytes, source: str) -> tuple[Any, int]:
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            frames = file.readframes(file.getnframes())
            samples = decode_samples(frames, file.getsampwidth(), file.getnchannels())
            rate = file.getframerate()
    except (wave.Error, EOFError, ValueError) as error:
        raise InvalidInput(
            f"{source}: got a WAV file that cannot be read ({error}), expected integers"
        ) from error
    if not samples.size or rate < 1:
        raise InvalidInput(f"{source}: got a WAV file without sound")
    return samples, rate


def _measurements(data: bytes, source: str) -> tuple[Any, float]:
    try:
        message = json.loads(data)
        rate_hz, samples = message["rate_hz"], message["samples"]
        is_rate = (
            isinstance(rate_hz, int | float) and not isinstance(rate_hz, bool) and math.isfinite(rate_hz)
        )
        if not is_rate or rate_hz <= 0 or not isinstance(samples, list) or not samples:
            raise ValueError("rate_hz must be a number above 0, samples a list of rows")
        rows = np.array(samples, np.float32)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"{source}: got JSON that is no series ({error}), {_EXPECTED}") from error
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.ndim != 2 or not 0 < rows.size <= MOST_VALUES or not np.isfinite(rows).all():
        raise InvalidInput(
            f"{source}: got samples of shape {rows.shape}, expected rows of as many finite numbers each, "
            f"at most {MOST_VALUES} in all"
        )
    return rows, float(rate_hz)
