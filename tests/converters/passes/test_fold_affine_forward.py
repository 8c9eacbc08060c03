"""One scale and shift for a whole tensor go into the layers behind it; what would not be exact stays."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds

X = (1, 4, 6, 6)
W, PLANES, B = (5, 4, 3, 3), (4, 1, 3, 3), (5,)
S, C = np.float32(0.7), np.float32(-0.4)
TANH = "a = Tanh(x)"
AFFINE = f"{TANH} m = Mul(a, s) b = Add(m, c)"
GONE = {
    "scale and shift": case(f"{AFFINE} y = Conv(b, w, v)", x=X, w=W, v=B, s=S, c=C),
    "no bias before": case(f"{AFFINE} y = Conv(b, w)", x=X, w=W, s=S, c=C),
    "shift then scale": case(f"{TANH} m = Add(c, a) b = Mul(s, m) y = Conv(b, w)", x=X, w=W, s=S, c=C),
    "scale and padding": case(f"{TANH} b = Div(a, s) y = Conv<pads=[1,1,1,1]>(b, w, v)", x=X, w=W, v=B, s=S),
    "depthwise": case(f"{TANH} b = Sub(a, s) y = Conv<group=4>(b, w)", x=X, w=PLANES, s=S),
    "dense": case(f"{AFFINE} y = Gemm<transB=1>(b, w, v)", x=(3, 7), w=(5, 7), v=B, s=S, c=C),
    "dense, turned": case(f"{AFFINE} y = Gemm(b, w)", x=(3, 7), w=(7, 5), s=S, c=C),
}
SHIFT_STAYS = {
    "padding": case(f"{AFFINE} y = Conv<pads=[1,1,1,1]>(b, w, v)", x=X, w=W, v=B, s=S, c=C),
    "same": case(f'{AFFINE} y = Conv<auto_pad="SAME_UPPER">(b, w, v)', x=X, w=W, v=B, s=S, c=C),
    "one of two pads": case(
        f"{AFFINE} y = Conv<pads=[1,1,1,1]>(b, w) y2 = Conv(b, u)", x=X, w=W, u=(3, 4, 1, 1), s=S, c=C
    ),
}
KEPT = {
    "vector": case(f"{TANH} b = Mul(a, s) y = Conv(b, w)", x=X, w=W, s=(4, 1, 1)),
    "an output too": case(f"{TANH} y2 = Mul(a, s) y = Conv(y2, w)", x=X, w=W, s=S),
    "another reader": case(f"{TANH} b = Mul(a, s) y = Conv(b, w) y2 = Exp(b)", x=X, w=W, s=S),
    "zero": case(f"{TANH} b = Mul(a, s) y = Conv(b, w)", x=X, w=W, s=np.float32(0)),
    "weights of two": case(f"{TANH} b = Mul(a, s) y = Conv(b, w) y2 = Conv(a, w)", x=X, w=W, s=S),
    "as weights": case("a = Tanh(x) b = Mul(a, s) y = Conv(x2, b)", x=(5, 4, 3, 3), x2=X, s=S),
}


def count(this: Case, *wanted: str) -> int:
    return sum(kind in wanted for kind in kinds(check(this)))


@pytest.mark.parametrize("this", GONE.values(), ids=GONE)
def test_scale_and_shift_go_into_the_weights(this: Case) -> None:
    assert count(this, "MUL", "ADD", "SUB", "DIV") == 0


@pytest.mark.parametrize("this", SHIFT_STAYS.values(), ids=SHIFT_STAYS)
def test_before_padding_only_the_shift_stays(this: Case) -> None:
    found = kinds(check(this))
    assert found.count("ADD") == 1 and "MUL" not in found


@pytest.mark.parametrize("this", KEPT.values(), ids=KEPT)
def test_what_others_need_stays(this: Case) -> None:
    assert count(this, "MUL", "ADD", "SUB", "DIV") >= 1
