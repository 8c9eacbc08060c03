"""JPEG files straight to small pictures: Pillow's pixels resized exactly, whatever the file and the threads."""

import hashlib
import io
import multiprocessing
import os
import resource
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module

import exact_filter
import numpy as np
import pytest
from jpeg_writer import AC_COUNTS, AC_SYMBOLS, DC_COUNTS, DC_SYMBOLS, jpeg_file, segment
from kernel_answers import JPEG_ANSWERS, jpeg_answer
from PIL import Image

from edgewise.errors import UnreadableImage
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.compiled import REASON_MISSING
from edgewise.preprocess.geometry import Fit, fit_of
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.jpeg import reading, weights
from edgewise.preprocess.jpeg.headers import read_headers
from edgewise.tensors import Array

pytestmark = pytest.mark.skipif(
    bool(REASON_MISSING), reason=f"the reader in C is {REASON_MISSING}: it needs a C compiler"
)

Photo = Callable[[tuple[int, int]], Image.Image]

MEAN_TOLERANCE, TOLERANCE = 0.25, 1.9
"""In pixel values. libjpeg rounds brightness, colour differences, of which one counts 1.772 times, and the sum: up to
0.5 + 0.886 + 0.5, which flat areas do not average out."""
SAMPLINGS = {
    "4:2:0": ((2, 2), (1, 1), (1, 1)),
    "4:2:2": ((2, 1), (1, 1), (1, 1)),
    "4:4:0": ((1, 2), (1, 1), (1, 1)),
    "4:4:4": ((1, 1), (1, 1), (1, 1)),
    "grey": ((1, 1),),
    "grey, said to be sampled twice": ((2, 2),),
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the small files of these tests are read in several threads, too."""
    monkeypatch.setattr(reading, "_PART_BYTES", 700)


def whole(wh: tuple[int, int]) -> tuple[float, float, float, float]:
    return 0.0, 0.0, float(wh[0]), float(wh[1])


def read(
    content: bytes, fit: Fit, *, grey: bool = False, threads: int = 1, resample: str = "bilinear"
) -> Array | None:
    wh, colour = Image.open(io.BytesIO(content)).size, "grey" if grey else "rgb"
    small = reading.read_small(
        io.BytesIO(content), wh, fit, colour=colour, threads=threads, resample=resample
    )
    return None if small is None else small.planes


def exact(content: bytes, fit: Fit, *, grey: bool = False, resample: str = "bilinear") -> Array:
    """Pillow's pixels, resized in float64: (channels, height, width)."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L" if grey else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    filter_ = exact_filter.cubic if resample == "bicubic" else exact_filter.triangle
    return exact_filter.exact(pixels, fit.box_xyxy, fit.inner_wh, filter_).transpose(2, 0, 1)


def muted(picture: Image.Image) -> Image.Image:
    """Without sums beyond black and white, where decoders cut pixels off one by one, and we their weighted mean."""
    return Image.fromarray((np.asarray(picture, np.float32) * 0.6 + 50).astype(np.uint8))


def assert_close(got: Array | None, expected: Array) -> None:
    assert got is not None, "left to Pillow"
    assert (got.shape, got.dtype) == (expected.shape, np.dtype(np.float32))
    error = np.abs(got - expected)
    assert error.mean() < MEAN_TOLERANCE
    assert error.max() < TOLERANCE


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("restart_interval", [0, 1, 7])
@pytest.mark.parametrize("wh", [(333, 201), (336, 208), (65, 300)])
def test_files_of_every_sampling_give_pillows_pixels(
    sampling: tuple[tuple[int, int], ...], restart_interval: int, wh: tuple[int, int]
) -> None:
    content = jpeg_file(wh, sampling, restart_interval=restart_interval)
    for grey in (False, True):
        fit = Fit(whole(wh), (wh[0] // 5, wh[1] // 6))
        assert_close(read(content, fit, grey=grey, threads=3), exact(content, fit, grey=grey))


@pytest.mark.parametrize("resize", ["stretch", "centre-crop", "letterbox"])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("size_wh", [(224, 224), (97, 160), (31, 17)])
def test_files_of_libjpeg_give_its_pixels(
    photo_like: Photo, resize: str, options: dict[str, int], size_wh: tuple[int, int]
) -> None:
    wh, stream = (1003, 751), io.BytesIO()
    muted(photo_like(wh)).save(stream, "JPEG", quality=88, **options)
    fit = fit_of(ImagePreprocess(size_wh, resize, 0.9), wh, size_wh)
    for resample in ("bilinear", "bicubic"):
        got = read(stream.getvalue(), fit, threads=2, resample=resample)
        assert_close(got, exact(stream.getvalue(), fit, resample=resample))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(
    ("colour", "resample"), [("rgb", "bilinear"), ("bgr", "bicubic"), ("grey", "bilinear")]
)
def test_the_reader_gives_what_it_gives_without_c(
    photo_like: Photo, orientation: int, layout: str, colour: str, resample: str
) -> None:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    photo_like((900, 640)).save(stream, "JPEG", quality=92, exif=exif)
    spec = ImagePreprocess(
        (120, 90), "letterbox", resample=resample, colour=colour, mean=(120.0,), std=(50.0,), fill=9
    )
    ours = ImageReader(spec, layout=layout, threads=2).prepare(stream)
    plain = ImageReader(spec, layout=layout, compiled=False).prepare(stream)
    assert ours.is_reduced
    assert np.abs(ours.tensor - plain.tensor).max() < 5 / 50  # both decode small, each in its own way
    assert np.abs(ours.tensor - plain.tensor).mean() < 0.5 / 50
    points = np.array([[0.0, 0.0], [60.0, 45.0], [119.0, 3.0]])
    assert np.allclose(ours.view.to_picture(points), plain.view.to_picture(points), atol=1.0)
    bytes_ = ImageReader(spec, layout=layout, dtype="uint8").read_pixels(stream)
    floats = ours.tensor[0] if layout == "nhwc" else ours.tensor[0].transpose(1, 2, 0)
    assert np.abs(bytes_ - (floats * 50 + 120)).max() < 0.501


def test_any_number_of_threads_gives_the_same_bytes(photo_like: Photo) -> None:
    stream = io.BytesIO()
    photo_like((1200, 900)).save(stream, "JPEG", quality=90)
    chance = jpeg_file((640, 480), seed=5, many=20, sizes=10)
    for content, wh in ((stream.getvalue(), (1200, 900)), (chance, (640, 480))):
        fit = Fit(whole(wh), (100, 75))
        alone = read(content, fit)
        assert alone is not None
        for threads in (2, 3, 4, 7, 16):
            assert np.array_equal(read(content, fit, threads=threads), alone), threads


@pytest.mark.parametrize("many", [0.0, 0.4, 40.0])
def test_parts_that_fall_into_step_late_or_never_are_decoded_all_the_same(many: float) -> None:
    # With hardly a coefficient blocks look alike, and a guess in the middle of a group may stay in the middle.
    content = jpeg_file((1600, 1200) if many < 1 else (320, 240), seed=3, many=many)
    wh = Image.open(io.BytesIO(content)).size
    fit = Fit(whole(wh), (50, 40))
    assert np.array_equal(read(content, fit, threads=16), read(content, fit))
    if many < 1:
        assert_close(read(content, fit, threads=16), exact(content, fit))


def test_what_is_left_out_does_not_show(photo_like: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    photo_like((1600, 1200)).save(stream, "JPEG", quality=92)
    fit = Fit(whole((1600, 1200)), (224, 160))
    usual = read(stream.getvalue(), fit)
    monkeypatch.setattr(weights, "NEGLECTED", 0.0)
    weights.needed.cache_clear()
    everything = read(stream.getvalue(), fit)
    weights.needed.cache_clear()
    assert usual is not None
    assert everything is not None
    assert not np.array_equal(usual, everything)
    assert np.abs(usual - everything).max() < 0.5
    assert np.sqrt(np.square(usual - everything).mean()) < 0.05


def test_every_processor_gives_these_bytes() -> None:
    """tests/arm/test_kernel_on_boards.py looks at the same on ARM."""
    for name, expected in JPEG_ANSWERS.items():
        assert hashlib.sha256(jpeg_answer(name)).hexdigest() == expected, name


FIT = Fit(whole((320, 240)), (64, 48))


def saved(format_: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (320, 240), 90 if mode == "L" else None).save(stream, format_, **options)  # type: ignore[arg-type]
    return stream.getvalue()


GOOD = jpeg_file((320, 240), seed=2)
SCAN = GOOD.index(b"\xff\xda") + 14
ADOBE_RGB = segment(0xEE, b"Adobe" + bytes(7))
UNUSUAL = {
    "progressive": saved(progressive=True),
    "CMYK": saved(mode="CMYK"),
    "Adobe's RGB": jpeg_file((320, 240), extra=ADOBE_RGB),
    "4:1:1": jpeg_file((320, 240), ((4, 1), (1, 1), (1, 1))),
    "no sampling": GOOD.replace(bytes([1, 0x22, 0, 2, 0x11]), bytes([1, 0x02, 0, 2, 0x11])),
    "no sampling down": GOOD.replace(bytes([1, 0x22, 0, 2, 0x11]), bytes([1, 0x20, 0, 2, 0x11])),
    "brightness sampled three times": GOOD.replace(
        bytes([1, 0x22, 0, 2, 0x11]), bytes([1, 0x32, 0, 2, 0x11])
    ),
    "colours sampled twice": jpeg_file((320, 240), ((2, 2), (2, 1), (1, 1))),
    "two components": jpeg_file((320, 240), ((1, 1), (1, 1))),
    "components named RGB": GOOD.replace(
        bytes([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]), b"R\x22\x00G\x11\x00B\x11\x00"
    ).replace(bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0]), b"\x03R\x00G\x00B\x00\x00\x3f\x00"),
    "12 bits": GOOD.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c"),
    "arithmetic coding": GOOD.replace(b"\xff\xc0\x00\x11", b"\xff\xc9\x00\x11"),
    "no height": GOOD.replace(b"\xff\xc0\x00\x11\x08\x00\xf0", b"\xff\xc0\x00\x11\x08\x00\x00"),
    "another size": GOOD.replace(b"\xff\xc0\x00\x11\x08\x00\xf0", b"\xff\xc0\x00\x11\x08\x00\xf8"),
    "cut short": GOOD[: SCAN + 5000],
    "no end": GOOD[:-2],
    "bytes missing": GOOD[: SCAN + 5000] + GOOD[SCAN + 5100 :],
    "bytes too many": GOOD[:-2] + b"abc\xff\xd9",
    "a restart that nobody announced": GOOD[: SCAN + 5000] + b"\xff\xd0" + GOOD[SCAN + 5000 :],
    "restarts missing": GOOD.replace(b"\xff\xc0", segment(0xDD, b"\x00\x07") + b"\xff\xc0"),
    "a table missing": GOOD.replace(b"\xff\xc4", b"\xff\xfe", 1),
    "more codes than there are": GOOD.replace(
        DC_COUNTS, bytes([3, *DC_COUNTS[1:6], *DC_COUNTS[6:8], 0, 0, 0, 0, 0, 0, 0, 0])
    ),
    "no quantization": GOOD.replace(b"\xff\xdb", b"\xff\xfe", 1),
    "not a JPEG": b"\x89PNG" + GOOD,
    "nothing": b"",
}


@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_unusual_or_wrong_is_left_to_pillow(content: bytes, threads: int) -> None:
    assert reading.read_small(io.BytesIO(GOOD), (320, 240), FIT, colour="rgb", threads=threads) is not None
    assert reading.read_small(io.BytesIO(content), (320, 240), FIT, colour="rgb", threads=threads) is None
    with suppress(UnreadableImage):  # what Pillow reads, the reader reads; what it does not, has this name
        ImageReader(ImagePreprocess((64, 48)), threads=threads).read(io.BytesIO(content))


def test_what_is_behind_the_picture_does_not_count(photo_like: Photo) -> None:
    stream = io.BytesIO()
    muted(photo_like((640, 480))).save(stream, "MPO", save_all=True, append_images=[photo_like((320, 240))])
    fit = Fit(whole((640, 480)), (96, 72))
    assert_close(read(stream.getvalue() + b"\xff\xd8\xff\x00 more", fit), exact(stream.getvalue(), fit))
    assert ImageReader(ImagePreprocess((96, 72))).prepare(stream).is_reduced


def test_only_pictures_that_become_half_as_large_or_less_are_read_so(photo_like: Photo) -> None:
    stream = io.BytesIO()
    photo_like((400, 300)).save(stream, "JPEG", subsampling=0)
    assert read(stream.getvalue(), Fit(whole((400, 300)), (200, 150))) is not None
    assert read(stream.getvalue(), Fit(whole((400, 300)), (201, 150))) is None
    assert read(stream.getvalue(), Fit(whole((400, 300)), (6, 150))) is None
    assert read(stream.getvalue(), Fit(whole((400, 300)), (40, 30)), resample="nearest") is None
    spec = ImagePreprocess((40, 30), resample="nearest")
    assert np.array_equal(
        ImageReader(spec).read_pixels(stream), ImageReader(spec, compiled=False).read_pixels(stream)
    )


def test_files_changed_by_chance_are_pictures_or_unreadable() -> None:
    rng = np.random.default_rng(0)
    reader = ImageReader(ImagePreprocess((64, 48)), threads=3)
    files = [GOOD, jpeg_file((320, 240), restart_interval=9, seed=1), saved(), saved(optimize=True, mode="L")]
    read_small = 0
    for trial in range(600):
        content = bytearray(files[trial % len(files)])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(len(content) if rng.random() < 0.5 else min(700, len(content))))
            content[at] = int(rng.integers(256))
        try:
            prepared = reader.prepare(io.BytesIO(bytes(content)))
        except UnreadableImage:
            continue
        assert np.isfinite(prepared.tensor).all()
        assert prepared.tensor.min() > -0.1  # the compiled resize is within 0.1
        assert prepared.tensor.max() < 255.1
        read_small += prepared.is_reduced
    assert read_small > 60, "hardly one reached the C code"


def test_processes_forked_while_others_read_read_too() -> None:
    expected = read(GOOD, FIT, threads=3)
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            read(GOOD, FIT, threads=3)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(read_on) for _ in range(2)]
        try:
            for _ in range(20):
                process = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(expected,))
                process.start()
                process.join(60)
                assert process.exitcode == 0
        finally:
            is_over.set()
    assert [other.result() for other in others] == [None, None]


