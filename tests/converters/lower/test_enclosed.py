"""If, Loop and Scan that depend on the data, or are long: graphs inside the graph, right at every call."""

import numpy as np
import onnx
import pytest
from converters.onnx_cases import RUNTIMES, Case, case, check, kinds, lowered, model_of, network_of
from onnx import TensorProto, helper

from edgewise.backends import open_backend
from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.onnx_session import Reference
from edgewise_converters.tflite.schema import operator_kinds
from edgewise_converters.verify import Layouts, run_case, to_stored

RNG = np.random.default_rng(23)
X = (3, 4)
COSTLY = (
    "then_branch = t () => (float[3,4] p) { p = MatMul(x, w) }, "
    "else_branch = e () => (float[3,4] q) { a = Neg(x) q = Add(a, b) }"
)
SQUARED = (
    "body = b (int64 i, bool c, float[3,4] v) => (bool d, float[3,4] z) "
    "{ d = Identity(c) s = Mul(v, v) z = Tanh(s) }"
)
COLLECTS = (
    "body = b (int64 i, bool c, float[3,4] v) => (bool d, float[3,4] z, float[4] s) "
    "{ d = Identity(c) m = MatMul(v, w) z = Tanh(m) f = CastLike(i, v) r = ReduceSum<keepdims=0>(z, axis) "
    "s = Add(r, f) }"
)
UNTIL = (
    "body = b (int64 i, bool c, float[3,4] v) => (bool d, float[3,4] z) "
    "{ z = Mul(v, half) a = Abs(z) m = ReduceMax<keepdims=0>(a) d = Greater(m, small) }"
)
SWAPS = (
    "body = b (int64 i, bool c, float[3,4] v, float[3,4] u) => (bool d, float[3,4] v2, float[3,4] u2) "
    "{ d = Identity(c) v2 = Identity(u) s = Add(v, u) u2 = Mul(s, half) }"
)
NESTED = (
    "body = b (int64 i, bool c, float[3,4] v) => (bool d, float[3,4] z) { d = Identity(c) t = Mul(v, half) "
    "z = Loop<body = g (int64 j, bool e, float[3,4] u) => (bool k, float[3,4] n) "
    "{ k = Identity(e) s = Add(u, x) n = Tanh(s) }>(xm, , t) }"
)
SCANNED = (
    "body = b (float[4] h, float[4] v) => (float[4] n, float[4] s) { a = Add(h, v) n = Mul(a, half) s = Tanh(n) }, "
    "num_scan_inputs = 1"
)
HALF, YES, NO = np.array(0.5, np.float32), np.array(True), np.array(False)
W = (0.4 * RNG.standard_normal((4, 4))).astype(np.float32)
AXIS = np.array([0], np.int64)
CASES = {
    "the first branch": ("IF", case(f"y = If<{COSTLY}>(xc)", x=X, xc=YES, w=W, b=(3, 4))),
    "the second branch": ("IF", case(f"y = If<{COSTLY}>(xc)", x=X, xc=NO, w=W, b=(3, 4))),
    "a condition that is computed": (
        "IF",
        case(
            f"s = ReduceSum<keepdims=0>(x) c = Greater(s, zero) y = If<{COSTLY}>(c)",
            x=X, w=W, b=(3, 4), zero=np.float32(0),
        ),
    ),
    "a hundred rounds": ("WHILE", case(f"y = Loop<{SQUARED}>(n, yes, x)", x=X, yes=YES, n=np.int64(100))),
    "rounds that are fed": ("WHILE", case(f"y = Loop<{SQUARED}>(xn, yes, x)", x=X, yes=YES, xn=np.int64(7))),
    "no rounds that are fed": ("WHILE", case(f"y = Loop<{SQUARED}>(xn, , x)", x=X, xn=np.int64(0))),
    "a start that is fed": ("WHILE", case(f"y = Loop<{SQUARED}>(n, xc, x)", x=X, xc=NO, n=np.int64(5))),
    "results collected": (
        "WHILE", case(f"y, y2 = Loop<{COLLECTS}>(n, , x)", x=X, n=np.int64(80), axis=AXIS, w=W)
    ),
    "until it is small": (
        "WHILE", case(f"y = Loop<{UNTIL}>(, yes, x)", x=X, half=HALF, small=np.float32(0.01), yes=YES)
    ),
    "until it is small, or so often": (
        "WHILE", case(f"y = Loop<{UNTIL}>(xn, yes, x)", x=X, half=HALF, small=np.float32(0.01), yes=YES, xn=np.int64(2))
    ),
    "states that change places": (
        "WHILE", case(f"y, y2 = Loop<{SWAPS}>(xn, , x, x2)", x=X, x2=X, half=HALF, xn=np.int64(5))
    ),
    "a loop in a loop": (
        "WHILE", case(f"y = Loop<{NESTED}>(xn, , x)", x=X, half=HALF, xn=np.int64(3), xm=np.int64(4))
    ),
    "a long scan": ("WHILE", case(f"y, y2 = Scan<{SCANNED}>(x2, x)", x=(90, 4), x2=(4,), half=HALF)),
    "a long scan backwards": (
        "WHILE",
        case(
            f"y, y2 = Scan<{SCANNED}, scan_input_directions=[1], scan_output_axes=[1], "
            "scan_output_directions=[1]>(x2, x)",
            x=(90, 4), x2=(4,), half=HALF,
        ),
    ),
    "a long scan along another axis": (
        "WHILE", case(f"y, y2 = Scan<{SCANNED}, scan_input_axes=[1]>(x2, x)", x=(4, 90), x2=(4,), half=HALF)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "this"), CASES.values(), ids=CASES)
