"""Reshapes that stand between operators which do not mind the shape go."""

import numpy as np
from converters.onnx_cases import case, check, kinds

SERIES, KERNEL = (1, 6, 20), (6, 6, 3)
ROWS = np.array([-1, 8])


def test_convolutions_of_a_series_follow_each_other_without_reshapes() -> None:
    this = case(
        "a = Conv<pads=[1,1]>(x, w) b = Relu(a) c = Conv<pads=[1,1]>(b, w) d = Add(a, c) y = Conv<pads=[1,1]>(d, w)",
        x=SERIES, w=KERNEL,
    )  # fmt: skip
    found = kinds(check(this))
    assert found.count("RESHAPE") <= 2, found
    assert found.count("CONV_2D") == 3


def test_a_dense_layer_between_reshapes_keeps_its_axes() -> None:
    this = case(
        "a = Reshape(x, r) b = Gemm(a, w, c) d = Reshape(b, s) y = Neg(d)",
        x=(1, 6, 8), r=ROWS, w=(8, 4), c=(4,), s=np.array([1, 6, 4]),
    )  # fmt: skip
    assert kinds(check(this)) == ["FULLY_CONNECTED", "NEG"]


def test_a_reshape_that_is_read_elsewhere_stays() -> None:
    this = case("a = Reshape(x, r) b = Neg(a) c = Exp(a) y = Reshape(b, s) y2 = Softmax(c)",
                x=(2, 3, 8), r=ROWS, s=np.array([2, 3, 8]))  # fmt: skip
    low = check(this)
    assert kinds(low).count("RESHAPE") <= 2


def test_numbers_meet_five_axes_without_reshapes() -> None:
    this = case("a = Sigmoid(x) b = Mul(a, two) y = Sub(b, half)", x=(1, 3, 4, 5, 2),
                two=np.array([2], np.float32), half=np.float32(0.5))  # fmt: skip
    assert kinds(check(this)) == ["LOGISTIC", "MUL", "SUB"]


def test_an_activation_behind_a_reshape_is_fused() -> None:
    this = case(
        "a = Conv(x, w) b = Reshape(a, s) y = Relu(b)", x=(1, 4, 5, 6), w=(4, 4, 1, 1), s=np.array([1, 4, 30])
    )
    assert "RELU" not in kinds(check(this))
