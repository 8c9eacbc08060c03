"""The compiled resize: nearer to exact arithmetic than Pillow, the same pictures as without it, safe to call."""

import hashlib
import tracemalloc
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
from exact_filter import exact
from kernel_answers import KERNEL_ANSWERS, kernel_answer
from PIL import Image

from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.compiled import REASON_MISSING
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.kernel import windows
from edgewise.preprocess.picture import turned
from edgewise.tensors import Array

pytestmark = pytest.mark.skipif(
    bool(REASON_MISSING), reason=f"the resize in C is {REASON_MISSING}: it needs a C compiler"
)

Photo = Callable[[tuple[int, int]], Image.Image]
Case = tuple[int, tuple[float, float], int]

FLOAT_TOLERANCE, BYTE_TOLERANCE = 0.1, 0.6
"""Every product drops up to 1/256, on average half of it, which is added again; bytes are rounded once besides."""
PILLOW_TOLERANCE = 2
"""Both are within 1 of the exact value, and rounded."""


def pictures(width: int, height: int, channels: int) -> list[Array]:
    """Noise, black meeting white in every direction, and flat ones."""
    rng = np.random.default_rng(0)
    across, down = np.arange(width), np.arange(height)[:, np.newaxis]
    edges = np.where((across // 7 + down // 5) % 2, 255, 0).astype(np.uint8)
    noise = rng.integers(0, 256, (height, width, channels), np.uint8)
    both_ends = rng.choice(np.array([0, 255], np.uint8), (height, width, channels))
    flat = [np.full((height, width, channels), value, np.uint8) for value in (0, 1, 127, 255)]
    return [noise, both_ends, np.repeat(edges[:, :, np.newaxis], channels, axis=2), *flat]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("picture_wh", "size_wh"),
    [
        ((1920, 1080), (224, 224)),
        ((301, 97), (97, 96)),
        ((40, 2100), (31, 35)),
        ((500, 40), (9, 64)),
        ((225, 224), (224, 224)),
        ((17, 33), (1, 1)),
        ((3, 3), (2, 1)),
    ],
)
def test_pixels_are_those_of_exact_arithmetic(
    picture_wh: tuple[int, int], size_wh: tuple[int, int], channels: int
) -> None:
    colour = "rgb" if channels == 3 else "grey"
    spec = ImagePreprocess(size_wh, colour=colour, mean=(127.0,), std=(50.0,))
    reader = ImageReader(spec)
    for picture in pictures(*picture_wh, channels):
        expected = exact(picture, (0, 0, *picture_wh), size_wh)
        floats = reader.read(picture)[0].astype(np.float64) * 50 + 127
        assert np.abs(floats - expected).max() <= FLOAT_TOLERANCE
        assert np.abs(reader.read_pixels(picture) - expected).max() <= BYTE_TOLERANCE


def test_flat_pictures_stay_as_they_are_in_bytes() -> None:
    reader = ImageReader(ImagePreprocess((224, 97)))
    for value in range(256):
        assert (reader.read_pixels(np.full((300, 401, 3), value, np.uint8)) == value).all()


def test_photos_are_nearer_to_exact_arithmetic_than_with_pillow(photo_like: Photo) -> None:
    photo = photo_like((1920, 1080))
    expected = exact(np.asarray(photo), (0, 0, 1920, 1080), (224, 224))
    spec = ImagePreprocess((224, 224))
    pillows = np.abs(ImageReader(spec, compiled=False).read_pixels(photo) - expected)
    ours = np.abs(ImageReader(spec).read_pixels(photo) - expected)
    floats = np.abs(ImageReader(spec).read(photo)[0] - expected)
    assert ours.max() <= pillows.max()
    assert ours.mean() <= pillows.mean()
    assert floats.mean() <= pillows.mean() / 10


@pytest.mark.parametrize("resize", ["stretch", "centre-crop", "letterbox"])
@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("size_wh", [(640, 360), (360, 800)])
def test_the_picture_is_the_one_without_the_kernel(
    photo_like: Photo, resize: str, colour: str, layout: str, size_wh: tuple[int, int]
) -> None:
    photo = photo_like(size_wh).convert("L" if colour == "grey" else "RGB")
    array = np.asarray(photo).reshape(size_wh[1], size_wh[0], -1)
    mean, std = ((10.0, 20.0, 30.0), (2.0, 3.0, 4.0)) if colour != "grey" else ((10.0,), (2.0,))
    spec = ImagePreprocess((224, 160), resize, 0.875, colour=colour, fill=7, mean=mean, std=std)
    for dtype, tolerance in (("float32", PILLOW_TOLERANCE / 2), ("uint8", PILLOW_TOLERANCE)):
        compiled = ImageReader(spec, layout=layout, dtype=dtype)
        plain = ImageReader(spec, layout=layout, dtype=dtype, compiled=False)
        expected = plain.prepare(photo)
        for source in (array, photo):
            made = compiled.prepare(source)
            assert (made.tensor.shape, made.tensor.dtype) == (expected.tensor.shape, expected.tensor.dtype)
            assert made.tensor.flags.c_contiguous
            assert np.abs(made.tensor.astype(float) - expected.tensor).max() <= tolerance
            assert made.view == expected.view
            assert made.tensor.flags.writeable


def test_parts_of_arrays_and_arrays_upside_down_are_read_as_they_are(photo_like: Photo) -> None:
    array = np.asarray(photo_like((400, 300)).convert("RGBA"))
    reader = ImageReader(ImagePreprocess((64, 48)))
    for view in (array[10:-10, 31:-7, :3], array[::-1, :, :3], array[::2, :, :3], array[:, ::-1, 2::-1]):
        expected = reader.read(np.ascontiguousarray(view))
        assert np.array_equal(reader.read(view), expected)


def test_a_large_picture_in_bands_is_the_array(photo_like: Photo) -> None:
    photo = photo_like((2600, 1800))
    for resize in ("stretch", "centre-crop"):
        reader = ImageReader(ImagePreprocess((224, 300), resize))
        assert np.array_equal(reader.read(photo), reader.read(np.asarray(photo)))


def test_turns_are_pillows() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    for turn in Image.Transpose:
        expected = np.asarray(Image.fromarray(pixels).transpose(turn))
        assert np.array_equal(turned(pixels, turn), expected), turn
    assert np.array_equal(turned(pixels, None), pixels)


def test_weights_are_shares_of_one_and_stay_within_the_picture() -> None:
    for length, low, high, count in (
        (1080, 0.0, 1080.0, 224),
        (97, 3.5, 90.25, 31),
        (5, 0.0, 5.0, 9),
        (4, 0.0, 4.0, 1),
    ):
        made = windows(length, low, high, count)
        sums = made.weights.astype(int).sum(axis=1)
        assert set(sums) <= {65535, 65536}
        assert (made.starts >= 0).all()
        assert made.first >= 0
        assert made.last <= length


def test_every_processor_gives_these_bytes() -> None:
    """tests/arm/test_kernel_on_boards.py looks at the same on ARM."""
    for name, expected in KERNEL_ANSWERS.items():
        assert hashlib.sha256(kernel_answer(name)).hexdigest() == expected, name


def test_nothing_grows_from_picture_to_picture(photo_like: Photo) -> None:
    array = np.asarray(photo_like((640, 480)))
    reader = ImageReader(ImagePreprocess((224, 224)))
    tracemalloc.start()  # it counts what the C code takes, too
    try:
        for _ in range(5):
            reader.read(array)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            reader.read(array)
        assert tracemalloc.get_traced_memory()[0] - before < 50 * 20  # less than an object for each picture
    finally:
        tracemalloc.stop()


# What follows calls the C code as nobody does.


def arguments() -> dict[str, object]:
    """Arguments that are right: 9 x 8 to 4 x 3."""
    down, across = windows(9, 0.0, 9.0, 4), windows(8, 0.0, 8.0, 3)
    return {
        "image": np.zeros((9, 8, 3), np.uint8),
        "out": np.zeros((4, 3, 3), np.float32),
        "down_starts": down.starts,
        "down_weights": down.weights,
        "across_starts": across.starts,
        "across_weights": across.weights,
        "scale": np.ones(3, np.float32),
        "bias": np.zeros(3, np.float32),
    }


def call(given: dict[str, object]) -> None:
    import_module("edgewise.preprocess._resize").resize(*given.values())


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def unaligned(shape: tuple[int, ...]) -> Array:
    """float32 one byte beside where it should be."""
    return np.zeros(int(np.prod(shape)) * 4 + 4, np.uint8)[1:-3].view(np.float32).reshape(shape)


BAD = [
    ("image", np.zeros((9, 8, 3), np.int8)),
    ("image", np.zeros((9, 8), np.uint8)),
    ("image", np.zeros((9, 8, 2), np.uint8)),
    ("image", np.zeros((9, 8, 4), np.uint8)),
    ("image", np.zeros((0, 8, 3), np.uint8)),
    ("image", np.zeros((9, 0, 3), np.uint8)),
    ("image", np.zeros((8, 8, 3), np.uint8)),
    ("image", np.zeros((9, 7, 3), np.uint8)),
    ("image", np.zeros((9, 8, 3), np.uint8)[:, ::-1]),
    ("image", np.zeros((9, 8, 3), np.uint8)[:, :, ::-1]),
    ("image", np.zeros((9, 40, 3), np.uint8)[:, ::5]),
    ("image", np.zeros((3, 9, 8), np.uint8).transpose(1, 2, 0)),
    ("image", np.broadcast_to(np.zeros((9, 1, 3), np.uint8), (9, 8, 3))),
    ("image", b"bytes"),
    ("image", None),
    ("out", np.zeros((4, 3, 3), np.float64)),
    ("out", np.zeros((4, 3, 3), np.int8)),
    ("out", np.zeros((5, 3, 3), np.float32)),
    ("out", np.zeros((4, 4, 3), np.float32)),
    ("out", np.zeros((4, 3, 1), np.float32)),
    ("out", np.zeros((0, 3, 3), np.float32)),
    ("out", np.zeros((4, 6, 3), np.float32)[:, ::2]),
    ("out", np.zeros((4, 3, 3), np.float32)[:, ::-1]),
    ("out", read_only(np.zeros((4, 3, 3), np.float32))),
    ("out", unaligned((4, 3, 3))),
    ("out", None),
    ("down_starts", np.full(4, -1, np.int32)),
    ("down_starts", np.full(4, 2**31 - 1, np.int32)),
    ("down_starts", np.full(4, 5, np.int32)),
    ("down_starts", np.zeros(4, np.int64)),
    ("down_starts", np.zeros(8, np.int32)[::2]),
    ("down_starts", np.zeros((4, 1), np.int32)),
    ("down_weights", np.zeros((4, 6), np.int16)),
    ("down_weights", np.zeros((4, 0), np.uint16)),
    ("down_weights", np.zeros((4, 10), np.uint16)),
    ("down_weights", np.zeros((4, 127), np.uint16)),
    ("down_weights", np.zeros((3, 6), np.uint16)),
    ("across_starts", np.full(3, 3, np.int32)),
    ("across_weights", np.zeros((3, 9), np.uint16)),
    ("across_weights", None),
    ("scale", np.ones(2, np.float32)),
    ("scale", np.ones(3, np.float64)),
    ("scale", None),
    ("bias", np.ones((3, 1), np.float32)),
    ("bias", 1.0),
]  # fmt: skip


def test_the_right_arguments_are_right() -> None:
    call(arguments())


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_wrong_argument_is_an_error_and_nothing_is_written(name: str, value: object) -> None:
    given = arguments() | {name: value}
    out = given["out"]
    before = out.copy() if isinstance(out, np.ndarray) else None
    with pytest.raises((ValueError, TypeError, BufferError)):
        call(given)
    assert before is None or np.array_equal(out, before)  # type: ignore[arg-type]


def test_too_few_arguments_are_an_error() -> None:
    given = arguments()
    given.pop("bias")
    with pytest.raises(TypeError):
        call(given)


def test_arguments_of_chance_write_only_where_they_may() -> None:
    rng = np.random.default_rng(7)
    accepted = 0
    for _ in range(3000):
        made = of_chance(rng)
        guard = made.pop("guard")
        inside = made.pop("inside")
        assert isinstance(guard, np.ndarray)
        assert isinstance(inside, np.ndarray)
        try:
            call(made)
            accepted += 1
        except (ValueError, TypeError, BufferError):
            assert (guard == 77).all()
        assert (guard[~inside] == 77).all()
    assert 300 < accepted < 2700  # else this test would say little


def of_chance(rng: np.random.Generator) -> dict[str, object]:
    """Sizes, steps and windows that fit each other more often than not; the result lies within a larger array."""
    height, width = (int(side) for side in rng.integers(1, 40, 2))
    rows, columns = (int(side) for side in rng.integers(1, 24, 2))
    channels = int(rng.choice([1, 3, 3, 2]))
    image = rng.integers(0, 256, (height, width, 4), np.uint8)[:, :, :channels]
    image = image[:: rng.choice([1, 1, -1, 2]), :: rng.choice([1, 1, 1, 2, -1])]
    kind = rng.choice([np.uint8, np.float32])
    guard = np.full((rows + 2, columns + 2, channels), 77, kind)
    if rng.random() < 0.3:
        guard = np.full((channels, rows + 2, columns + 2), 77, kind).transpose(1, 2, 0)
    inside = np.zeros(guard.shape, bool)
    place = (slice(1, -1), slice(1, -1), slice(None, None, int(rng.choice([1, 1, -1]))))
    inside[place] = True
    taps = [int(rng.integers(1, max(2, min(side, 12)))) for side in image.shape[:2]]
    ends = [
        max(1, side - count + 1 + int(rng.choice([0, 0, 0, 1])))
        for side, count in zip(image.shape, taps, strict=False)
    ]
    return {
        "image": image,
        "out": guard[place],
        "down_starts": rng.integers(0, ends[0], rows + int(rng.choice([0] * 9 + [1])), np.int32),
        "down_weights": rng.integers(0, 65536, (rows, taps[0]), np.uint16),
        "across_starts": rng.integers(0, ends[1], columns, np.int32),
        "across_weights": rng.integers(0, 65536, (columns, taps[1]), np.uint16),
        "scale": np.ones(channels, np.float32),
        "bias": np.zeros(channels, np.float32),
        "guard": guard,
        "inside": inside,
    }
