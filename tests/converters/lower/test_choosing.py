"""Operators that choose elements by place or by size, mostly behind a convolution, where data lies in NHWC."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds, lowered, model_of

from edgewise_converters.errors import UnsupportedOperator

X = (1, 4, 5, 6)
W = (4, 4, 1, 1)
CONV = "a = Conv(x, w)"


def ints(*values: int) -> np.ndarray:  # type: ignore[type-arg]  # a shape of no interest
    return np.array(values, np.int64)


def table(*rows: list[int]) -> np.ndarray:  # type: ignore[type-arg]  # a shape of no interest
    return np.array(rows, np.int64)


INT8, UINT8, INT16 = (
    np.arange(-60, 60).reshape(1, 4, 5, 6).astype(dtype) for dtype in (np.int8, np.uint8, np.int16)
)
INT32 = np.arange(-20, 22, dtype=np.int32).reshape(7, 6)
CHOSEN = np.array([3, -1, 0, 2, -4, 1], np.int64).reshape(1, 1, 1, 6)
PLACES = np.broadcast_to(CHOSEN, (1, 2, 5, 6)).copy()
GATHERS = {
    "channels in disorder": case(
        f"{CONV} b = Gather<axis=1>(a, i) y = Conv(b, w)", x=X, w=W, i=ints(2, 0, -1, 1)
    ),
    "every other channel": case(f"{CONV} y = Gather<axis=1>(a, i)", x=X, w=W, i=ints(0, 2)),
    "a computed index from the end": case(
        "y = Gather(x, xi)", x=(5, 3), xi=np.array([[0, -1], [-5, 4]], np.int64)
    ),
    "elements": case(f"{CONV} y = GatherElements<axis=1>(a, i)", x=X, w=W, i=PLACES),
    "elements at computed places": case(f"{CONV} y = GatherElements<axis=1>(a, xi)", x=X, w=W, xi=PLACES),
    "elements at int32": case(
        "y = GatherElements<axis=-1>(x, xi)", x=(2, 3), xi=np.array([[0, -1], [2, 1]], np.int32)
    ),
    "tuples": case(f"{CONV} y = GatherND(a, i)", x=X, w=W, i=table([0, 3, 1], [0, -1, -2])),
    "computed tuples": case(f"{CONV} y = GatherND(a, xi)", x=X, w=W, xi=table([0, 3, 1], [0, -1, -2])),
    "tuples by batch": case("y = GatherND<batch_dims=1>(x, xi)", x=(2, 3, 4), xi=table([1], [-1])),
    "whole tuples": case("y = GatherND(x, xi)", x=(2, 3), xi=table([1, 2], [0, 0])),
    "by a constant condition": case(
        f"{CONV} y = Compress<axis=1>(a, c)", x=X, w=W, c=np.array([1, 0, 0, 1], np.bool_)
    ),
    "by a condition on all": case("y = Compress(x, c)", x=(2, 3), c=np.array([0, 1, 1, 0, 1], np.bool_)),
    "integers": case("y = Gather<axis=2>(x, xi)", x=INT8, xi=ints(3, -2)),
    "booleans": case("a = Greater(x, x2) y = Gather<axis=2>(a, i)", x=X, x2=X, i=ints(3, 1)),
}
UPDATES = (1, 2, 5, 6)
UNIQUE = np.array([3, 0, 1, 2, 3, 1], np.int64).reshape(1, 1, 1, 6) * np.ones((1, 1, 5, 6), np.int64)
ROWS = table([2], [0])
SCATTERS = {
    "elements": case(f"{CONV} y = ScatterElements<axis=1>(a, i, x2)", x=X, w=W, i=UNIQUE, x2=(1, 1, 5, 6)),
    "elements at computed places": case(
        f"{CONV} y = ScatterElements<axis=1>(a, xi, x2)", x=X, w=W, xi=UNIQUE - 4, x2=(1, 1, 5, 6)
    ),
    "the old name": case("y = Scatter<axis=1>(x, i, x2)", x=(2, 3), i=table([1], [0]), x2=(2, 1), opset=10),
    "a cache": case("y = TensorScatter(x, x2, xi)", x=(2, 3, 6, 4), x2=(2, 3, 2, 4), xi=ints(1, 4), opset=24),
    "a circular cache": case('y = TensorScatter<axis=1,mode="circular">(x, x2, xi)',
                             x=(2, 6, 4), x2=(2, 3, 4), xi=ints(1, 4),
                             opset=24),
    "rows": case("y = ScatterND(x, i, x2)", x=(4, 3), i=ROWS, x2=(2, 3)),
    "rows at computed places": case("y = ScatterND(x, xi, x2)", x=(4, 3), xi=ROWS - 4, x2=(2, 3)),
    "integers": case("y = ScatterND(x, xi, x2)", x=INT8[0, 0], xi=ROWS, x2=INT8[0, 1, :2]),
    **{
        f"{reduction} of {name}": case(
            f'y = ScatterND<reduction="{reduction}">(x, xi, x2)', x=data, xi=table([1], [3], [1]), x2=updates, opset=18
        )
        for reduction in ("add", "mul", "max", "min")
        for name, data, updates in (("floats", (4, 3), (3, 3)), ("int32", INT32[:4], INT32[4:7]))
    },
    **{
        f"elements by {reduction}": case(
            f'{CONV} y = ScatterElements<axis=1,reduction="{reduction}">(a, xi, x2)',
            x=X, w=W, xi=PLACES, x2=UPDATES, opset=18,
        )
        for reduction in ("add", "mul", "max", "min")
    },
}  # fmt: skip
SORTS = {
    "largest channels": case(f"{CONV} y, y2 = TopK<axis=1>(a, k)", x=X, w=W, k=ints(2)),
    "smallest in a row": case(f"{CONV} y, y2 = TopK<largest=0>(a, k)", x=X, w=W, k=ints(3)),
    "smallest integers": case(
        "y, y2 = TopK<largest=0>(x, k)", x=np.array([[5, -(2**31), 5, 2**31 - 1]], np.int32), k=ints(3)
    ),
    "small integers": case("y, y2 = TopK(x, k)", x=UINT8, k=ints(4)),
    "places only": case("a, y = TopK(x, k)", x=(3, 7), k=ints(1)),
    "at opset 9": case("y, y2 = TopK<k=2,axis=0>(x)", x=(5, 3), opset=9),
    "one hot": case("y = OneHot(x, d, v)", x=ints(1, -1, 3, 7), d=np.int64(4), v=np.array([-1, 2], np.float32)),
    "one hot in front": case("y = OneHot<axis=0>(x, d, v)", x=ints(1, 2), d=ints(4), v=ints(0, 3)),
    "one hot of floats": case("y = OneHot<axis=1>(x, d, xv)", x=np.array([[1.0, -2.0]], np.float32), d=np.float32(4),
                              xv=np.array([0, 1], np.float32)),
    "upper triangle": case(f"{CONV} y = Trilu(a)", x=X, w=W, opset=14),
    "lower triangle": case("y = Trilu<upper=0>(x, k)", x=(2, 4, 5), k=np.int64(-1), opset=14),
    "triangle of integers": case("y = Trilu(x, k)", x=INT8.astype(np.int64), k=np.int64(2), opset=14),
    "columns to an image": case("y = Col2Im<pads=[0,1,0,1],strides=[1,2]>(x, s, k)",
                                x=(1, 8, 8), s=ints(3, 7), k=ints(2, 2),
                                opset=18),
    "turned round": case("y = ReverseSequence<batch_axis=0,time_axis=1>(x, xn)", x=(2, 4, 3), xn=ints(3, 2)),
}  # fmt: skip
SLICES = {
    "backwards": case(
        f"{CONV} y = Slice(a, s, e, i, t)", x=X, w=W, s=ints(-1), e=ints(-9), i=ints(2), t=ints(-1)
    ),
    "backwards in part": case(
        "y = Slice(x, s, e, i, t)", x=X, s=ints(4, 3), e=ints(0, -9), i=ints(3, 1), t=ints(-2, -1)
    ),
    "six axes": case("y = Slice(x, s, e, i)", x=(1, 2, 3, 2, 3, 2), s=ints(1, 0), e=ints(3, 2), i=ints(2, 4)),
    "all of six axes": case(
        "y = Slice(x, s, e)", x=(2, 2, 3, 2, 3, 2), s=ints(*[0, 1] * 3), e=ints(1, 2, 2, 2, 2, 2)
    ),
    "booleans": case("a = Greater(x, x2) y = Slice(a, s, e)", x=X, x2=X, s=ints(0, 1), e=ints(1, 3)),
    "centre": case(f"{CONV} y = CenterCropPad<axes=[1,2,3]>(a, s)", x=X, w=W, s=ints(7, 2, 6), opset=18),
}
PADS = {
    "below zero": case(f"{CONV} y = Pad(a, p)", x=X, w=W, p=ints(0, 0, -1, 2, 0, 0, 1, -2)),
    "with a computed number": case(
        f"{CONV} y = Pad(a, p, x2)", x=X, w=W, p=ints(0, 0, 1, 1, 0, 0, 1, 1), x2=np.float32(1)
    ),
    "edge": case(f'{CONV} y = Pad<mode="edge">(a, p)', x=X, w=W, p=ints(0, 0, 1, 7, 0, 0, 2, 1)),
    "edge and a cut": case('y = Pad<mode="edge">(x, p)', x=X, p=ints(0, 0, -1, 1, 0, 0, 2, 1)),
    "reflect and a cut": case(
        f'{CONV} y = Pad<mode="reflect">(a, p)', x=X, w=W, p=ints(0, 0, 2, 2, 0, 0, -1, 1)
    ),
    "wrap": case(f'{CONV} y = Pad<mode="wrap">(a, p)', x=X, w=W, p=ints(0, 1, 1, 1, 0, 0, 2, 3), opset=19),
    "integers": case("y = Pad(x, p, v)", x=INT8, p=ints(0, 0, 1, 1, 0, 0, 1, 1), v=np.int8(7)),
    "six axes": case("y = Pad(x, p)", x=(1, 2, 3, 2, 1, 2), p=ints(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2)),
    "expand what is stored": case(f"{CONV} y = Expand(a, s)", x=X, w=W, s=ints(3, 4, 1, 6)),
    "tile integers": case("y = Tile(x, r)", x=INT16, r=ints(1, 2, 1, 1)),
}
ENDS = {
    "an input": case("y = Identity(x)", x=X),
    "a constant": case("y = Identity(c) y2 = Relu(x)", x=X, c=(2, 3)),
    "a shape": case("y = Shape(x) y2 = Relu(x)", x=X),
    "a diagonal": case("y = EyeLike<k=1>(x) y2 = Relu(x)", x=(3, 4)),
    "what Dropout keeps": case("y, y2 = Dropout(x)", x=X),
    "bits": case("y = BitCast<to=6>(x)", x=X, opset=26),
    "one value twice": case("y = Relu(x) y2 = Identity(y)", x=X),
}
ALL = {"gather": GATHERS, "scatter": SCATTERS, "sort": SORTS, "slice": SLICES, "pad": PADS, "end": ENDS}
CASES = {f"{family}: {name}": this for family, cases in ALL.items() for name, this in cases.items()}


@pytest.mark.parametrize("this", CASES.values(), ids=CASES)
def test_what_is_chosen_is_what_onnxruntime_chooses(this: Case) -> None:
    check(this)


def test_neighbouring_channels_are_cut_not_gathered() -> None:
    assert "GATHER" not in kinds(check(GATHERS["every other channel"]))


REFUSED = {
    "TopK": case("y, y2 = TopK(x, xk)", x=(3, 4), xk=ints(2)),
    "Compress": case(
        "a = Compress(x, xc) y = CumSum(a, zero)", x=(3,), xc=np.array([1, 0, 1], np.bool_), zero=ints(0)
    ),
    "NonZero": case("a = NonZero(x) y = Shape(a)", x=(3, 4)),
    "Unique": case("y = Unique(x)", x=(3,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_depends_on_the_data_is_refused(name: str) -> None:
    with pytest.raises((UnsupportedOperator, ValueError), match=f"{name}.*(computed|depends)"):
        lowered(model_of(REFUSED[name]))
