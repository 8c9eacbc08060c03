"""The statistics of pictures, against what is plain to see."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.picture_statistics import (
    COLOUR_STATISTICS,
    GREY_STATISTICS,
    MOST_ROWS,
    picture_statistics,
    some_rows,
)

RAW = ImagePreprocess((64, 64))


def plain(red: float, green: float, blue: float) -> np.ndarray:
    return np.tile(np.array([red, green, blue], np.float32), (8, 8, 1))


def test_a_plain_colour_has_its_luma_no_contrast_and_no_sharpness() -> None:
    found = picture_statistics(plain(200, 100, 50), RAW)
    assert found["brightness"] == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, rel=1e-5)
    assert found["contrast"] == pytest.approx(0, abs=1e-3)
    assert found["saturation"] == 150 and found["warmth"] == 150 and found["tint"] == -25
    assert tuple(found) == GREY_STATISTICS + COLOUR_STATISTICS
    assert picture_statistics(np.zeros((4, 4, 3), np.float32), RAW)["sharpness"] == 0.0


def test_normalised_tensors_of_any_order_give_the_same_as_pixels() -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    expected = picture_statistics(pixels, RAW)
    mean, std = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
    rgb = ImagePreprocess((32, 32), mean=mean, std=std)
    bgr = ImagePreprocess((32, 32), mean=mean[::-1], std=std[::-1], colour="bgr")
    tensor = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    for found in (picture_statistics(tensor, rgb), picture_statistics(tensor[:, :, ::-1], bgr)):
        assert found == pytest.approx(expected, rel=1e-4)
    first = tensor.transpose(2, 0, 1)[np.newaxis]
    assert picture_statistics(some_rows(first, channels_first=True), rgb) == pytest.approx(expected, rel=1e-4)


def test_a_grey_input_has_no_colours() -> None:
    grey = ImagePreprocess((8, 8), colour="grey")
    found = picture_statistics(np.random.default_rng(0).uniform(0, 255, (8, 8, 1)).astype(np.float32), grey)
    assert tuple(found) == GREY_STATISTICS


def test_blur_lowers_the_sharpness_and_darkness_does_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sharp = Image.fromarray(noise)

    def sharpness(picture: Image.Image) -> float:
        return picture_statistics(np.asarray(picture, np.float32), RAW)["sharpness"]

    assert sharpness(sharp.filter(ImageFilter.GaussianBlur(2))) < 0.5 * sharpness(sharp)
    assert sharpness(Image.fromarray(noise // 2)) == pytest.approx(sharpness(sharp), rel=0.02)


@pytest.mark.parametrize(("height", "rows"), [(8, 8), (64, 64), (65, 33), (224, 56), (1080, 64)])
def test_no_more_rows_than_are_needed_are_looked_at(height: int, rows: int) -> None:
    found = some_rows(np.zeros((1, height, 4, 3), np.int8), channels_first=False)
    assert found.shape == (rows, 4, 3) and rows <= MOST_ROWS
