"""The rewrites: what they leave behind, and that the answer stays."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from converters.onnx_cases import Case, ask_onnxruntime, case, check, feeds_of, kinds, model_of

from edgewise_converters.agreement import Meter
from edgewise_converters.errors import SourceError
from edgewise_converters.passes import canonicalize

X = (1, 4, 6, 5)
W = (3, 4, 3, 3)
N = {"g": (3,), "h": (3,), "m": (3,), "v": np.array([0.5, 1.5, 2.5], np.float32)}
BATCH_NORM = "BatchNormalization(a, g, h, m, v)"
THREE, SIX, ZERO = (np.array(number, np.float32) for number in (3, 6, 0))
CLIP = {"three": THREE, "zero": ZERO, "six": SIX}


def canonical(this: Case) -> tuple[onnx.ModelProto, list[str]]:
    """The rewritten model, still ONNX, and its operators; its answer is held against the original's."""
    model = model_of(this)
    graph = ir.from_proto(model)
    canonicalize(graph)
    rewritten = ir.to_proto(graph)
    rewritten.ir_version = 10
    meter = Meter()
    for feed in feeds_of(this):
        meter.add(ask_onnxruntime(model, feed), ask_onnxruntime(rewritten, feed))
    assert meter.result().worst_db >= this.at_least_db
    return rewritten, [node.op_type for node in rewritten.graph.node]


FOLDED = {
    "batch norm behind a convolution": case(f"a = Conv(x, w, b) y = {BATCH_NORM}", x=X, w=W, b=(3,), **N),
    "batch norm behind one without bias": case(f"a = Conv(x, w) y = {BATCH_NORM}", x=X, w=W, **N),
    "batch norm behind a grouped one": case(f"a = Conv<group=2>(x, w) y = {BATCH_NORM.replace('g', 'k')}",
                                            x=X, w=(6, 2, 3, 3), k=(6,), h=(6,), m=(6,), v=np.ones(6, np.float32)),
    "scale": case("a = Conv(x, w) y = Mul(a, s)", x=X, w=W, s=(3, 1, 1)),
    "scale by one number": case("a = Conv(x, w) y = Mul(s, a)", x=X, w=W, s=(1,)),
    "shift": case("a = Conv(x, w) y = Add(a, s)", x=X, w=W, s=(1, 3, 1, 1)),
    "shift down": case("a = Conv(x, w, b) y = Sub(a, s)", x=X, w=W, b=(3,), s=()),
    "division": case("a = Conv(x, w, b) y = Div(a, s)", x=X, w=W, b=(3,), s=(3, 1, 1), positive=True),
    "chain": case(f"a = Conv(x, w, b) c = {BATCH_NORM} d = Mul(c, s) y = Add(d, t)",
                  x=X, w=W, b=(3,), s=(3, 1, 1), t=(3, 1, 1), **N),
}  # fmt: skip
INTO_OTHERS = {
    "ConvTranspose": case(f"a = ConvTranspose(x, w, b) y = {BATCH_NORM}", x=X, w=(4, 3, 2, 2), b=(3,), **N),
    "Gemm": case(f"a = Gemm(x, w, b) y = {BATCH_NORM}", x=(2, 5), w=(5, 3), b=(3,), **N),
    "Gemm transposed": case("a = Gemm<transB=1>(x, w) y = Mul(a, s)", x=(2, 5), w=(3, 5), s=(3,)),
}


@pytest.mark.parametrize("this", FOLDED.values(), ids=FOLDED)
def test_scales_and_shifts_go_into_the_convolution(this: Case) -> None:
    assert canonical(this)[1] == ["Conv"]
    check(this)


@pytest.mark.parametrize("name", INTO_OTHERS)
def test_scales_and_shifts_go_into_other_products(name: str) -> None:
    assert canonical(INTO_OTHERS[name])[1] == [name.split()[0]]
    check(INTO_OTHERS[name])


@pytest.mark.parametrize("opset", [7, 9, 13, 14, 15, 21])
def test_batch_norm_of_every_age(opset: int) -> None:
    check(case(f"a = Conv(x, w) y = {BATCH_NORM}", x=X, w=W, opset=opset, **N))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 7), (1, 3, 4, 5)], ids=str)
def test_batch_norm_that_follows_nothing_is_spelled_out(shape: tuple[int, ...]) -> None:
    this = case(f"a = Abs(x) y = {BATCH_NORM}", x=shape, **N)
    assert canonical(this)[1] == ["Abs", "Mul", "Add"]
    check(this)


