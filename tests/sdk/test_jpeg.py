"""JPEG files straight to small pictures: Pillow's pixels resized exactly, whatever the file and the threads."""

import hashlib
import io
import multiprocessing
import os
import resource
from collections.abc import Callable
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


def test_a_forked_process_reads_too() -> None:
    expected = read(GOOD, FIT, threads=3)
    process = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(expected,))
    process.start()
    process.join(60)
    assert process.exitcode == 0


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


def scan_arguments() -> dict[str, object]:
    """320 x 240 in 4:2:0."""
    start = GOOD.index(b"\x00\x3f\x00") + 3
    given: dict[str, object] = {"file": GOOD, "start": start, "rows": 15, "columns": 20, "interval": 0}
    return given | {"components": PARTS, "keep": b"\x01" * 192} | dict(zip("abcd", TABLES, strict=True))


def joined_picture() -> object:
    module = import_module("edgewise.preprocess.jpeg._jpeg")
    scan = module.scan(*scan_arguments().values())
    return module.join(scan, tuple(module.decode(scan, part, 2) for part in range(2)))


BAD_SCANS = [
    ("file", "text"),
    ("start", -1),
    ("start", len(GOOD) + 1),
    ("rows", 0),
    ("rows", 1 << 20),
    ("columns", 0),
    ("columns", -5),
    ("columns", 1 << 15),
    ("interval", -1),
    ("a", None),
]
LEFT_SCANS = [
    ("components", b""),
    ("components", PARTS[:8]),
    ("components", PARTS + PARTS),
    ("components", bytes([0, *PARTS[1:]])),
    ("components", bytes([5, *PARTS[1:]])),
    ("components", bytes([4, 4, *PARTS[2:]])),
    ("components", bytes([2, 2, 2, *PARTS[3:]])),
    ("components", bytes([2, 2, 0, 2, *PARTS[4:]])),
    ("keep", b"\x01" * 191),
    ("a", b""),
    ("a", bytes(15)),
    ("a", b"\xff" * 16),
    ("a", bytes(16) + b"x"),
    ("c", bytes(15) + b"\xff" + bytes(254)),
    ("start", 0),
    ("start", len(GOOD)),
]


@pytest.mark.parametrize(("name", "value"), BAD_SCANS)
def test_wrong_argument_of_a_scan_is_an_error(name: str, value: object) -> None:
    module = import_module("edgewise.preprocess.jpeg._jpeg")
    assert module.scan(*scan_arguments().values()) is not None
    with pytest.raises((TypeError, ValueError)):
        module.scan(*(scan_arguments() | {name: value}).values())


@pytest.mark.parametrize(("name", "value"), LEFT_SCANS)
def test_argument_of_a_scan_that_no_file_has_gives_none(name: str, value: bytes) -> None:
    module = import_module("edgewise.preprocess.jpeg._jpeg")
    assert module.scan(*(scan_arguments() | {name: value}).values()) is None


def test_wrong_arguments_of_decode_and_join_are_errors() -> None:
    module = import_module("edgewise.preprocess.jpeg._jpeg")
    scan = module.scan(*scan_arguments().values())
    other = module.scan(*scan_arguments().values())
    parts = tuple(module.decode(scan, part, 2) for part in range(2))
    for given in [(scan, 0, 0), (scan, -1, 1), (scan, 2, 2), (scan, 0, 17), (None, 0, 1), (parts[0], 0, 1)]:
        with pytest.raises((TypeError, ValueError)):
            module.decode(*given)
    for given in [
        (scan, ()),
        (scan, list(parts)),
        (scan, (None,)),
        (other, parts),
        (scan, parts * 9),
        (scan, (scan,)),
    ]:
        with pytest.raises((TypeError, ValueError)):
            module.join(*given)
    assert module.join(scan, parts[:1]) is None
    assert module.join(scan, parts[::-1]) is None
    restarts = jpeg_file((320, 240), restart_interval=9, seed=1)
    again = module.scan(
        *(
            scan_arguments() | {"file": restarts, "start": restarts.index(b"\x00\x3f\x00") + 3, "interval": 9}
        ).values()
    )
    with pytest.raises(ValueError, match="one part"):
        module.decode(again, 0, 2)


def gather_arguments() -> list[Array]:
    down = weights.down(240, 0.0, 240.0, 48, 1, 30, "bilinear")
    across = weights.across(320, 0.0, 320.0, 64, 1, 40, "bilinear")
    assert down is not None
    headers = read_headers(GOOD)
    assert headers is not None
    quantization = headers.components[0].quantization
    return [down.weights, down.firsts, down.lasts, across.starts, across.weights, quantization]


