"""Formulas with exponents, squares and quotients inside stay float32 in an int8 file; its convolutions do not."""

import pytest
from converters.onnx_cases import case
from converters.quantize.int8_parts import quantized

X, W = (1, 4, 16, 16), (4, 4, 3, 3)
FORMULAS = {
    "Mish": 20, "Softplus": 17, "Erf": 17, "ReduceL2<axes=[1]>": 17, "ReduceLogSumExp<axes=[1]>": 17, "Softsign": 17,
}  # fmt: skip
"""With the opset they are written for."""
ENOUGH_DB = 28.0
"""An int8 convolution before a formula leaves 30 dB and more; Mish and Erf in int8 fall below."""


@pytest.mark.parametrize(("formula", "opset"), FORMULAS.items(), ids=FORMULAS)
def test_formulas_stay_float(formula: str, opset: int) -> None:
    net = quantized(case(f"a = Conv<pads=[1,1,1,1]>(x, w) y = {formula}(a)", x=X, w=W, opset=opset))
    assert [kind for kind in net.kinds() if kind.endswith(" i")] == ["QUANTIZE i", "CONV_2D i"]
    assert net.decibel() >= ENOUGH_DB


@pytest.mark.parametrize("activation", ("Celu<alpha=0.5>", "Selu", "Elu<alpha=0.7>", "LeakyRelu"))
def test_units_bent_below_zero_run_in_int8(activation: str) -> None:
    net = quantized(case(f"a = Conv<pads=[1,1,1,1]>(x, w) y = {activation}(a)", x=X, w=W))
    assert sum(kind.endswith(" i") for kind in net.kinds()) > 2
    assert net.decibel() >= ENOUGH_DB
