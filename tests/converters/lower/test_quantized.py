"""ONNX's quantized operators are exact: the same integers as onnxruntime, in both runtimes."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, lowered, model_of

from edgewise_converters.errors import UnsupportedOperator

RNG = np.random.default_rng(5)
EXACT_DB = 200.0
"""What the meter calls no difference at all."""


def byte(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def signed(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


Z, S = np.array(131, np.uint8), np.array(-3, np.int8)
CONV = "y = QLinearConv<pads=[1,1,1,1]{}>(x, s0, z0, w, s1, z1, s2, z2, b)"
SCALES = {"s0": number(0.02), "s1": number(0.01), "s2": number(0.3)}
POINTS = {"z0": Z, "z1": Z, "z2": Z}
CASES = {
    "quantize": case("y = QuantizeLinear(x, s, z)", x=(2, 3, 4), s=number(0.013), z=Z),
    "quantize per channel": case(
        "y = QuantizeLinear(x, s, z)", x=(2, 3, 4, 5), s=np.array([0.1, 0.02, 0.3], np.float32), z=byte(3)
    ),
    "quantize behind a convolution": case(
        "a = Conv(x, w) q = QuantizeLinear(a, s, z) y = DequantizeLinear(q, s, z)",
        x=(1, 3, 4, 5), w=np.ones((2, 3, 1, 1), np.float32), s=number(0.5), z=S, at_least_db=100.0,
    ),
    "dequantize per channel": case(
        "y = DequantizeLinear<axis=2>(x, s, z)", x=byte(2, 3, 4), s=np.arange(1, 5, dtype=np.float32), z=byte(4)
    ),
    "dequantize blocks": case(
        "y = DequantizeLinear<axis=1,block_size=3>(x, s)", x=signed(4, 6), s=(4, 2), opset=21
    ),
    "quantized weights": case(
        "w = DequantizeLinear<axis=0>(q, s) y = Conv(x, w)", x=(1, 3, 5, 5), q=signed(2, 3, 3, 3),
        s=np.array([0.01, 0.02], np.float32), at_least_db=100.0,
    ),
    "matrices": case("y = MatMulInteger(x, w, z, z2)", x=byte(4, 30), w=signed(30, 5), z=Z, z2=S),
    "computed matrices": case("y = MatMulInteger(x, x2, z, z2)", x=byte(4, 30), x2=byte(30, 5), z=Z, z2=Z),
    "long sums": case("y = MatMulInteger(x, w, z)", x=byte(2, 3, 1000), w=byte(1000, 7), z=Z),
    "a zero point per column": case("y = MatMulInteger(x, w, z, z2)", x=byte(4, 30), w=byte(30, 5), z=Z, z2=byte(5)),
    "scaled matrices": case(
        "y = QLinearMatMul(x, s0, z0, w, s1, z1, s2, z2)", x=byte(3, 300), w=byte(300, 5), **SCALES, **POINTS
    ),
    "convolution": case("y = ConvInteger<pads=[1,1,1,1]>(x, w, z)", x=byte(1, 3, 6, 5), w=byte(4, 3, 3, 3), z=Z),
    "deep convolution": case("y = ConvInteger(x, w, z)", x=byte(1, 70, 5, 5), w=byte(4, 70, 3, 3), z=Z),
    "scaled convolution": case(
        CONV.format(""), x=byte(1, 3, 6, 5), w=byte(4, 3, 3, 3), b=RNG.integers(-999, 999, 4).astype(np.int32),
        **SCALES, **POINTS,
    ),
    "scaled depthwise convolution": case(
        CONV.format(",group=3"), x=byte(1, 3, 6, 5), w=byte(3, 1, 3, 3),
        b=RNG.integers(-999, 999, 3).astype(np.int32), **SCALES, **POINTS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_answers_the_same_integers_as_onnxruntime(name: str) -> None:
    this = CASES[name]
    exact = this.at_least_db == case("y = Relu(x)", x=(1,)).at_least_db and "Dequantize" not in this.body
    check(Case(this.body, this.values, this.opset, at_least_db=EXACT_DB) if exact else this)


def test_range_of_the_data_itself() -> None:
    check(case("y, y2, y3 = DynamicQuantizeLinear(x)", x=(3, 40), at_least_db=100.0))


def test_sums_that_would_round_are_refused() -> None:
    this = case("y = ConvInteger<group=2>(x, w)", x=byte(1, 80, 5, 5), w=byte(4, 40, 3, 3))
    with pytest.raises(UnsupportedOperator, match=r"ConvInteger.*products"):
        lowered(model_of(this))