def _read_in_child(expected: Array) -> None:
    os._exit(0 if np.array_equal(read(GOOD, FIT, threads=3), expected) else 1)


def test_nothing_grows_from_file_to_file(photo_like: Photo) -> None:
    stream = io.BytesIO()
    photo_like((1600, 1200)).save(stream, "JPEG", quality=92)
    spoiled = stream.getvalue()[:-40] + b"\xff\xd9"
    fit = Fit(whole((1600, 1200)), (224, 160))
    for turn in range(2):
        for _ in range(3 if turn == 0 else 60):
            assert read(stream.getvalue(), fit, threads=2) is not None
            assert read(spoiled, fit, threads=2) is None
        if turn == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    )  # each takes 2,000 kB and more


# What follows calls the C code as nobody does.

TABLES = (DC_COUNTS + DC_SYMBOLS, bytes(16), AC_COUNTS + AC_SYMBOLS, bytes(16))
PARTS = bytes([2, 2, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0])


def arrays_of(blocks: tuple[int, int], subsampling: int) -> list[Array]:
    """To 64 x 48."""
    down = weights.down(240, 0.0, 240.0, 48, subsampling, blocks[0], "bilinear")
    across = weights.across(320, 0.0, 320.0, 64, subsampling, blocks[1], "bilinear")
    headers = read_headers(GOOD)
    assert down is not None
    assert headers is not None
    quantization = headers.components[0].quantization
    return [down.weights, down.firsts, down.lasts, across.starts, across.weights, quantization]


