"""Every way to spell layer and RMS normalization is found, and nothing that only looks like it."""

import numpy as np
import onnx_ir as ir
import pytest
from converters.onnx_cases import Case, case, check, kinds, model_of

from edgewise_converters.passes import canonicalize

X = (2, 5, 8)
NUMBERS = {"two": np.float32(2), "eps": np.float32(1e-5), "one": np.float32(1)}
CENTRED = "m = ReduceMean<axes=[-1]>(x) d = Sub(x, m)"
LAYER_NORMS = {
    "power": f"{CENTRED} p = Pow(d, two) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) s = Sqrt(e) q = Div(d, s)",
    "product": f"{CENTRED} p = Mul(d, d) v = ReduceMean<axes=[2]>(p) e = Add(eps, v) s = Sqrt(e) q = Div(d, s)",
    "reciprocal": f"{CENTRED} p = Mul(d, d) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) s = Sqrt(e) "
    "r = Reciprocal(s) q = Mul(d, r)",
    "one divided": f"{CENTRED} p = Mul(d, d) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) s = Sqrt(e) "
    "r = Div(one, s) q = Mul(r, d)",
}
TAILS = {
    "bare": "y = Neg(q)",
    "scaled": "g = Mul(q, w) y = Neg(g)",
    "shifted": "g = Mul(w, q) h = Add(g, b) y = Neg(h)",
}
RMS = (
    "p = Pow(x, two) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) s = Sqrt(e) r = Reciprocal(s) q = Mul(x, r)"
)
LIKENESSES = {
    "first axis": "m = ReduceMean<axes=[0]>(x) d = Sub(x, m) p = Mul(d, d) v = ReduceMean<axes=[0]>(p) e = Add(v, eps) "
    "s = Sqrt(e) y = Div(d, s)",
    "other axes": f"{CENTRED} p = Mul(d, d) v = ReduceMean<axes=[1,2]>(p) e = Add(v, eps) s = Sqrt(e) y = Div(d, s)",
    "not divided by itself": f"{CENTRED} p = Mul(d, d) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) s = Sqrt(e) "
    "y = Div(x2, s)",
    "inside shown": f"{CENTRED} p = Mul(d, d) v = ReduceMean<axes=[-1]>(p) e = Add(v, eps) y2 = Sqrt(e) y = Div(d, y2)",
    "no square": f"{CENTRED} p = Mul(d, x) v = ReduceMean<axes=[-1]>(p) a = Abs(v) e = Add(a, eps) s = Sqrt(e) "
    "y = Div(d, s)",
}


def spelled(body: str) -> Case:
    values: dict[str, object] = {"x": X, "x2": X, "w": (8,), "b": (8,), **NUMBERS}
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return case(body, **{name: value for name, value in values.items() if name in words})


def canonical(this: Case) -> list[str]:
    model = ir.from_proto(model_of(this))
    canonicalize(model)
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("body", LAYER_NORMS.values(), ids=LAYER_NORMS)
def test_every_spelling_of_layer_normalization_is_one_operator(body: str, tail: str) -> None:
    this = spelled(f"{body} {tail}")
    assert canonical(this) == ["LayerNormalization", "Neg"]
    check(this)


@pytest.mark.parametrize("tail", ["y = Neg(q)", "g = Mul(q, w) y = Neg(g)"])
def test_rms_normalization_is_one_operator(tail: str) -> None:
    this = spelled(f"{RMS} {tail}")
    assert canonical(this) == ["RMSNormalization", "Neg"]
    check(this)


@pytest.mark.parametrize("body", LIKENESSES.values(), ids=LIKENESSES)
def test_what_only_looks_like_layer_normalization_is_none(body: str) -> None:
    this = spelled(body)
    assert "LayerNormalization" not in canonical(this)
    check(this)


def test_a_normalization_takes_no_scale_of_another_shape() -> None:
    this = case(f"{LAYER_NORMS['product']} y = Mul(q, w)", x=X, eps=NUMBERS["eps"], w=(5, 1))
    assert canonical(this) == ["LayerNormalization", "Mul"]
    check(this)


def test_a_scale_of_one_and_a_shift_of_zero_are_not_computed() -> None:
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    low = check(case("y = LayerNormalization(x, w, b)", x=X, w=ones, b=zeros))
    assert kinds(low)[-1] == "MUL"
    assert len(kinds(low)) == 7
