"""What `--preprocess` means."""

import pytest

from edgewise_converters.errors import InvalidSamples
from edgewise_converters.preprocessing import parse_preprocess
from edgewise_converters.static_precisions import byte_quantization

SIZE = (224, 224)


def test_mean_and_deviation_of_pixels() -> None:
    image = parse_preprocess("mean=127;std=128").for_input(SIZE, 3, classifies=False)
    assert (image.mean, image.std, image.size_wh) == ((127.0,), (128.0,), SIZE)


@pytest.mark.parametrize(("name", "low", "high"), [("unit", 0, 1), ("signed", -1, 1), ("raw", 0, 255)])
def test_presets_cover_the_range_they_name(name: str, low: float, high: float) -> None:
    image = parse_preprocess(name).for_input(SIZE, 3, classifies=False)
    assert [(pixel - image.mean[0]) / image.std[0] for pixel in (0, 255)] == [low, high]


def test_figures_for_pixels_of_0_to_1_are_taken_so_and_said() -> None:
    asked = parse_preprocess("mean=0.485,0.456,0.406;std=0.229,0.224,0.225")
    preset = parse_preprocess("imagenet")
    assert asked.mean == pytest.approx(preset.mean)
    assert asked.std == pytest.approx(preset.std)
    assert "0 to 1" in asked.notices[0]


def test_classifiers_crop_the_centre_and_others_stretch() -> None:
    request = parse_preprocess("imagenet")
    assert request.for_input(SIZE, 3, classifies=True).resize == "centre-crop"
    assert request.for_input(SIZE, 3, classifies=False).resize == "stretch"


def test_one_channel_takes_grey_pictures() -> None:
    image = parse_preprocess("imagenet").for_input(SIZE, 1, classifies=False)
    assert image.colour == "grey"
    assert len(image.mean) == len(image.std) == 1


def test_details_follow_the_preset() -> None:
    image = parse_preprocess("unit;resize=letterbox;colour=bgr;resample=bicubic").for_input(
        SIZE, 3, classifies=True
    )
    assert (image.resize, image.colour, image.resample) == ("letterbox", "bgr", "bicubic")


@pytest.mark.parametrize(
    "text",
    ["", "imagenette", "mean=1", "std=1", "mean=a;std=1", "mean=1;std=inf", "unit;size=3", "unit;unit"],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidSamples, match="--preprocess"):
        parse_preprocess(text)


@pytest.mark.parametrize(
    "text", ["mean=1;std=0", "mean=1,2;std=1", "unit;colour=blue", "unit;crop=7", "unit;resize=no"]
)
def test_what_no_picture_can_become_is_refused(text: str) -> None:
    with pytest.raises(InvalidSamples, match="--preprocess"):
        parse_preprocess(text).for_input(SIZE, 3, classifies=False)


def test_bytes_of_a_camera_are_the_integers_of_the_input() -> None:
    image = parse_preprocess("mean=127;std=128").for_input(SIZE, 3, classifies=False)
    quantization = byte_quantization(image)
    assert (quantization.scale, quantization.zero_point) == (1 / 128, -1)  # integer = byte - 128
