"""The rewrites for onnxruntime keep what a model computes, and whole what onnxruntime has kernels for."""

import numpy as np
import onnx_ir as ir
import pytest
from converters.onnx_cases import case, model_of
from converters.onnx_out.parts import CNN, MLP, answers, prepared, samples_of

from edgewise_converters.agreement import Meter
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.prepare import prepare

FLOAT32_DB = 100.0
"""What float32 rounding in another order leaves."""
NORMALISED = case(
    "a = Conv(x, w) c = BatchNormalization(a, s, b, m, v) y = Relu(c)",
    x=(1, 3, 8, 8), w=(4, 3, 3, 3), s=(4,), b=(4,), m=(4,), v=np.array([1, 2, 3, 4], np.float32),
)  # fmt: skip
LAYER_NORM = case("a = LayerNormalization(x, s, b) y = Softmax(a)", x=(1, 5, 8), s=(8,), b=(8,))
OLD = case("a = Conv<pads=[1,1,1,1]>(x, w) y = Relu(a)", opset=11, x=(1, 3, 8, 8), w=(4, 3, 3, 3))


def kinds(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("this", [CNN, MLP, NORMALISED, LAYER_NORM, OLD], ids=str)
def test_it_computes_what_the_original_computes(this: object) -> None:
    original = model_of(this).SerializeToString()  # type: ignore[arg-type]
    feeds, meter = samples_of(this, 3), Meter()  # type: ignore[arg-type]
    for want, got in zip(answers(original, feeds), answers(prepared(this), feeds), strict=True):  # type: ignore[arg-type]
        meter.add(want, got)
    assert meter.result().worst_db >= FLOAT32_DB


def test_batch_normalization_goes_into_the_weights() -> None:
    assert kinds(prepared(NORMALISED)) == ["Conv", "Relu"]


def test_layer_normalization_stays_whole() -> None:
    assert kinds(prepared(LAYER_NORM)) == ["LayerNormalization", "Softmax"]


def test_an_old_opset_is_raised_so_that_scales_per_channel_exist() -> None:
    model = prepared(OLD)
    assert model.graph.opset_imports[""] == 17
    assert ir.serde.deserialize_model(_proto(serialized(model))).ir_version == 8


def test_a_matrix_product_with_a_bias_becomes_one_node() -> None:
    this = case("a = MatMul(x, w) y = Add(b, a)", x=(4, 8), w=(8, 6), b=(6,))
    assert kinds(prepared(this)) == ["Gemm"]


def test_a_choice_that_depends_on_the_data_stays_one() -> None:
    branches = "then_branch = t () => (p) { p = Identity(x) }, else_branch = e () => (q) { q = Neg(x) }"
    body = f"s = ReduceSum<keepdims=0>(x) c = Greater(s, z) a = If(c) <{branches}> y = Relu(a)"
    this = case(body, x=(1, 4), z=np.array(0, np.float32))
    assert "If" in kinds(prepare(ir.from_proto(model_of(this))))


def _proto(data: bytes) -> object:
    import onnx

    return onnx.ModelProto.FromString(data)
