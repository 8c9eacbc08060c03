"""Static int8: near to the float model, small, and in the forms that onnxruntime has integer kernels for."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from converters.onnx_cases import Case, case
from converters.onnx_out.parts import CNN, MLP, agreement, answers, kernels, observed, prepared, samples_of

from edgewise.tensors import Quantization
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.range_table import RangeTable
from edgewise_converters.onnx_out.roles import roles_of
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.static_int8 import StaticOptions, quantize_static
from edgewise_converters.onnx_out.weighted import grouped, weighted_of

CNN_DB, DENSE_DB = 28.0, 33.0
"""A handful of layers with seeded weights; eight bits give 6 dB a bit less what ranges waste and layers add."""
GATED = case(
    "a = Conv<pads=[1,1,1,1]>(x, w1) c = GlobalAveragePool(a) d = Conv(c, w2) e = Relu(d) f = Conv(e, w3)"
    "g = Sigmoid(f) h = Mul(a, g) y = Conv(h, w4)",
    x=(1, 3, 12, 12), w1=(16, 3, 3, 3), w2=(8, 16, 1, 1), w3=(16, 8, 1, 1), w4=(6, 16, 1, 1),
)  # fmt: skip
SWISH = case(
    "a = Conv(x, w1) c = Sigmoid(a) d = Mul(a, c) y = Conv(d, w2)",
    x=(1, 3, 12, 12), w1=(8, 3, 3, 3), w2=(6, 8, 1, 1),
)  # fmt: skip


def quantized(this: Case, options: StaticOptions | None = None, **inputs: Quantization) -> ir.Model:
    options = options or StaticOptions("minmax")
    model, feeds = prepared(this), samples_of(this)
    seen = observed(model, roles_of(model.graph).rounded, feeds)
    rounding, table = LayerRounding(seen.moments), RangeTable(seen.values)
    roles = roles_of(model.graph, options.spared)
    return quantize_static(model, roles, table, options, rounding=rounding, inputs=inputs)


JOINED = case(
    "a = Conv(x, w1) c = Conv(x, w2) d = Concat<axis=1>(a, c) e = Relu(d) y = Conv(e, w3)",
    x=(1, 3, 8, 8), w1=(4, 3, 1, 1), w2=(4, 3, 1, 1), w3=(6, 8, 1, 1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("this", "at_least"), [(CNN, CNN_DB), (MLP, DENSE_DB), (GATED, CNN_DB), (SWISH, CNN_DB), (JOINED, CNN_DB)]
)
@pytest.mark.parametrize("ranges", ["minmax", "mse"])
def test_answers_are_near_the_float_models(this: Case, at_least: float, ranges: str) -> None:
    twin = quantized(this, StaticOptions(ranges))
    assert agreement(prepared(this), twin, samples_of(this)).worst_db >= at_least


def test_on_arm_every_layer_has_an_integer_kernel() -> None:
    found = kernels(quantized(CNN))
    assert found["QLinearConv"] == 5 and found["QLinearAdd"] == 1 and found["QLinearConcat"] == 1
    assert found["QGemm"] == 1 and found["QLinearGlobalAveragePool"] == 1
    assert not {"Conv", "Gemm", "Relu", "Clip", "Add", "DequantizeLinear"} & set(found), found


def test_what_rounding_cuts_off_needs_no_clip() -> None:
    twin = quantized(CNN)
    assert not {"Relu", "Clip"} & {node.op_type for node in twin.graph}


def test_weights_are_int8_with_a_scale_per_output_and_biases_int32() -> None:
    proto = onnx.ModelProto.FromString(serialized(quantized(CNN)))
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    assert {array.dtype.name for array in arrays if array.ndim == 4} == {"int8"}
    assert [array for array in arrays if array.dtype == np.float32 and array.ndim > 1] == []
    assert {array.size for array in arrays if array.dtype == np.int32} == {16, 24, 32, 50}


def test_gates_and_swish_stay_float() -> None:
    for this in (GATED, SWISH):
        twin = quantized(this)
        (gate,) = [node for node in twin.graph if node.op_type == "Sigmoid"]
        assert gate.outputs[0].uses()
    swish = [node for node in quantized(SWISH).graph if node.op_type == "Mul"]
    assert [user.op_type for user, _ in swish[0].outputs[0].uses()] == ["QuantizeLinear"]
    assert kernels(quantized(SWISH))["QLinearMul"] == 0
    assert kernels(quantized(GATED))["QLinearMul"] == 1


def test_a_layer_that_is_spared_stays_float_and_the_others_do_not() -> None:
    model = prepared(CNN)
    first = str(next(iter(model.graph)).outputs[0].name)
    twin = quantized(CNN, StaticOptions("minmax", spared=frozenset({first})))
    found = kernels(twin)
    assert found["QLinearConv"] == 4
    assert agreement(model, twin, samples_of(CNN)).worst_db >= CNN_DB


def test_an_output_that_a_convolution_makes_keeps_its_name_and_type() -> None:
    (answer,) = answers(quantized(GATED), samples_of(GATED, 1))
    assert set(answer) == {"y"} and answer["y"].dtype == np.float32


def test_the_known_quantization_of_an_input_is_used() -> None:
    known = Quantization((0.25,), (3,))
    twin = quantized(CNN, None, x=known)
    (entry,) = [node for node, _ in twin.graph.inputs[0].uses()]
    assert entry.op_type == "QuantizeLinear"
    scale, zero = (value.const_value.numpy() for value in entry.inputs[1:])  # type: ignore[union-attr]
    assert (float(scale), int(zero)) == (0.25, 3)


def test_joint_rounding_leaves_less_than_rounding_to_nearest() -> None:
    """On inputs whose channels go together: there one weight can make up for another."""
    this = case("y = Conv(x, w)", x=(1, 16, 10, 10), w=(32, 16, 1, 1))
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((16, 2))
    bases = rng.standard_normal((24, 1, 2, 10, 10))
    feeds = [{"x": np.einsum("ck,nkhw->nchw", mixing, base).astype(np.float32)} for base in bases]
    model = prepared(this)
    moments = observed(model, set(), feeds).moments
    layer = weighted_of(next(iter(model.graph)))
    assert layer is not None
    noise = {}
    for method in ("nearest", "gptq"):
        rounded = LayerRounding(moments).of(layer, 1.0, method)
        error = rounded.integers.reshape(32, 16) * rounded.scales[:, None] - grouped(layer)[0]
        noise[method] = np.einsum("ok,kl,ol->", error, moments["y"].blocks[0][0], error)
    assert noise["gptq"] < 0.2 * noise["nearest"]