GREY = arrays_of((30, 40), 1)
COLOURS = [*GREY, *arrays_of((15, 20), 2), *arrays_of((15, 20), 2)]


def arguments(**changes: object) -> list[object]:
    """GOOD, 320 x 240 in 4:2:0, to grey."""
    given: dict[str, object] = {
        "file": GOOD,
        "start": GOOD.index(b"\x00\x3f\x00") + 3,
        "rows": 15,
        "columns": 20,
    }
    given |= {
        "interval": 0,
        "components": PARTS,
        "keep": b"\x01" * 192,
        "tables": TABLES,
        "parts": 2,
        "threads": 2,
    }
    given |= {"planes": np.zeros((1, 48, 64), np.float32), "pixels": None, "is_reversed": False}
    given["arrays"] = tuple(GREY)
    return list((given | changes).values())


def changed(index: int, array: Array) -> tuple[Array, ...]:
    return tuple(array if at == index else one for at, one in enumerate(GREY))


WEIGHTS, FIRSTS, LASTS, STARTS, ACROSS, QUANTIZATION = GREY
BAD_ARGUMENTS: list[tuple[str, object]] = [
    ("file", None),
    ("start", -1),
    ("start", len(GOOD) + 1),
    ("rows", 0),
    ("rows", 1 << 20),
    ("columns", 0),
    ("columns", -5),
    ("columns", 1 << 15),
    ("interval", -1),
    ("components", None),
    ("keep", None),
    ("tables", None),
    ("tables", TABLES[:3]),
    ("tables", (None, *TABLES[1:])),
    ("tables", list(TABLES)),
    ("parts", 0),
    ("parts", 17),
    ("threads", 0),
    ("threads", 17),
    ("threads", 1 << 40),
    ("planes", None),
    ("planes", bytes(48 * 64 * 4)),
    ("planes", np.zeros((1, 48, 64))),
    ("planes", np.zeros((1, 96, 64), np.float32)[:, ::2]),
    ("planes", np.zeros((48, 64), np.float32)),
    ("planes", np.zeros((0, 48, 64), np.float32)),
    ("planes", np.zeros((1, 47, 64), np.float32)),
    ("planes", np.zeros((1, 48, 63), np.float32)),
    ("planes", np.zeros((2, 48, 64), np.float32)),
    ("planes", np.zeros((4, 48, 64), np.float32)),
    ("pixels", b"bytes"),
    ("pixels", 5),
    ("pixels", np.zeros((48, 64, 3), np.uint8)),  # there is one component
    ("arrays", ()),
    ("arrays", GREY),
    ("arrays", tuple(GREY[:5])),
    ("arrays", tuple(GREY * 4)),
    ("arrays", changed(0, np.zeros((31, 2, 8, 8), np.float32))),
    ("arrays", changed(0, WEIGHTS[:-1])),
    ("arrays", changed(0, WEIGHTS[:, :1].copy())),
    ("arrays", changed(0, WEIGHTS.astype(np.float64))),
    ("arrays", changed(0, WEIGHTS.reshape(-1))),
    ("arrays", changed(1, FIRSTS - 1)),
    ("arrays", changed(1, FIRSTS[::-1].copy())),
    ("arrays", changed(1, FIRSTS.astype(np.int64))),
    ("arrays", changed(2, LASTS + 1)),
    ("arrays", changed(2, LASTS[::-1].copy())),
    ("arrays", changed(2, FIRSTS - 1)),
    ("arrays", changed(3, STARTS - 8)),
    ("arrays", changed(3, STARTS + 8)),
    ("arrays", changed(3, STARTS[:-1])),
    ("arrays", changed(4, ACROSS[:, :-1].copy())),
    ("arrays", changed(4, ACROSS[:, :0].copy())),
    ("arrays", changed(4, np.zeros((64, 328), np.float32))),
    ("arrays", changed(5, QUANTIZATION[:63])),
    ("arrays", changed(5, QUANTIZATION.astype(np.uint8))),
]
LEFT_ARGUMENTS: list[tuple[str, object]] = [
    ("components", b""),
    ("components", PARTS[:8]),
    ("components", PARTS + PARTS),
    ("components", bytes([0, *PARTS[1:]])),
    ("components", bytes([5, *PARTS[1:]])),
    ("components", bytes([4, 4, *PARTS[2:]])),
    ("components", bytes([2, 2, 2, *PARTS[3:]])),
    ("components", bytes([2, 2, 0, 2, *PARTS[4:]])),
    ("keep", b"\x01" * 191),
    ("tables", (b"", *TABLES[1:])),
    ("tables", (bytes(15), *TABLES[1:])),
    ("tables", (b"\xff" * 16, *TABLES[1:])),
    ("tables", (bytes(16) + b"x", *TABLES[1:])),
    ("tables", (*TABLES[:2], bytes(15) + b"\xff" + bytes(254), bytes(16))),
    ("start", 0),
    ("start", len(GOOD)),
    ("interval", 9),
    ("file", GOOD[:-3] + GOOD[-2:]),
]


