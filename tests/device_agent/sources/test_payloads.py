import io
import json
import wave

import numpy as np
import pytest
from PIL import Image

from edgewise.errors import InvalidInput, UnreadableImage
from edgewise.streams import Block, Frame, SensorBlock
from edgewise_agent.sources.payloads import MOST_BYTES, read_payload


def read(data: bytes) -> Frame | Block | SensorBlock:
    return read_payload(data, index=7, time_s=1.0, source="push:1")


def wav(samples: int, *, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.arange(samples, dtype="<i2").tobytes())
    return out.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_a_frame(form: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(out, form)
    frame = read(out.getvalue())
    assert isinstance(frame, Frame) and frame.index == 7
    assert isinstance(frame.image, np.ndarray) and frame.image.shape == (10, 20, 3)


def test_a_wav_file_is_a_block_and_json_a_sensor_block() -> None:
    block = read(wav(100))
    assert isinstance(block, Block)
    assert (block.samples.shape, block.sample_rate_hz) == ((100,), 8000)
    rows = read(json.dumps({"rate_hz": 50, "samples": [[1, 2], [3, 4], [5, 6]]}).encode())
    assert isinstance(rows, SensorBlock)
    assert (rows.samples.shape, rows.rate_hz) == ((3, 2), 50.0)
    column = read(b'{"rate_hz": 1.5, "samples": [1, 2]}')
    assert isinstance(column, SensorBlock) and column.samples.shape == (2, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        wav(100)[:30],
        wav(0),
        b"RIFF0000WAVE",
        b"{}",
        b"{" * 5000,
        b'{"rate_hz": 0, "samples": [1]}',
        b'{"rate_hz": true, "samples": [1]}',
        b'{"rate_hz": NaN, "samples": [1]}',
        b'{"rate_hz": 50, "samples": []}',
        b'{"rate_hz": 50, "samples": [[1], [2, 3]]}',
        b'{"rate_hz": 50, "samples": [NaN]}',
        b'{"rate_hz": 50, "samples": ["1e400"]}',
        b'{"rate_hz": 50, "samples": [[[1]]]}',
        b'{"rate_hz": 50, "samples": {"0": 1}}',
        b"\xff\xd8\xff\xe0" + b"\0" * 100,
    ],
)
def test_anything_else_is_refused_by_name(data: bytes) -> None:
    with pytest.raises((InvalidInput, UnreadableImage), match="push:1: got "):
        read(data)


def test_what_is_too_large_is_refused_unread() -> None:
    with pytest.raises(InvalidInput, match="expected at most"):
        read(b"{" + b" " * MOST_BYTES)
