"""What the app feeds: as asked, recorded, and the same answers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from PIL import Image

import edgewise
from edgewise_converters.errors import ConversionError, SourceError
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request, Result

FLOAT32_DB = 100.0
IMAGE = case(
    "a = Conv(x, w, b) d = GlobalAveragePool(a) y = Flatten(d)", x=(1, 3, 12, 10), w=(4, 3, 3, 3), b=(4,)
)
GREY = case("a = Conv(x, w, b) y = Relu(a)", x=(1, 1, 12, 10), w=(4, 1, 3, 3), b=(4,))
SERIES = case("a = Conv(x, w, b) y = Relu(a)", x=(1, 6, 40), w=(4, 6, 5), b=(4,))
TOKENS = case("e = Gather(w, x) y = MatMul(e, v)", x=np.zeros((1, 8), np.int64), w=(20, 6), v=(6, 3))


def converted(this: object, folder: Path, **wishes: object) -> Result:
    onnx.save(model_of(this), folder / "net.onnx")  # type: ignore[arg-type]
    wishes = {"precision": "fp32", **wishes}
    return convert(Request(source=folder / "net.onnx", target="rpi4", out=folder / "o.tflite", **wishes))  # type: ignore[arg-type]  # keywords by name, checked when called


@pytest.mark.parametrize(("layout", "shape"), [("nchw", (1, 3, 12, 10)), ("nhwc", (1, 12, 10, 3))])
def test_an_image_is_fed_as_asked(tmp_path: Path, layout: str, shape: tuple[int, ...]) -> None:
    result = converted(IMAGE, tmp_path, layouts={"": layout})
    (entry,) = result.card.inputs
    assert (entry.layout, entry.shape) == (layout, shape)
    assert result.agreement["litert"].worst_db > FLOAT32_DB


def test_by_default_an_image_has_its_channels_last(tmp_path: Path) -> None:
    assert converted(IMAGE, tmp_path).card.inputs[0].layout == "nhwc"


def test_one_channel_moves_no_data(tmp_path: Path) -> None:
    result = converted(GREY, tmp_path, layouts={"x": "nchw"})
    assert result.card.inputs[0].shape == (1, 1, 12, 10)
    assert result.agreement["litert"].worst_db > FLOAT32_DB


def test_pictures_reach_an_int8_input_that_is_fed_channels_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    wishes = {"precision": "int8", "samples": tmp_path / "photos", "preprocess": "signed", "rescue": False}
    first = converted(IMAGE, tmp_path, layouts={"": "nchw"}, **wishes)
    (entry,) = first.card.inputs
    assert (entry.layout, entry.dtype, entry.shape) == ("nchw", "int8", (1, 3, 12, 10))
    with edgewise.load(first.path) as model:
        seen = model.run(model.image_reader().read(tmp_path / "photos" / "3.png"))
    last = converted(IMAGE, tmp_path, **wishes)
    with edgewise.load(last.path) as model:
        np.testing.assert_array_equal(
            seen["y"], model.run(model.image_reader().read(tmp_path / "photos" / "3.png"))["y"]
        )


@pytest.mark.parametrize(("this", "shape"), [(SERIES, (1, 6, 40)), (TOKENS, (1, 8))])
def test_series_and_tokens_are_fed_as_the_original_takes_them(
    tmp_path: Path, this: object, shape: tuple[int, ...]
) -> None:
    assert converted(this, tmp_path).card.inputs[0].shape == shape
    with pytest.raises(SourceError, match=r"--layout x=nhwc: the input has \d axes, expected 4"):
        converted(this, tmp_path, layouts={"x": "nhwc"})


def test_wrong_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"--layout xx: the model has no such input.*did you mean x"):
        converted(IMAGE, tmp_path, layouts={"xx": "nchw"})
    two = case("y = Add(x1, x2)", x1=(1, 3, 8, 8), x2=(1, 3, 8, 8))
    with pytest.raises(SourceError, match="Say --layout NAME=nchw"):
        converted(two, tmp_path, layouts={"": "nchw"})


def test_an_onnx_file_is_fed_as_its_original(tmp_path: Path) -> None:
    onnx.save(model_of(IMAGE), tmp_path / "net.onnx")
    request = Request(
        source=tmp_path / "net.onnx",
        target="rpi4",
        format="onnx",
        layouts={"": "nhwc"},
        out=tmp_path / "o.onnx",
    )
    with pytest.raises(ConversionError, match="--layout"):
        convert(request)
