"""If, Loop, Scan and CastLike leave the graph, and the answer stays."""

import numpy as np
import onnx
import pytest
from converters.onnx_cases import Case, case, check, lowered, model_of
from onnx import TensorProto, helper

from edgewise_converters.errors import UnsupportedOperator

X = (3, 4)
BRANCHES = "then_branch = t () => (float[3,4] p) { p = Relu(x) }, else_branch = e () => (float[3,4] q) { q = Neg(x) }"
ROUND = (
    "body = b (int64 i, bool c, float[3,4] v) => (bool d, float[3,4] z, float[4] s) "
    "{ d = Identity(c) z = Mul(v, v) f = CastLike(i, v) m = ReduceSum<keepdims=0>(z, axis) s = Add(m, f) }"
)
SCANNED = (
    "body = b (float[4] h, float[4] v) => (float[4] n, float[4] s) { n = Add(h, v) s = Tanh(n) }, "
    "num_scan_inputs = 1"
)
SQUARED = (
    "body = b (int64 i, bool c, float[3,4] v) => (bool d, float[3,4] z) { d = Identity(c) z = Mul(v, v) }"
)
YES, NO = np.array(True), np.array(False)
CASES = {
    "the branch taken": case(f"y = If<{BRANCHES}>(c)", x=X, c=YES),
    "the other branch": case(f"y = If<{BRANCHES}>(c)", x=X, c=NO),
    "a condition of shapes": case(
        f"s = Shape(x) a = Gather(s, zero) c = Equal(a, three) y = If<{BRANCHES}>(c)",
        x=X, zero=np.int64(0), three=np.int64(3),
    ),
    "both branches": case(f"y = If<{BRANCHES}>(xc)", x=X, xc=YES),
    "both branches, the other one": case(f"y = If<{BRANCHES}>(xc)", x=X, xc=NO),
    "rounds": case(f"y, y2 = Loop<{ROUND}>(n, , x)", x=X, n=np.int64(3), axis=np.array([0], np.int64)),
    "rounds that never begin": case(
        f"y = Loop<{SQUARED}>(n, no, x)",
        x=X, n=np.int64(3), no=NO,
    ),
    "a scan": case(f"y, y2 = Scan<{SCANNED}>(x2, x)", x=X, x2=(4,)),
    "a scan backwards": case(
        f"y, y2 = Scan<{SCANNED}, scan_input_directions=[1], scan_output_axes=[1]>(x2, x)", x=X, x2=(4,)
    ),
    "a loss": case(
        "y, y2 = SoftmaxCrossEntropyLoss(x, labels, weights)",
        x=(3, 4), labels=np.array([3, 0, 1]), weights=(4,), opset=13, positive=True,
    ),
    "a loss of log probabilities": case(
        'y = NegativeLogLikelihoodLoss<reduction="sum",ignore_index=0>(x, xt)',
        x=(3, 4), xt=np.array([3, 0, 1]), opset=13,
    ),
    "a cast like another": case("a = CastLike(x, x2) y = Add(a, x2)", x=np.arange(4, dtype=np.int32), x2=(4,)),
}  # fmt: skip


@pytest.mark.parametrize("this", CASES.values(), ids=CASES)
def test_structure_is_written_out(this: Case) -> None:
    check(this)


def test_branches_of_different_shapes_are_refused() -> None:
    branches = BRANCHES.replace(
        "float[3,4] q) { q = Neg(x)", "float[4] q) { q = ReduceSum<keepdims=0>(x, axis)"
    )
    this = case(f"y = If<{branches}>(xc)", x=X, xc=YES, axis=np.array([0], np.int64))
    with pytest.raises(UnsupportedOperator, match="branches give different shapes"):
        lowered(_without_output_shape(model_of(this)))


def _without_output_shape(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return model