def test_what_depends_on_the_data_is_a_graph_in_the_graph(kind: str, this: Case) -> None:
    assert kind in kinds(check(this))


def test_one_network_takes_either_branch_and_any_number_of_rounds_one_after_the_other() -> None:
    body = f"a = If<{COSTLY}>(xc) y = Loop<{SQUARED}>(xn, , a)"
    model = model_of(case(body, x=X, xc=YES, xn=np.int64(3), w=W, b=(3, 4)))
    low, reference = lowered(model), Reference(model.SerializeToString())
    network, layouts = network_of(low), Layouts(low.input_layouts, low.output_layouts)
    for runtime in RUNTIMES:
        backend = open_backend(network, "tflite", name=runtime, threads=1)
        for taken, rounds in ((True, 3), (False, 0), (True, 0), (False, 9), (False, 1), (True, 70)):
            feed = {
                "x": RNG.standard_normal(X).astype(np.float32),
                "xc": np.array(taken),
                "xn": np.array(rounds, np.int64),
            }
            answer = run_case(backend, to_stored(backend, feed, layouts), layouts)["y"]
            np.testing.assert_allclose(answer, reference.run(feed)["y"], rtol=1e-5, atol=1e-6)
        backend.close()


def test_weights_are_stored_once_however_often_a_body_reads_them() -> None:
    large = (RNG.standard_normal((64, 64)) / 8).astype(np.float32)
    body = (
        "body = b (int64 i, bool c, float[1,64] v) => (bool d, float[1,64] z) "
        "{ d = Identity(c) m = MatMul(v, w) n = MatMul(m, w) z = Tanh(n) }"
    )
    this = case(
        f"a = MatMul(x, w) y = Loop<{body}>(xn, , a)", x=(1, 64), xn=np.int64(3), w=large, at_least_db=90.0
    )
    low = check(this)
    network = network_of(low)
    assert operator_kinds(network).count("FULLY_CONNECTED") == 3
    assert len(network) < 2 * large.nbytes


REFUSED = {
    "its branches give different shapes": case(
        "y = If<then_branch = t () => (float[3,4] p) { p = MatMul(x, w) }, "
        "else_branch = e () => (float[4] q) { q = ReduceSum<keepdims=0>(x, axis) }>(xc)",
        x=X, xc=YES, w=W, axis=AXIS,
    ),
    "a value that goes round has shape": case(
        "y = Loop<body = b (int64 i, bool c, float[3,4] v) => (bool d, float[n,4] z) "
        "{ d = Identity(c) z = Concat<axis=0>(v, v) }>(xn, , x)", x=X, xn=np.int64(3),
    ),
    "how many results it collects depends on the data": case(
        f"y, y2 = Loop<{COLLECTS}>(xn, , x)", x=X, xn=np.int64(3), axis=AXIS, w=W
    ),
    "it has neither a number of rounds nor a condition that changes": case(f"y = Loop<{SQUARED}>(, , x)", x=X),
}  # fmt: skip


@pytest.mark.parametrize(("why", "this"), REFUSED.items(), ids=REFUSED)
def test_what_has_no_fixed_shape_or_no_end_is_refused(why: str, this: Case) -> None:
    model = model_of(this)
    _forget_output_shapes(model)
    with pytest.raises(UnsupportedOperator, match=why):
        lowered(model)


def _forget_output_shapes(model: onnx.ModelProto) -> None:
    names = [output.name for output in model.graph.output]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
