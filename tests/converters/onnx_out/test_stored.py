"""Weights that are restored on loading: small files, float32 kernels."""

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case
from converters.onnx_out.parts import CNN, MLP, agreement, answers, kernels, observed, prepared, samples_of

from edgewise_converters.onnx_out.dynamic_int8 import quantize_dynamic
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.stored import store_float16, store_int8
from edgewise_converters.onnx_out.stored_layers import store_layers

HALF_DB = 60.0
"""float16 has 11 bits."""
INT8_DB = 33.0
DYNAMIC_DB = 30.0
LSTM = case(
    "y, h, c = LSTM<hidden_size=16>(x, w, r)", x=(5, 1, 24), w=(1, 64, 24), r=(1, 64, 16)
)  # fmt: skip
TABLE = case("a = Gather(t, x) y = Relu(a)", x=np.array([3, 1, 2]), t=(300, 16))


def test_float16_weights_are_restored_when_the_file_is_loaded() -> None:
    model = prepared(CNN)
    twin = model.clone()
    assert store_float16(twin.graph) == 6  # the biases are too small for it
    assert agreement(model, twin, samples_of(CNN)).worst_db >= HALF_DB
    assert kernels(twin)["Cast"] == 0
    assert len(serialized(twin)) < 0.7 * len(serialized(model))


def test_numbers_beyond_float16_stay_float32() -> None:
    this = case("y = Mul(x, big)", x=(1, 64), big=np.full((1, 64), 1e6, np.float32))
    assert store_float16(prepared(this).graph) == 0


@pytest.mark.parametrize("this", [CNN, MLP, LSTM], ids=["cnn", "mlp", "lstm"])
def test_int8_weights_are_restored_when_the_file_is_loaded(this: object) -> None:
    model = prepared(this)  # type: ignore[arg-type]
    twin = model.clone()
    assert store_int8(twin.graph) > 0
    assert agreement(model, twin, samples_of(this)).worst_db >= INT8_DB  # type: ignore[arg-type]
    assert not {"Cast", "Mul"} & set(kernels(twin))


def test_a_table_has_a_scale_per_row() -> None:
    model = prepared(TABLE)
    twin = model.clone()
    assert store_int8(twin.graph) == 1
    shapes = {tuple(value.shape) for value in twin.graph.initializers.values()}  # type: ignore[arg-type]
    assert (300, 1) in shapes
    (want,), (got,) = (answers(m, [{"x": np.array([3, 1, 2])}]) for m in (model, twin))
    assert np.abs(want["y"] - got["y"]).max() < 0.02


def test_constants_that_are_no_weights_stay_as_they_are() -> None:
    this = case("y = Add(x, p)", x=(1, 64, 32), p=(1, 64, 32))
    assert store_int8(prepared(this).graph) == 0


def test_jointly_rounded_weights_with_corrected_biases_come_nearer() -> None:
    """Inputs with a mean: what rounding adds to it goes into the bias."""
    model = prepared(CNN)
    feeds = [{"x": np.abs(feed["x"]) + 1} for feed in samples_of(CNN)]
    rounding = LayerRounding(observed(model, set(), feeds).moments)
    plain, joint = model.clone(), model.clone()
    store_int8(plain.graph)
    assert store_layers(joint.graph, rounding) == 2  # layers of 1,024 weights or more
    store_int8(joint.graph)
    assert agreement(model, joint, feeds).worst_db > agreement(model, plain, feeds).worst_db + 1


def test_dynamic_products_are_one_kernel_each() -> None:
    model = prepared(MLP)
    twin = quantize_dynamic(model)
    assert agreement(model, twin, samples_of(MLP)).worst_db >= DYNAMIC_DB
    found = kernels(twin, exact=True)
    assert found["DynamicQuantizeMatMul"] + found["MatMulIntegerToFloat"] == 3
    assert not {"MatMul", "MatMulInteger", "Cast"} & set(found), found
    types = {
        t.data_type
        for t in onnx.ModelProto.FromString(serialized(twin)).graph.initializer
        if len(t.dims) == 2
    }
    assert types == {onnx.TensorProto.INT8}