def test_batch_norm_before_a_convolution_stays_apart_from_it() -> None:
    check(
        case(
            "a = BatchNormalization(x, g, h, m, v) y = Conv<pads=[1,1,1,1]>(a, w)",
            x=(1, 3, 6, 5),
            w=(2, 3, 3, 3),
            **N,
        )
    )


KEPT = {
    "read twice": case("a = Conv(x, w) y = Mul(a, s) y2 = Relu(a)", x=X, w=W, s=(3, 1, 1)),
    "an output itself": case("y = Conv(x, w) y2 = Mul(y, s)", x=X, w=W, s=(3, 1, 1)),
    "along rows": case("a = Conv(x, w) y = Mul(a, s)", x=X, w=W, s=(4, 1)),
    "along columns as many as channels": case("a = Conv(x, w) y = Mul(a, s)", x=(1, 4, 6, 5), w=W, s=(3,)),
    "a subtraction from a constant": case("a = Conv(x, w) y = Sub(s, a)", x=X, w=W, s=(3, 1, 1)),
    "enlarging": case("a = Conv(x, w) y = Mul(a, s)", x=X, w=(1, 4, 3, 3), s=(3, 1, 1)),
    "a square column addend": case("a = Gemm(x, w, b) y = Mul(a, s)", x=(3, 5), w=(5, 3), b=(3, 1), s=(3,)),
}


@pytest.mark.parametrize("this", KEPT.values(), ids=KEPT)
def test_what_is_no_scale_per_channel_is_left_alone(this: Case) -> None:
    assert len(canonical(this)[1]) == this.body.count("=")
    check(this)


def test_weights_shared_by_two_convolutions_are_scaled_for_one() -> None:
    this = case("a = Conv(x, w) b = Mul(a, s) n = Neg(x) c = Conv(n, w) y = Sub(b, c)", x=X, w=W, s=(3, 1, 1))
    assert canonical(this)[1] == ["Conv", "Neg", "Conv", "Sub"]
    check(this)


SWISHES = {
    "clip by division": "a = Add(x, three) b = Clip(a, zero, six) c = Div(b, six) y = Mul(x, c)",
    "clip by division, turned round": "a = Add(three, x) b = Clip(a, zero, six) c = Div(b, six) y = Mul(c, x)",
    "product first": "a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)",
    "by a sixth": "a = Add(x, three) b = Clip(a, zero, six) c = Mul(b, sixth) y = Mul(x, c)",
    "HardSigmoid": "c = HardSigmoid<alpha=0.16666667,beta=0.5>(x) y = Mul(x, c)",
    "HardSwish": "y = HardSwish(x)",
}


@pytest.mark.parametrize("body", SWISHES.values(), ids=SWISHES)
def test_every_form_of_hard_swish_is_found(body: str) -> None:
    this = case(body, x=X, sixth=np.float32(1 / 6), **CLIP)
    assert canonical(this)[1] == ["HardSwish"]
    assert kinds(check(this)) == ["HARD_SWISH"]


def test_hard_sigmoid_is_found() -> None:
    this = case("a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six)", x=X, **CLIP)
    assert canonical(this)[1] == ["HardSigmoid"]
    check(this)


NO_SWISHES = {
    "another shift": case("a = Add(x, two) b = Clip(a, zero, six) c = Div(b, six) y = Mul(x, c)",
                          x=X, two=np.float32(2), zero=ZERO, six=SIX),
    "another gate": case("a = Add(x2, three) b = Clip(a, zero, six) c = Div(b, six) y = Mul(x, c)", x=X, x2=X, **CLIP),
    "default HardSigmoid": case("c = HardSigmoid(x) y = Mul(x, c)", x=X),
    "six divided": case("a = Add(x, three) b = Clip(a, one, six) y = Div(six, b)",
                        x=X, three=THREE, six=SIX, one=np.float32(1)),
    "gate read twice": case("a = Add(x, three) b = Clip(a, zero, six) c = Div(b, six) y = Mul(x, c) y2 = Relu(c)",
                            x=X, **CLIP),
}  # fmt: skip


@pytest.mark.parametrize("this", NO_SWISHES.values(), ids=NO_SWISHES)
def test_what_only_looks_like_hard_swish_is_none(this: Case) -> None:
    assert "HardSwish" not in canonical(this)[1]
    check(this)


