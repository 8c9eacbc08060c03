"""Products with ones and sums with zeros go; what only looks like them stays."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds

X = (1, 3, 4)
ONE, ZERO = np.float32(1), np.float32(0)
GONE = {
    "times one": case("a = Mul(x, n) y = Exp(a)", x=X, n=ONE),
    "one times": case("a = Mul(n, x) y = Exp(a)", x=X, n=np.ones(4, np.float32)),
    "over one": case("a = Div(x, n) y = Exp(a)", x=X, n=ONE),
    "plus zero": case("a = Add(n, x) y = Exp(a)", x=X, n=ZERO),
    "minus zero": case("a = Sub(x, n) y = Exp(a)", x=X, n=ZERO),
}
KEPT = {
    "one over": case("a = Div(n, x) y = Exp(a)", x=X, n=ONE, positive=True),
    "zero minus": case("a = Sub(n, x) y = Exp(a)", x=X, n=ZERO),
    "growing": case("a = Mul(x, n) y = Exp(a)", x=X, n=np.ones((2, 3, 4), np.float32)),
    "not all ones": case("a = Mul(x, n) y = Exp(a)", x=X, n=np.array([1, 1, 1, 2], np.float32)),
    "zeros": case("a = Mul(x, n) y = Exp(a)", x=X, n=ZERO),
}


@pytest.mark.parametrize("this", GONE.values(), ids=GONE)
def test_what_computes_nothing_goes(this: Case) -> None:
    assert kinds(check(this)) == ["EXP"]


@pytest.mark.parametrize("this", KEPT.values(), ids=KEPT)
def test_what_computes_something_stays(this: Case) -> None:
    assert len(kinds(check(this))) == 2
