"""What random graphs found, one small case each."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.fuzz.judge import judge, truth_of
from converters.fuzz.onnx_nodes import described
from converters.onnx_cases import Case, ask_onnxruntime, case, check, feeds_of, lowered, model_of

from edgewise_converters.errors import ConversionError, SourceError, UnsupportedOperator
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

ONE = np.float32(1)

EQUAL: dict[str, Case] = {
    "a dilated window with auto_pad is padded for its kernel alone": case(
        "y = MaxPool<kernel_shape=[2,3],dilations=[1,2],auto_pad=\"SAME_LOWER\">(x)", x=(1, 2, 8, 8)
    ),
    "a last window that would begin behind the input is left out": case(
        "y = MaxPool<kernel_shape=[1,1],strides=[3,2],ceil_mode=1>(x)", x=(1, 2, 6, 6)
    ),
    "a last window that begins within is kept": case(
        "y = AveragePool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1>(x)", x=(1, 2, 5, 5)
    ),
    "a last window along one axis only, though ceil_mode is for both": case(
        "a = AveragePool<kernel_shape=[3,1],strides=[3,2],ceil_mode=1,count_include_pad=1>(x) y = Relu(a)",
        x=(1, 4, 8, 8),
    ),
    "a last window that begins within, without padding by name": case(
        'y = AveragePool<kernel_shape=[3,3,1],strides=[1,2,1],auto_pad="VALID",ceil_mode=1>(x)', x=(2, 2, 4, 6, 3)
    ),
    "a transposed convolution with auto_pad and output_padding": case(
        "y = ConvTranspose<auto_pad=\"SAME_UPPER\",strides=[2,2],output_padding=[1,1]>(x, w)",
        x=(1, 1, 5, 5), w=(1, 2, 3, 3),
    ),
    "a transposed convolution whose stride is longer than its kernel": case(
        "y = ConvTranspose<auto_pad=\"SAME_UPPER\",strides=[3,3]>(x, w)", x=(1, 1, 5, 5), w=(1, 2, 2, 2)
    ),
    "axes from the end in an old Slice": case(
        "a = Slice<axes=[-1],starts=[1],ends=[3]>(x) y = Relu(a)", x=(2, 3, 4), opset=9
    ),
    "an axis from the end in an old Concat": case("a = Concat<axis=-1>(x, c) y = Relu(a)", x=(2, 3), c=(2, 3), opset=7),
    "a shape that leaves the graph and is used in it": case(
        "y = Shape(x) a = Gather<axis=0>(y, i) b = Unsqueeze(a, z) c = Concat<axis=0>(b, m) y2 = Reshape(x, c)",
        x=(2, 3, 4), i=np.int64(1), z=np.array([0]), m=np.array([-1]),
    ),
    "Atanh beyond 1 is NaN": case("y = Atanh(x)", x=np.array([0.5, 1.5, -3.0, 0.0], np.float32)),
    "Acosh below 1 is NaN": case("y = Acosh(x)", x=np.array([0.5, 1.5, -3.0, 1.0], np.float32)),
    "a turned matrix times itself": case("a = Transpose<perm=[1,0,3,2]>(x) y = MatMul(a, a)", x=(2, 3, 5, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_found_case_answers_as_onnxruntime(name: str) -> None:
    check(EQUAL[name])


WHOLE: dict[str, Case] = {
    "an input without axes": case("y = Mul(x, x2)", x=ONE, x2=(3,)),
    "NaN where the original has NaN": case("y = Sqrt(x)", x=(4, 5)),
    "an input that one node turns and another takes as a picture": case(
        "a = Transpose<perm=[0,3,2,1]>(x) b = Relu(a) c = Transpose<perm=[0,2,1,3]>(b) y = Conv(c, w)",
        x=(1, 3, 4, 5), w=(2, 4, 1, 1),
    ),
    "a name with a line break": case("y = Relu(x)", x=(2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_found_case_is_converted_whole(name: str, tmp_path: Path) -> None:
    this = WHOLE[name]
    model = model_of(this)
    model.graph.node[0].name = "first\nsecond"
    feeds = feeds_of(this)
    answers = ask_onnxruntime(model, feeds[0])
    del model.graph.output[:]
    model.graph.output.extend(described(name, array) for name, array in answers.items())
    onnx.save(model, tmp_path / "model.onnx")
    truth = truth_of(model, feeds)
    assert truth is not None
    verdict = judge(tmp_path / "model.onnx", truth)
    assert verdict.word == "equal", verdict


def test_opset_under_its_long_name_is_known(tmp_path: Path) -> None:
    model = model_of(case("y = Relu(x)", x=(2, 3)))
    model.opset_import[0].domain = "ai.onnx"
    onnx.save(model, tmp_path / "model.onnx")
    convert(
        Request(source=tmp_path / "model.onnx", target="rpi4", precision="fp32", out=tmp_path / "a.tflite")
    )
    assert (tmp_path / "a.tflite").stat().st_size


def test_refusal_is_one_line_whatever_the_names_are(tmp_path: Path) -> None:
    model = model_of(case("y = Unique(x)", x=(2, 3)))
    model.graph.node[0].name = model.graph.node[0].output[0] = model.graph.output[0].name = "a\nb\tc"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ConversionError) as caught:
        convert(Request(source=tmp_path / "model.onnx", target="rpi4", out=tmp_path / "a.tflite"))
    assert len(str(caught.value).splitlines()) == 1 and "a\\nb\\tc" in str(caught.value)


def test_model_that_answers_nothing_but_nan_is_refused(tmp_path: Path) -> None:
    onnx.save(model_of(case("y = Mul(x, c)", x=(2, 3), c=np.float32(np.nan))), tmp_path / "model.onnx")
    with pytest.raises(SourceError, match="answers NaN to all of 8 inputs"):
        convert(Request(source=tmp_path / "model.onnx", target="rpi4", out=tmp_path / "a.tflite"))


def test_range_of_what_is_partly_nan_is_a_number(tmp_path: Path) -> None:
    this = case("y = Log(x) y2 = Relu(x)", x=(2, 50))
    onnx.save(model_of(this), tmp_path / "model.onnx")
    np.save(
        tmp_path / "samples.npy", np.concatenate([feed["x"] for feed in feeds_of(this, 8)]).reshape(8, 2, 50)
    )
    request = Request(
        source=tmp_path / "model.onnx",
        target="rpi4",
        precision="int8",
        samples=tmp_path / "samples.npy",
        out=tmp_path / "a.tflite",
    )
    ranges = convert(request).card.calibration
    assert ranges and all(np.isfinite(ends).all() for ends in ranges.values())


def test_wrongly_declared_shape_of_an_output_is_corrected() -> None:
    this = case("y = Conv<pads=[1,1,1,1]>(x, w)", x=(1, 2, 8, 8), w=(4, 2, 3, 3))
    model = model_of(this)
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, [1, 4, 8]))
    assert lowered(model).graph.outputs[0].shape == (1, 8, 8, 4)


def test_damaged_sample_of_huge_numbers_is_skipped(tmp_path: Path) -> None:
    onnx.save(model_of(case("y = Relu(x)", x=(2, 3))), tmp_path / "model.onnx")
    samples = np.ones((9, 2, 3), np.float32)
    samples[4, 1, 1] = 1e30
    np.save(tmp_path / "samples.npy", samples)
    result = convert(
        Request(
            source=tmp_path / "model.onnx",
            target="rpi4",
            precision="fp32",
            samples=tmp_path / "samples.npy",
            out=tmp_path / "a.tflite",
        )
    )
    assert result.skipped_samples == 1


def test_padding_less_than_nothing_is_refused() -> None:
    with pytest.raises(UnsupportedOperator, match="pads less than nothing"):
        check(
            case('y = AveragePool<kernel_shape=[1,1],strides=[3,3],auto_pad="SAME_UPPER">(x)', x=(1, 1, 6, 6))
        )
