"""Real model files and pictures for the SDK's tests."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgewise
from edgewise.testing import write_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A float32 .tflite that tells red, green and blue apart."""
    return write_tiny_model(tmp_path / "tiny.tflite")


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Path:
    """The same as .onnx."""
    return write_tiny_model(tmp_path / "tiny.onnx")


@pytest.fixture
def photo_like() -> Callable[[tuple[int, int]], Image.Image]:
    """Makes a picture of a size, with smooth areas, edges and some noise, as photographs have."""
    return _photo_like


def _photo_like(size_wh: tuple[int, int]) -> Image.Image:
    width, height = size_wh
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size_wh, Image.Resampling.BICUBIC), np.int16)
    edges = np.where((np.arange(width) // 97 + np.arange(height)[:, None] // 61) % 2, 25, -25)
    noise = rng.normal(0, 4, (height, width, 1))
    return Image.fromarray(np.clip(smooth + edges[:, :, None] + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def save_picture(tmp_path: Path) -> Callable[..., Path]:
    """Save a picture under a name, and give its path."""

    def save(picture: Image.Image, name: str, **options: object) -> Path:
        path = tmp_path / name
        picture.save(path, **options)  # type: ignore[arg-type]  # keywords by name, checked when called
        return path

    return save


@pytest.fixture
def model(tiny: Path) -> Iterator[edgewise.Model]:
    """The tiny model, loaded."""
    with edgewise.load(tiny) as opened:
        yield opened


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Fails the test when a thread that it began is still there."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert left == []