def call(**changes: object) -> bool:
    is_read: bool = import_module("edgewise.preprocess.jpeg._jpeg").read(*arguments(**changes))
    return is_read


@pytest.mark.parametrize(("name", "value"), BAD_ARGUMENTS)
def test_wrong_argument_is_an_error(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError, BufferError, OverflowError)):
        call(**{name: value})


@pytest.mark.parametrize(("name", "value"), LEFT_ARGUMENTS)
def test_argument_that_no_whole_file_has_is_left_alone(name: str, value: object) -> None:
    assert call()
    assert not call(**{name: value})


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((47, 64, 3), np.uint8),
        np.zeros((48, 63, 3), np.uint8),
        np.zeros((48, 64, 2), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((48, 64, 3), np.uint8)[:, ::-1],
        np.zeros((48, 64, 3), np.uint8).tobytes(),
    ],
)
def test_wrong_argument_for_bytes_is_an_error(pixels: object) -> None:
    with pytest.raises((TypeError, ValueError, BufferError)):
        call(planes=np.zeros((3, 48, 64), np.float32), arrays=tuple(COLOURS), pixels=pixels)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_bytes_are_the_rounded_floats_and_nothing_is_written_beside(threads: int, is_reversed: bool) -> None:
    planes, room = np.full((5, 48, 64), np.nan, np.float32), np.full((3, 48, 64, 3), 77, np.uint8)
    changes = {"planes": planes[1:4], "pixels": room[1], "arrays": tuple(COLOURS), "is_reversed": is_reversed}
    assert call(**changes, threads=threads, parts=3)
    assert np.isnan(planes[[0, 4]]).all()
    assert (room[[0, 2]] == 77).all()
    rounded = np.floor((planes[3:0:-1] if is_reversed else planes[1:4]) + np.float32(0.5))
    assert np.array_equal(room[1], rounded.transpose(1, 2, 0))


def test_pictures_read_at_once_by_several_threads_are_the_same() -> None:
    """More callers than workers, each of whom may have any of them."""
    expected = read(GOOD, FIT)
    assert expected is not None
    with ThreadPoolExecutor(6) as pool:
        for got in pool.map(lambda turn: read(GOOD, FIT, threads=2 + turn % 5), range(300)):
            assert got is not None
            assert np.array_equal(got, expected)
