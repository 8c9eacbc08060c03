"""Every way to spell GELU is found, and nothing that only looks like it."""

import numpy as np
import pytest
from converters.onnx_cases import case, check, kinds

X, W = (1, 4, 5, 6), (4, 4, 1, 1)
NUMBERS = {
    "r": np.float32(2**0.5), "i": np.float32(0.5**0.5), "h": np.float32(0.5), "one": np.float32(1),
    "two": np.float32(2), "q": np.float32(0.3),
}  # fmt: skip
SPELLINGS = (
    "b = Div(a, r) e = Erf(b) p = Add(e, one) m = Mul(a, p) y = Mul(m, h)",
    "b = Div(a, r) e = Erf(b) p = Add(one, e) s = Mul(h, a) y = Mul(s, p)",
    "b = Mul(i, a) e = Erf(b) p = Add(e, one) q1 = Mul(p, h) y = Mul(a, q1)",
    "b = Mul(a, i) e = Erf(b) p = Add(e, one) m = Mul(p, a) y = Div(m, two)",
)
LIKENESSES = (
    "b = Div(a, two) e = Erf(b) p = Add(e, one) m = Mul(a, p) y = Mul(m, h)",
    "b = Div(a, r) e = Erf(b) p = Add(e, h) m = Mul(a, p) y = Mul(m, h)",
    "b = Div(a, r) e = Erf(b) p = Add(e, one) m = Mul(a, p) y = Mul(m, q)",
    "b = Div(a, r) e = Erf(b) p = Add(e, one) m = Mul(x2, p) y = Mul(m, h)",
    "b = Div(a, r) e = Erf(b) p = Add(e, one) m = Mul(a, p) y = Mul(m, h) y2 = Neg(p)",
    "b = Div(r, a) e = Erf(b) p = Add(e, one) m = Mul(a, p) y = Mul(m, h)",
)


def used(body: str) -> dict[str, np.float32]:
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {name: number for name, number in NUMBERS.items() if name in words}


@pytest.mark.parametrize("body", SPELLINGS)
def test_every_spelling_is_one_operator(body: str) -> None:
    found = kinds(check(case(f"a = Conv(x, w) {body}", x=X, w=W, **used(body))))
    assert found == ["CONV_2D", "GELU"]


@pytest.mark.parametrize("body", LIKENESSES)
def test_what_only_looks_like_gelu_is_none(body: str) -> None:
    low = check(case(f"a = Conv(x, w) {body}", x=X, w=W, x2=X, **used(body)))
    assert "GELU" not in kinds(low)
