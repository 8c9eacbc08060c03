"""Biases and factors behind a dense layer go into its weights, where they are those of its outputs."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds

X, W = (1, 6, 5), (5, 4)
FOLDED = {
    "bias": case("a = MatMul(x, w) y = Add(a, b)", x=X, w=W, b=(4,)),
    "bias first": case("a = MatMul(x, w) y = Add(b, a)", x=X, w=W, b=(1, 1, 4)),
    "number": case("a = MatMul(x, w) y = Add(a, b)", x=X, w=W, b=np.float32(0.5)),
    "factor": case("a = MatMul(x, w) y = Mul(a, s)", x=X, w=W, s=np.float32(0.25)),
    "bias, factor, bias": case("a = MatMul(x, w) c = Add(a, b) d = Mul(c, s) y = Add(d, b)",
                               x=X, w=W, b=(4,), s=np.float32(3)),
    "bias and activation": case("a = MatMul(x, w) c = Add(a, b) y = Relu(c)", x=X, w=W, b=(4,)),
}  # fmt: skip
KEPT = {
    "column": case("a = MatMul(x, w) y = Add(a, b)", x=(1, 4, 5), w=W, b=(4, 1)),
    "growing": case("a = MatMul(x, w) y = Add(a, b)", x=(1, 1, 5), w=W, b=(1, 3, 4)),
    "row of factors": case("a = MatMul(x, w) y = Mul(a, s)", x=X, w=W, s=(4,)),
    "shown inside": case("y2 = MatMul(x, w) y = Add(y2, b)", x=X, w=W, b=(4,)),
    "behind an activation": case("a = MatMul(x, w) c = Relu(a) y = Add(c, b)", x=X, w=W, b=(4,)),
    "computed": case("a = MatMul(x, w) y = Add(a, x2)", x=X, w=W, x2=(1, 1, 4)),
}


@pytest.mark.parametrize("this", FOLDED.values(), ids=FOLDED)
def test_what_belongs_to_the_outputs_is_folded(this: Case) -> None:
    assert kinds(check(this)) == ["FULLY_CONNECTED"]


@pytest.mark.parametrize("this", KEPT.values(), ids=KEPT)
def test_what_does_not_is_kept(this: Case) -> None:
    assert len(kinds(check(this))) == 2


def test_a_factor_moves_through_a_reshape() -> None:
    this = case("a = MatMul(x, w) c = Add(a, b) d = Reshape(c, t) y = Mul(d, s)",
                x=X, w=W, b=(4,), t=np.array([1, 6, 2, 2]), s=np.float32(0.25))  # fmt: skip
    assert kinds(check(this)) == ["FULLY_CONNECTED", "RESHAPE"]
