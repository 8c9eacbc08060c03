"""`convert` on models that are quantized already, and on models that loop."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization as ortq
import pytest
from converters.onnx_cases import case, model_of
from converters.quantize.test_stated import INT8, PICTURES, SHAPES, TOKENS, _Feeds

import edgewise
from edgewise_converters.errors import ConversionError
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """A small network that onnxruntime quantized."""
    path, plain = tmp_path / "quantized.onnx", tmp_path / "plain.onnx"
    onnx.save(model_of(PICTURES), plain)
    feeds = _Feeds(SHAPES["pictures"])
    ortq.quantize_static(plain, path, feeds, activation_type=INT8, weight_type=INT8, per_channel=True)
    return path


def test_a_quantized_model_stays_so_without_samples_and_says_it(quantized: Path, tmp_path: Path) -> None:
    result = convert(Request(source=quantized, target="armv7", out=tmp_path / "out.tflite"))
    assert result.precision == "int8 (as in the source)"
    assert any("quantized already" in text for text in result.notices)
    with edgewise.load(result.path) as model:
        assert model.self_test().passed


def test_fp32_computes_the_same_rounding_in_float32(quantized: Path, tmp_path: Path) -> None:
    result = convert(Request(source=quantized, target="rpi4", precision="fp32", out=tmp_path / "out.tflite"))
    assert result.precision == "fp32"


def test_dynamic_quantization_is_called_dynamic(tmp_path: Path) -> None:
    path, plain = tmp_path / "quantized.onnx", tmp_path / "plain.onnx"
    onnx.save(model_of(TOKENS), plain)
    ortq.quantize_dynamic(plain, path, weight_type=INT8)
    result = convert(Request(source=path, target="rpi4", out=tmp_path / "out.tflite"))
    assert result.precision == "dynamic (as in the source)"


def test_a_float_model_states_no_quantization(tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    onnx.save(model_of(PICTURES), plain)
    with pytest.raises(ConversionError, match="the model has no QuantizeLinear"):
        convert(Request(source=plain, target="rpi4", precision="source", out=tmp_path / "out.tflite"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic"])
def test_a_loop_is_converted_whole(precision: str, tmp_path: Path) -> None:
    body = (
        "body = b (int64 i, bool c, float[1,48] v) => (bool d, float[1,48] z) "
        "{ d = Identity(c) m = MatMul(v, w) n = Add(m, x) z = Tanh(n) }"
    )
    weights = (np.random.default_rng(5).standard_normal((48, 48)) / 9).astype(np.float32)
    this = case(f"y = Loop<{body}>(xn, , x)", x=(1, 48), xn=np.int64(4), w=weights)
    path = tmp_path / "loop.onnx"
    onnx.save(model_of(this), path)
    result = convert(Request(source=path, target="armv7", precision=precision, out=tmp_path / "out.tflite"))
    with edgewise.load(result.path) as model:
        assert model.self_test().passed
