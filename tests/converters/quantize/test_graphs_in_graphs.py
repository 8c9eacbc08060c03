"""Every way of storing and computing leaves graphs inside a graph right, and shared weights stored once."""

import numpy as np
import pytest
from converters.onnx_cases import RUNTIMES, Case, agreement_db, case, feeds_of, lowered, model_of, network_of
from converters.quantize.int8_parts import quantized

from edgewise_converters.lower import LoweredGraph
from edgewise_converters.quantize import WeightStore, quantize_dynamic, store_float16, store_int8
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import RULES

RNG = np.random.default_rng(31)
FEATURES, HIDDEN = 40, 48


def small(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def sequence(steps: int, batch: int = 1) -> Case:
    """A dense layer before an LSTM, and one behind it."""
    return case(
        f"a = MatMul(x, k) r = Relu(a) s, h, c = LSTM<hidden_size={HIDDEN}>(r, w, q, b) y = MatMul(s, g)",
        x=(steps, batch, FEATURES), k=small(FEATURES, FEATURES), w=small(1, 4 * HIDDEN, FEATURES),
        q=small(1, 4 * HIDDEN, HIDDEN), b=small(1, 8 * HIDDEN), g=small(HIDDEN, 32),
    )  # fmt: skip


LOOP = sequence(96)
COSTLY = (
    "then_branch = t () => (float[1,64] p) { p = MatMul(a, v) }, "
    "else_branch = e () => (float[1,64] q) { m = MatMul(a, u) q = Tanh(m) }"
)
BRANCH = case(
    f"a = MatMul(x, w) s = ReduceSum<keepdims=0>(x) c = Greater(s, zero) l = If<{COSTLY}>(c) y = MatMul(l, w)",
    x=(1, 64), w=small(64, 64), v=small(64, 64), u=small(64, 64), zero=np.float32(0),
)  # fmt: skip
NETS = {"a loop": LOOP, "branches": BRANCH}
WAYS = {
    "float16": (lambda graph, rules: store_float16(graph), 55.0),
    "weights in int8": (lambda graph, rules: store_int8(graph, WeightStore(), narrow_tables=rules.narrow_tables), 30.0),
    "dynamic int8": (lambda graph, rules: quantize_dynamic(graph, WeightStore(), rules), 25.0),
}  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("net", NETS)
def test_bodies_are_stored_like_the_rest(net: str, way: str, runtime: str) -> None:
    this, (store, least_db) = NETS[net], WAYS[way]
    low = lowered(model_of(this))
    twin = LoweredGraph(store(low.graph, RULES[runtime]), low.input_layouts, low.output_layouts)
    network = network_of(twin)
    assert agreement_db(model_of(this), twin, network, feeds_of(this, 4), runtime) >= least_db
    assert _weight_bytes(twin.graph) < 0.6 * _weight_bytes(low.graph)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_static_int8_stores_the_weights_of_bodies_in_bytes(runtime: str) -> None:
    net = quantized(BRANCH)
    branches = net.operator("IF")
    bodies = [option for option in branches.options.values() if isinstance(option, Graph)]
    assert len(bodies) == 2
    assert all(any(t.dtype == np.int8 for t in body.tensors()) for body in bodies)
    assert all(t.dtype != np.int8 for body in bodies for t in (*body.inputs, *body.outputs))
    assert net.decibel(runtime) > 25


def test_steps_that_are_written_out_share_their_int8_weights() -> None:
    net = quantized(sequence(12, batch=2))
    recurrent = [
        o.inputs[1] for o in net.graph.operators if o.kind == "CONV_2D" and o.output.shape[-1] == 4 * HIDDEN
    ]
    assert (
        len(recurrent) == 12
    )  # the inputs' product, and the state's but for the first step, whose state is known
    assert len({id(weights) for weights in recurrent}) == 2
    assert net.decibel() > 20


def _weight_bytes(graph: Graph) -> int:
    """Of constants of 1,000 elements and more."""
    constants = {id(t.data): t for each in graph.all_graphs() for t in each.tensors() if t.data is not None}
    return sum(
        t.data.nbytes
        for t in constants.values()
        if t.data is not None and t.data.size >= 1000 and t.data.any()
    )
