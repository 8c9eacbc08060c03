"""What is computed twice is computed once."""

import numpy as np
from converters.onnx_cases import case, check, kinds

X = (2, 3, 4)


def test_the_same_mask_for_two_layers_is_made_once() -> None:
    this = case(
        "a = Greater(x, zero) b = Where(a, x, low) c = Greater(x, zero) d = Where(c, x, low) e = Neg(b) y = Mul(e, d)",
        x=X, zero=np.float32(0), low=np.float32(-9),
    )  # fmt: skip
    assert kinds(check(this)) == ["GREATER", "SELECT_V2", "NEG", "MUL"]


def test_what_differs_in_an_attribute_is_computed_twice() -> None:
    this = case("a = Softmax<axis=1>(x) b = Softmax<axis=2>(x) y = Add(a, b)", x=X)
    assert kinds(check(this)).count("SOFTMAX") == 2
