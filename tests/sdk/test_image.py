"""From pictures of every kind to a model's exact input."""

import io
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from edgewise.errors import CardError, InvalidInput, UnreadableImage
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader, normalise
from edgewise.preprocess.picture import open_picture
from edgewise.tensors import Quantization

Save = Callable[..., Path]
Photo = Callable[[tuple[int, int]], Image.Image]
Make = Callable[..., ImageReader]

IMAGENET = ImagePreprocess(
    (224, 224), "centre-crop", 0.875, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)
)
DRAFT_PSNR_DB = 38.0
"""Scaled decoding differs from full decoding by less than the JPEG itself differs from its original."""
FLOAT_TOLERANCE = 0.02
"""The compiled resize drops up to 1/256 of each product, half of it on average, which it adds again."""


@pytest.fixture(params=["compiled", "in NumPy and Pillow"])
def image_reader(request: pytest.FixtureRequest) -> Make:
    """Both ways of resizing, as far as they are there: tests/sdk/test_kernel.py misses the compiled one."""
    return partial(ImageReader, compiled=request.param == "compiled")


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures."""
    error = np.square(first.astype(float) - second.astype(float)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_the_tensor_is_pixel_minus_mean_by_std(image_reader: Make) -> None:
    spec = ImagePreprocess((2, 1), mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    pixels = np.array([[[10, 20, 30], [12, 24, 35]]], np.uint8)
    nhwc = image_reader(spec, layout="nhwc").read(pixels)
    assert nhwc.tolist() == [[[[0, 0, 0], [1, 1, 1]]]]
    nchw = image_reader(spec, layout="nchw").read(pixels)
    assert (nchw.shape, nchw.dtype) == ((1, 3, 1, 2), np.dtype("float32"))
    assert np.array_equal(nchw.transpose(0, 2, 3, 1), nhwc)
    assert nchw.flags.c_contiguous


@pytest.mark.parametrize(
    ("dtype", "quantization"),
    [
        ("uint8", Quantization((1 / 127.5,), (128,))),
        ("int8", Quantization((1 / 127.5,), (-1,))),
        ("int8", Quantization((0.018658,), (-14,))),
        ("uint8", Quantization((0.02,), (100,))),
        ("int16", Quantization((3e-4,), (0,))),
        ("uint8", None),
    ],
)
@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((127.5,), (127.5,)),
        ((0.0,), (1.0,)),
        ((127.0,), (128.0,)),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)),
    ],
)
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_the_byte_path_equals_the_float_path(
    dtype: str,
    quantization: Quantization | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    layout: str,
    image_reader: Make,
) -> None:
    spec = ImagePreprocess((16, 16), mean=mean, std=std)
    every_byte = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = np.stack([every_byte, every_byte.T, every_byte[::-1]], axis=2)
    expected = (quantization or Quantization((1.0,), (0,))).quantize(normalise(pixels, spec), dtype)[
        np.newaxis
    ]
    got = image_reader(spec, layout=layout, dtype=dtype, quantization=quantization).read(pixels)
    assert got.dtype == np.dtype(dtype)
    assert np.array_equal(got if layout == "nhwc" else got.transpose(0, 2, 3, 1), expected)


@pytest.mark.parametrize("resize", ["stretch", "centre-crop", "letterbox"])
@pytest.mark.parametrize("size_wh", [(4000, 3000), (1920, 1080), (700, 2100)])
def test_scaled_jpeg_decoding_is_faithful(
    save_picture: Save, photo_like: Photo, resize: str, size_wh: tuple[int, int], image_reader: Make
) -> None:
    path = save_picture(photo_like(size_wh), "photo.jpg", quality=90)
    reader = image_reader(ImagePreprocess((224, 160), resize))
    with Image.open(path) as picture:
        picture.load()
        full = reader.read_pixels(picture)
    assert psnr_db(reader.read_pixels(path), full) > DRAFT_PSNR_DB


def test_a_large_jpeg_is_decoded_small_and_never_below_the_target(
    save_picture: Save, photo_like: Photo, image_reader: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []
    load = JpegImageFile.load

    def record(self: JpegImageFile) -> object:
        decoded.append(self.size)
        return load(self)

    large = save_picture(photo_like((4000, 3000)), "large.jpg")
    small = save_picture(photo_like((300, 260)), "small.jpg")
    monkeypatch.setattr(JpegImageFile, "load", record)
    assert image_reader(IMAGENET).prepare(large).is_reduced
    assert set(decoded) <= {(1000, 750), (2000, 1500)}
    decoded.clear()
    assert not image_reader(IMAGENET).prepare(small).is_reduced
    assert set(decoded) == {(300, 260)}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["stretch", "centre-crop", "letterbox"])
def test_exif_orientation_is_applied(
    save_picture: Save, photo_like: Photo, orientation: int, resize: str, image_reader: Make
) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save_picture(photo_like((480, 360)), "turned.jpg", exif=exif, quality=95)
    reader = image_reader(ImagePreprocess((120, 96), resize))
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
    assert psnr_db(reader.read_pixels(path), reader.read_pixels(upright)) > DRAFT_PSNR_DB


def test_centre_crop_is_torchvisions(photo_like: Photo, image_reader: Make) -> None:
    picture = photo_like((640, 427))
    # torchvision: Resize(256) makes the shorter side 256, CenterCrop(224) takes the middle.
    whole = picture.resize((round(256 * 640 / 427), 256), Image.Resampling.BILINEAR)
    left, top = round((whole.width - 224) / 2), round((whole.height - 224) / 2)
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224)))
    assert psnr_db(image_reader(IMAGENET).read_pixels(picture), expected) > 30


def test_letterbox_keeps_the_shape_and_fills_the_rest(image_reader: Make) -> None:
    picture = Image.new("RGB", (40, 20), "white")
    pixels = image_reader(ImagePreprocess((8, 8), "letterbox", fill=114)).read_pixels(picture)
    assert pixels[:, 0, 0].tolist() == [114, 114, 255, 255, 255, 255, 114, 114]


def test_bgr_and_grey(photo_like: Photo, image_reader: Make) -> None:
    picture = photo_like((32, 32))
    rgb = image_reader(ImagePreprocess((16, 16))).read(picture)
    assert np.array_equal(image_reader(ImagePreprocess((16, 16), colour="bgr")).read(picture), rgb[..., ::-1])
    grey = image_reader(ImagePreprocess((16, 16), colour="grey")).read(picture)
    assert grey.shape == (1, 16, 16, 1)
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow converts
    assert np.abs(grey[..., 0] - luma).max() <= 2


def one_pixel(path: Path, image_reader: Make) -> list[int]:
    """The colour that a model would see in a picture of one colour."""
    return [int(value) for value in image_reader(ImagePreprocess((1, 1))).read_pixels(path)[0, 0]]


def test_pictures_of_every_mode_become_rgb(save_picture: Save, image_reader: Make) -> None:
    cases = {
        "grey.png": (Image.new("L", (4, 4), 100), [100] * 3),
        "grey_alpha.png": (Image.new("LA", (4, 4), (0, 0)), [255] * 3),
        "rgba.png": (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), [255, 0, 0]),
        "clear.png": (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), [255] * 3),
        "bits.png": (Image.new("1", (4, 4), 1), [255] * 3),
        "palette.png": (Image.new("RGB", (4, 4), (0, 128, 255)).quantize(4), [0, 128, 255]),
        "deep.png": (Image.fromarray(np.full((4, 4), 0x8040, np.uint16)), [0x80] * 3),
        "still.gif": (Image.new("RGB", (4, 4), (0, 0, 255)), [0, 0, 255]),
    }
    for name, (picture, expected) in cases.items():
        assert one_pixel(save_picture(picture, name), image_reader) == expected, name
    cmyk = save_picture(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "cmyk.jpg", quality=100)
    red = one_pixel(cmyk, image_reader)
    assert red[0] > 240
    assert max(red[1:]) < 15


def test_transparent_palette_pixels_become_white(save_picture: Save, image_reader: Make) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([10, 20, 30])
    assert one_pixel(save_picture(picture, "clear.gif", transparency=0), image_reader) == [255, 255, 255]


def test_arrays_and_open_files_are_pictures_too(save_picture: Save, image_reader: Make) -> None:
    reader = image_reader(ImagePreprocess((1, 1)))
    for array in (
        np.full((2, 2), 9, np.uint8),
        np.full((2, 2, 1), 9, np.uint8),
        np.full((2, 2, 3), 9, np.uint8),
    ):
        assert reader.read(array).ravel().tolist() == pytest.approx([9, 9, 9], abs=FLOAT_TOLERANCE)
    path = save_picture(Image.new("RGB", (4, 4), (1, 2, 3)), "a.png")
    for source in (io.BytesIO(path.read_bytes()), str(path)):
        assert reader.read(source).ravel().tolist() == pytest.approx([1, 2, 3], abs=FLOAT_TOLERANCE)


def test_what_the_caller_gave_is_not_changed(
    photo_like: Photo, save_picture: Save, image_reader: Make
) -> None:
    array = np.asarray(photo_like((16, 16))).copy()
    before = array.copy()
    tensor = image_reader(ImagePreprocess((16, 16)), dtype="uint8").read(array)
    tensor[:] = 0
    assert np.array_equal(array, before)
    with Image.open(save_picture(photo_like((2000, 1000)), "large.jpg")) as picture:
        image_reader(ImagePreprocess((16, 16))).read(picture)
        assert picture.size == (2000, 1000)
        assert picture.getpixel((0, 0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "got an array of float32, expected uint8"),
        (np.zeros((4, 4, 2), np.uint8), r"got an array \(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got an array \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "got an array"),
        (Image.new("F", (4, 4)), "got floating-point pixels"),
        (7, "got int, expected a path"),
    ],
)
def test_what_is_no_picture_is_refused(given: object, message: str, image_reader: Make) -> None:
    with pytest.raises(InvalidInput, match=message):
        image_reader(ImagePreprocess((2, 2))).read(given)  # type: ignore[arg-type]


def test_broken_pictures_are_named(tmp_path: Path, photo_like: Photo, image_reader: Make) -> None:
    reader = image_reader(ImagePreprocess((2, 2)))
    good = {}
    for form in ("jpeg", "png", "webp", "tiff", "gif", "bmp"):
        stream = io.BytesIO()
        photo_like((64, 48)).save(stream, form)
        good[form] = stream.getvalue()
    contents = {"empty.jpg": b"", "text.png": b"hello"}
    contents |= {f"half.{form}": data[: len(data) // 2] for form, data in good.items()}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UnreadableImage, match=name):
            reader.read(path)
    with pytest.raises(UnreadableImage, match=r"gone\.jpg: no such file"):
        reader.read(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableImage, match="Is a directory"):
        reader.read(tmp_path)


def test_a_decompression_bomb_is_refused(
    save_picture: Save, monkeypatch: pytest.MonkeyPatch, image_reader: Make
) -> None:
    path = save_picture(Image.new("1", (1500, 1500)), "bomb.png")
    for limit in (2_000_000, 1_000_000):  # below the size, and below half of it: Pillow warns, then raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnreadableImage, match=r"bomb\.png: too large"):
            image_reader(ImagePreprocess((2, 2))).read(path)


def test_a_layout_that_is_none_is_refused(image_reader: Make) -> None:
    with pytest.raises(CardError, match="got layout ''"):
        image_reader(ImagePreprocess((2, 2)), layout="")


def test_a_reader_serves_several_threads(save_picture: Save, photo_like: Photo, image_reader: Make) -> None:
    path = save_picture(photo_like((300, 200)), "a.jpg")
    reader = image_reader(IMAGENET)
    expected = reader.read(path)
    got: list[bool] = []
    threads = [
        threading.Thread(target=lambda: got.append(np.array_equal(reader.read(path), expected)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 4


def test_a_pil_image_is_used_as_it_is() -> None:
    picture = Image.new("RGB", (2, 2))
    assert open_picture(picture) is picture