def changed(index: int, array: Array) -> list[Array]:
    return [array if at == index else one for at, one in enumerate(gather_arguments())]


def test_wrong_arguments_of_gather_are_errors_and_nothing_is_written_beside() -> None:
    module = import_module("edgewise.preprocess.jpeg._jpeg")
    joined, good = joined_picture(), gather_arguments()
    weights, firsts, lasts, starts, across, quantization = good
    room = np.full((3, 1, 48, 64), np.nan, np.float32)
    module.gather(joined, room[1], 0, 48, tuple(good), None, 0)
    assert np.isfinite(room[1]).all()
    assert np.isnan(room[[0, 2]]).all()
    bad: list[tuple[object, int, int, object]] = [
        (room[1], 0, 49, tuple(good)),
        (room[1], -1, 48, tuple(good)),
        (room[1], 8, 8, tuple(good)),
        (room[1].astype(np.float64), 0, 48, tuple(good)),
        (room[1][:, ::2], 0, 24, tuple(good)),
        (room[:2, 0], 0, 48, tuple(good)),
        (room[1], 0, 48, tuple(good[:5])),
        (room[1], 0, 48, ()),
        (room[1], 0, 48, good),
        (room[1], 0, 48, tuple(good) * 4),
        (np.zeros((1, 47, 64), np.float32), 0, 47, tuple(good)),
        (np.zeros((1, 48, 63), np.float32), 0, 48, tuple(good)),
    ]
    bad += [
        (room[1], 0, 48, tuple(changed(*change)))
        for change in [
            (0, np.zeros((31, 2, 8, 8), np.float32)),
            (0, weights[:-1]),
            (0, weights[:, :1].copy()),
            (0, weights.astype(np.float64)),
            (0, weights.reshape(-1)),
            (1, firsts - 1),
            (1, firsts[::-1].copy()),
            (1, firsts.astype(np.int64)),
            (2, lasts + 1),
            (2, lasts[::-1].copy()),
            (2, firsts - 1),
            (3, starts - 8),
            (3, starts + 8),
            (3, starts[:-1]),
            (4, across[:, :-1].copy()),
            (4, across[:, :0].copy()),
            (4, np.zeros((64, 328), np.float32)),
            (5, quantization[:63]),
            (5, quantization.astype(np.uint8)),
        ]
    ]
    for out, first, last, arrays in bad:
        with pytest.raises((TypeError, ValueError, BufferError)):
            module.gather(joined, out, first, last, arrays, None, 0)
    with pytest.raises(ValueError):
        module.gather(None, room[1], 0, 48, tuple(good), None, 0)
    for pixels in (np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64, 1), np.uint8), b"bytes", 5):
        with pytest.raises((TypeError, ValueError, BufferError)):  # there is one component
            module.gather(joined, room[1], 0, 48, tuple(good), pixels, 0)


def test_bytes_are_the_rounded_floats_and_only_those_of_the_rows() -> None:
    module, given = import_module("edgewise.preprocess.jpeg._jpeg"), []
    for blocks, subsampling in (((30, 40), 1), ((15, 20), 2), ((15, 20), 2)):
        down = weights.down(240, 0.0, 240.0, 48, subsampling, blocks[0], "bilinear")
        across = weights.across(320, 0.0, 320.0, 64, subsampling, blocks[1], "bilinear")
        assert down is not None
        arrays = [down.weights, down.firsts, down.lasts, across.starts, across.weights]
        given += [*arrays, gather_arguments()[5]]
    planes, room = np.zeros((3, 48, 64), np.float32), np.full((3, 48, 64, 3), 77, np.uint8)
    for order in (0, 1):
        module.gather(joined_picture(), planes, 8, 40, tuple(given), room[1], order)
        rounded = np.floor((planes[::-1] if order else planes) + np.float32(0.5))
        assert np.array_equal(room[1, 8:40], rounded.transpose(1, 2, 0)[8:40])
        assert (room[[0, 2]] == 77).all()
        assert (room[1, :8] == 77).all()
        assert (room[1, 40:] == 77).all()
    for pixels in (
        room[1, :47],
        room[1, :, :63],
        room[1, :, :, :2],
        room[1].astype(np.float32),
        room[1][:, ::-1],
    ):
        with pytest.raises((TypeError, ValueError, BufferError)):
            module.gather(joined_picture(), planes, 8, 40, tuple(given), pixels, 0)
