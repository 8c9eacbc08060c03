"""Each rescue finds by structure what it should, and nothing where there is nothing."""

import pytest
from converters.onnx_cases import Case, case
from converters.search.search_parts import RULES, dense_graph

from edgewise_converters.search.rescue import rescues

LIGHT = "everything but layers with weights in float32"
BETWEEN = "layers between float32 parts with float32 activations"
VECTORS = "vectors of channels (gates) with float32 activations"
STEM = "the first layers in float32"
HEADS = "the last layers with float32 answers"
SUMS = "sums that skip layers in float32"
X, W, V = (1, 3, 12, 12), (32, 3, 3, 3), (32, 32, 3, 3)

CHAIN = case("a = Conv(x, w) r = Relu(a) b = Conv(r, v) y = Relu(b)", x=X, w=W, v=V)
BETWEEN_SOFTMAXES = case("s = Softmax<axis=-1>(x) c = MatMul(s, w) y = Softmax<axis=-1>(c)",
                         x=(1, 10, 32), w=(32, 40))  # fmt: skip
SQUEEZE_AND_EXCITE = case(
    "a = Conv(x, w) g = GlobalAveragePool(a) d = Conv(g, u) r = Relu(d) e = Conv(r, v) s = Sigmoid(e) m = Mul(a, s) "
    "y = Conv(m, z)",
    x=X, w=W, u=(32, 32, 1, 1), v=(32, 32, 1, 1), z=(4, 32, 3, 3),
)  # fmt: skip
RESIDUAL = case("a = Conv(x, w) r = Relu(a) b = Conv<pads=[1,1,1,1]>(r, v) t = Add(r, b) y = Conv(t, z)",
                x=X, w=W, v=V, z=(4, 32, 3, 3))  # fmt: skip
TWO_HEADS = case(
    "a = Conv(x, w) r = Relu(a) y = Conv(r, v) b = Conv(r, u) y2 = Sigmoid(b)", x=X, w=W, v=V, u=V
)
CONSTANT_SUM = case("a = Conv(x, w) r = Relu(a) c = Mul(r, r) t = Add(c, k) y = Conv(t, z)",
                     x=X, w=W, k=(32, 1, 1), z=(4, 32, 3, 3))  # fmt: skip


def found(this: Case) -> dict[str, dict[str, str]]:
    """Output names and widths of what each rescue takes out of int8, by name of rescue."""
    graph = dense_graph(this)
    names = {id(operator): operator.output.name for operator in graph.operators}
    rescued = {
        r.name: {names[key]: width.value for key, width in r.widths.items()} for r in rescues(graph, RULES)
    }
    assert all(rescued.values()), "a rescue of nothing"
    return rescued


def test_light_operators() -> None:
    assert found(SQUEEZE_AND_EXCITE)[LIGHT] == {"g": "float32", "s": "float32", "m": "float32"}


def test_layer_between_float_parts_goes_with_what_moves_its_values() -> None:
    assert found(BETWEEN_SOFTMAXES)[BETWEEN] == {
        "c/rows": "float32", "c/columns": "dynamic", "c": "float32",
    }  # fmt: skip


def test_gates() -> None:
    assert found(SQUEEZE_AND_EXCITE)[VECTORS] == {"r": "dynamic", "e": "dynamic"}


def test_first_layers_while_they_are_a_small_part_of_the_work() -> None:
    assert found(RESIDUAL)[STEM] == {"r": "float32"}
    assert STEM not in found(CHAIN)  # an eighth of all products


def test_last_layer_of_each_output() -> None:
    assert found(TWO_HEADS)[HEADS] == {"y": "dynamic", "b": "dynamic", "y2": "float32"}


def test_sums_with_the_layers_that_feed_them() -> None:
    assert found(RESIDUAL)[SUMS] == {"t": "float32", "b": "dynamic"}


@pytest.mark.parametrize("this", [CHAIN, CONSTANT_SUM], ids=["chain", "sum with a constant"])
def test_no_rescue_where_its_structure_is_not(this: Case) -> None:
    assert not {BETWEEN, VECTORS, SUMS} & found(this).keys()
    assert (LIGHT in found(this)) == (this is CONSTANT_SUM)