PADDED = {
    "zeros": case("a = Pad(x, p) y = Conv(a, w)", x=X, w=W, p=np.array([0, 0, 1, 2, 0, 0, 0, 1])),
    "zeros and its own": case("a = Pad(x, p, zero) y = Conv<pads=[1,1,1,1]>(a, w, b)",
                              x=X, w=W, b=(3,), zero=ZERO, p=np.array([0, 0, 1, 0, 0, 0, 0, 1])),
    "opset 10": case("a = Pad<pads=[0,0,1,2,0,0,0,1]>(x) y = Conv<strides=[2,2]>(a, w)", x=X, w=W, opset=10),
    "VALID": case('a = Pad(x, p) y = Conv<auto_pad="VALID">(a, w)', x=X, w=W, p=np.array([0, 0, 1, 2, 0, 0, 0, 1])),
}  # fmt: skip
UNPADDED = {
    "another number": case("a = Pad(x, p, v) y = Conv(a, w)",
                           x=X, w=W, v=np.float32(1), p=np.array([0, 0, 1, 2, 0, 0, 0, 1])),
    "channels": case("a = Pad(x, p) y = Conv(a, w)", x=(1, 3, 6, 5), w=W, p=np.array([0, 1, 0, 0, 0, 0, 0, 0])),
    "reflected": case('a = Pad<mode="reflect">(x, p) y = Conv(a, w)', x=X, w=W, p=np.array([0, 0, 1, 1, 0, 0, 1, 1])),
    "read twice": case("a = Pad(x, p) y = Conv(a, w) y2 = Relu(a)", x=X, w=W, p=np.array([0, 0, 1, 2, 0, 0, 0, 1])),
    "SAME_UPPER": case('a = Pad(x, p) y = Conv<auto_pad="SAME_UPPER">(a, w)',
                       x=X, w=W, p=np.array([0, 0, 1, 2, 0, 0, 0, 1])),
}  # fmt: skip


@pytest.mark.parametrize("this", PADDED.values(), ids=PADDED)
def test_zero_padding_becomes_the_convolutions_own(this: Case) -> None:
    assert canonical(this)[1] == ["Conv"]
    check(this)


@pytest.mark.parametrize("this", UNPADDED.values(), ids=UNPADDED)
def test_other_padding_stays(this: Case) -> None:
    assert "Pad" in canonical(this)[1]
    check(this)


CHAINS = {
    "flatten as exporters spell it": case(
        "s = Shape(x) i = Constant<value_int=0>() n = Gather(s, i) u = Unsqueeze(n, z) m = Constant<value_ints=[-1]>() "
        "t = Concat<axis=0>(u, m) y = Reshape(x, t)",
        x=X, z=np.array([0]),
    ),
    "half the channels": case(
        "s = Shape<start=1,end=2>(x) h = Div(s, two) z = Sub(h, h) y = Slice(x, z, h, one)",
        x=X, two=np.array([2]), one=np.array([1]),
    ),
    "resize by size": case(
        "s = Shape<start=2>(x) t = Mul(s, two) u = Concat<axis=0>(head, t) y = Resize<mode=\"nearest\">(x, , , u)",
        x=X, two=np.array([2]), head=np.array([1, 4]),
    ),
    "zeros of a shape": case("s = Shape(x) z = ConstantOfShape(s) a = Add(x, z) y = Relu(a)", x=X),
    "constants among themselves": case("a = Mul(c, d) b = Transpose(a) y = MatMul(x, b)", x=(2, 5), c=(3, 5), d=(5,)),
    "cast to the same": case("a = Cast<to=1>(x) b = Identity(a) y = Relu(b)", x=X),
}  # fmt: skip


@pytest.mark.parametrize("this", CHAINS.values(), ids=CHAINS)
def test_constants_and_shape_chains_are_folded(this: Case) -> None:
    assert len(canonical(this)[1]) <= 2
    check(this)


def test_dead_code_goes() -> None:
    assert canonical(case("a = Sigmoid(x) b = Exp(a) y = Relu(x)", x=X))[1] == ["Relu"]


def test_shape_that_depends_on_data_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"Unique.*depends on the data"):
        canonical(case("i = Unique(x) y = Neg(i)", x=(3, 4)))


def test_output_that_is_an_input_or_a_constant_is_copied() -> None:
    check(case("y = Identity(x)", x=X))
    check(case("y = Identity(c) y2 = Relu(x)", x=X, c=(2, 3)))
    check(case("y = Relu(x) y2 = Identity(y)", x=X))
