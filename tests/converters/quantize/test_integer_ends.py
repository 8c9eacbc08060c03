"""Inputs and outputs as float32, int8 or uint8."""

import dataclasses

import numpy as np
import pytest
from converters.onnx_cases import RUNTIMES, Case, agreement_db, case, model_of, network_of
from converters.quantize.int8_parts import Quantized, quantized

from edgewise.backends import open_backend
from edgewise.tensors import Quantization
from edgewise_converters.quantize.integer_ends import ENDS, with_ends

SMALL_NET_DB = 25.0
X, W = (1, 3, 12, 12), (8, 3, 3, 3)
NETS = {
    "convolution": case("a = Conv(x, w) r = Relu(a) y = Conv(r, v)", x=X, w=W, v=(4, 8, 1, 1)),
    "answer in float": case("a = Conv(x, w) r = Relu(a) f = Flatten(r) g = Gemm(f, v) y = Softmax(g)", x=X, w=W,
                            v=np.random.default_rng(1).standard_normal((800, 6)).astype(np.float32) / 60),
    "input in float": case("e = Exp(x) a = Conv(e, w) y = Relu(a)", x=X, w=W),
    "output read inside": case("a = Conv(x, w) y = Relu(a) y2 = Conv(y, v)", x=X, w=W, v=(4, 8, 1, 1)),
    "two inputs": case("a = Conv(x, w) b = Conv(x2, w) c = Add(a, b) y = Relu(c)", x=X, x2=X, w=W),
}  # fmt: skip


def ended(this: Case, ends: str) -> Quantized:
    net = quantized(this)
    return dataclasses.replace(net, graph=with_ends(net.graph, ends, measured_ranges(net)))


def measured_ranges(net: Quantized) -> dict[str, tuple[float, float]]:
    """By asking the quantized graph itself."""
    backend = open_backend(network_of(net.network()), "tflite", name="litert", threads=1)
    low, ranges = net.network(), {}
    for feed in net.feeds:
        stored = [
            np.ascontiguousarray(feed[t.name].transpose(low.input_layouts[t.name])) for t in low.graph.inputs
        ]
        arrays = {t.name: a for t, a in zip(low.graph.inputs, stored, strict=True)}
        arrays |= {t.name: a for t, a in zip(low.graph.outputs, backend.run(stored), strict=True)}
        for name, array in arrays.items():
            known = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(known[0], float(array.min())), max(known[1], float(array.max()))
    backend.close()
    return ranges


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("this", NETS.values(), ids=NETS)
def test_ends_are_of_the_type_wanted_and_answers_stay(this: Case, ends: str, runtime: str) -> None:
    net = ended(this, ends)
    graph = net.graph
    wanted = {"float": "float32"}.get(ends, ends)
    assert {t.dtype.name for t in (*graph.inputs, *graph.outputs)} == {wanted}
    assert [t.name for t in graph.inputs] == [t.name for t in net.source.graph.inputs]
    assert [t.name for t in graph.outputs] == [t.name for t in net.source.graph.outputs]
    low = net.network()
    assert agreement_db(model_of(this), low, network_of(low), net.feeds, runtime) >= SMALL_NET_DB


def test_a_net_of_integers_has_no_conversions_left() -> None:
    kinds = ended(NETS["convolution"], "int8").kinds()
    assert "QUANTIZE i" not in kinds and "DEQUANTIZE" not in kinds


def test_bytes_of_a_camera_become_floats_where_floats_are_wanted() -> None:
    this = NETS["convolution"]
    net = quantized(this, inputs={"x": Quantization((1 / 32,), (-3,))})
    as_bytes, as_floats = with_ends(net.graph, "uint8", {}), with_ends(net.graph, "float", {})
    assert as_bytes.inputs[0].quantization == Quantization((1 / 32,), (125,))
    assert as_floats.inputs[0].quantization is None and as_floats.operators[0].kind == "QUANTIZE"


def test_what_is_no_real_number_stays() -> None:
    this = case("a = Conv(x, w) y = ArgMax<axis=1,keepdims=0>(a)", x=X, w=W)
    net = quantized(this)
    twin = with_ends(net.graph, "int8", measured_ranges(net))
    assert twin.outputs[0].dtype == net.graph.outputs[0].dtype == np.int64


def test_the_graph_given_is_left_as_it_is() -> None:
    net = quantized(NETS["convolution"])
    before = network_of(net.network())
    with_ends(net.graph, "uint8", {})
    assert network_of(net.network()) == before
