"""Formulas whose inner values int8 cannot carry stay float in an int8 file."""

import numpy as np
import pytest
from converters.onnx_cases import case, kinds, lowered, model_of

from edgewise_converters.quantize import Width
from edgewise_converters.quantize.rules import sensible_width
from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.runtimes import RULES, rules_of

X = (1, 4, 6, 6)
GRID = np.zeros((1, 5, 5, 2), np.float32)
STEP, ZERO = np.array(0.05, np.float32), np.array(0, np.int8)
BYTES = np.ones((4, 4, 1, 1), np.uint8)
CASES = {
    "normalisation": case("y = InstanceNormalization(x, g, b)", x=X, g=(4,), b=(4,)),
    "normalisation over much space": case(
        "y = InstanceNormalization(x, g, b)", x=(1, 4, 64, 64), g=(4,), b=(4,)
    ),
    "places of pixels": case("y = GridSample(x, g)", x=X, g=GRID, opset=20),
    "matrices of pixels": case('y = Resize<mode="cubic">(x, , s)', x=X, s=np.array([1, 1, 2, 2], np.float32)),
    "padding below all numbers": case(
        "y = MaxPool<kernel_shape=[2,2],dilations=[2,2],pads=[1,1,1,1]>(x)", x=X
    ),
    "rounding": case("q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)", x=X, s=STEP, z=ZERO),
    "whole numbers": case("y = ConvInteger(x, w)", x=BYTES, w=BYTES),
    "attention": case("y = Attention(x, x2, x3)", x=(1, 2, 4, 8), x2=(1, 2, 5, 8), x3=(1, 2, 5, 8), opset=23),
    "frequencies": case("y = STFT(x, s, w)", x=(1, 64, 1), s=np.array(8, np.int64), w=(16,)),
}


def runs_in_int8(operator: Operator, graph: Graph) -> bool:
    return sensible_width(operator, graph, Width.INT8, rules_of(tuple(RULES))) is Width.INT8


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_a_formula_runs_in_int8(name: str) -> None:
    low = lowered(model_of(CASES[name]))
    assert [operator.kind for operator in low.graph.operators if runs_in_int8(operator, low.graph)] == []


def test_convolutions_and_what_tflite_resizes_itself_still_run_in_int8() -> None:
    this = case('a = Conv(x, w) y = Resize<mode="linear">(a, , s)',
                x=X, w=(4, 4, 3, 3), s=np.array([1, 1, 2, 2], np.float32))  # fmt: skip
    low = lowered(model_of(this))
    assert kinds(low) == ["CONV_2D", "RESIZE_BILINEAR"]
    assert all(runs_in_int8(operator, low.graph) for operator in low.graph.operators)
