"""Large arrays are resized down in NumPy: as Pillow does it, and no further from exact arithmetic."""

import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from exact_filter import triangle
from PIL import Image

from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader, normalise
from edgewise.preprocess.rows import RowShrinker

Photo = Callable[[tuple[int, int]], Image.Image]

EDGES_TOLERANCE, NOISE_TOLERANCE = 1.0, 3.5
"""Half a step of rounding, and weights of 8 bits: half a step more where black meets white, and as much for each
of several edges within the filter, of which noise of all values has sixteen."""
PHOTO_MAX, PHOTO_MEAN = 1.0, 1.02
"""Two roundings, as in Pillow; and how many times Pillow's mean distance."""
PILLOW_TOLERANCE = 2
"""Both are within 1 of the exact value on photos, and rounded."""


@pytest.mark.parametrize(
    ("height", "top", "bottom", "rows"),
    [
        (1080, 0.0, 1080.0, 224),
        (1080, 0.0, 1080.0, 68),
        (1080, 33.75, 1046.25, 224),
        (80, 0.0, 80.0, 5),
        (448, 0.0, 448.0, 224),
        (1001, 200.5, 999.9, 97),
    ],
)
def test_rows_are_those_of_exact_arithmetic(height: int, top: float, bottom: float, rows: int) -> None:
    rng = np.random.default_rng(0)
    edges = np.where(np.arange(height)[:, None, None] < np.arange(height)[None, :, None], 0, 255)
    noise = rng.integers(0, 256, (height, 99, 1))
    for picture, tolerance in ((edges, EDGES_TOLERANCE), (noise, NOISE_TOLERANCE)):
        image = np.repeat(picture, 3, axis=2).astype(np.uint8)
        found = RowShrinker().shrink(image, top=top, bottom=bottom, rows=rows)
        exact = np.tensordot(triangle(height, top, bottom, rows), image, axes=1)
        assert found.shape == exact.shape
        assert np.abs(found - exact).max() <= tolerance


def test_flat_areas_stay_as_they_are() -> None:
    for value in (0, 1, 127, 255):
        image = np.full((997, 8, 3), value, np.uint8)
        assert (RowShrinker().shrink(image, top=0.0, bottom=997.0, rows=224) == value).all()


@pytest.mark.parametrize("size_wh", [(1920, 1080), (1280, 720), (1500, 1999)])
def test_photos_are_as_near_to_exact_arithmetic_as_with_pillow(
    photo_like: Photo, size_wh: tuple[int, int]
) -> None:
    photo = photo_like(size_wh)
    array = np.asarray(photo)
    down, across = (triangle(length, 0, length, 224) for length in (size_wh[1], size_wh[0]))
    exact = np.einsum("yh,hwc,xw->yxc", down, array, across, optimize=True)
    reader = ImageReader(ImagePreprocess((224, 224)), compiled=False)
    ours, pillows = (np.abs(reader.read_pixels(given) - exact) for given in (array, photo))
    assert ours.max() <= PHOTO_MAX
    assert ours.mean() <= PHOTO_MEAN * pillows.mean()


@pytest.mark.parametrize("resize", ["stretch", "centre-crop", "letterbox"])
@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("size_wh", [(1920, 1080), (1080, 2400)])
def test_arrays_are_resized_as_pictures_are(
    photo_like: Photo, resize: str, colour: str, size_wh: tuple[int, int]
) -> None:
    photo = photo_like(size_wh)
    if colour == "grey":
        photo = photo.convert("L")
    array = np.asarray(photo).reshape(size_wh[1], size_wh[0], -1)
    reader = ImageReader(ImagePreprocess((224, 160), resize, 0.875, colour=colour, fill=7), compiled=False)
    ours, pillows = reader.read_pixels(array), reader.read_pixels(photo)
    assert ours.shape == pillows.shape
    assert np.abs(ours.astype(int) - pillows).max() <= PILLOW_TOLERANCE
    assert reader.prepare(array).view == reader.prepare(photo).view


def test_part_of_an_array_and_an_array_upside_down_are_arrays_too(photo_like: Photo) -> None:
    array = np.asarray(photo_like((1920, 1080)))
    reader = ImageReader(ImagePreprocess((64, 64)), compiled=False)
    for view in (array[10:-10, 31:-7], array[::-1], array[:, ::-1], array[..., ::-1], array[::2, ::2]):
        pillows = reader.read_pixels(Image.fromarray(np.ascontiguousarray(view)))
        assert np.abs(reader.read_pixels(view).astype(int) - pillows).max() <= PILLOW_TOLERANCE


@pytest.mark.parametrize("compiled", [True, False])
def test_pictures_of_several_sizes_in_several_threads_do_not_mix(photo_like: Photo, compiled: bool) -> None:
    reader = ImageReader(ImagePreprocess((224, 224)), compiled=compiled)
    arrays = [np.asarray(photo_like(size_wh)) for size_wh in ((1920, 1080), (1280, 720), (360, 800))]
    expected = [reader.read(array) for array in arrays]
    wrong: list[int] = []

    def read(first: int) -> None:
        indices = [index % 3 for index in range(first, first + 9)]
        wrong.extend(index for index in indices if (reader.read(arrays[index]) != expected[index]).any())

    threads = [threading.Thread(target=read, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_grows_from_frame_to_frame(photo_like: Photo) -> None:
    array = np.asarray(photo_like((1920, 1080)))
    shrinker = RowShrinker()
    tracemalloc.start()
    try:
        for _ in range(5):
            shrinker.shrink(array, top=0.0, bottom=1080.0, rows=224)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            shrinker.shrink(array, top=0.0, bottom=1080.0, rows=224)
        assert tracemalloc.get_traced_memory()[0] - before < 50 * 20  # less than an object for each frame
    finally:
        tracemalloc.stop()


def test_every_channel_is_normalised_with_its_own_numbers() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    spec = ImagePreprocess((5, 7), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    expected = (pixels.astype(np.float32) - mean) / std
    assert (normalise(pixels, spec) == expected).all()
    assert (normalise(pixels[:, :, ::-1], spec) == (pixels[:, :, ::-1].astype(np.float32) - mean) / std).all()
