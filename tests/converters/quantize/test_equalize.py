"""Moving channels' sizes between layers: nothing changes in float, and int8 loses less."""

import numpy as np
from converters.onnx_cases import Case, case, lowered, model_of, network_of

from edgewise.backends import litert
from edgewise.tensors import Array
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.quantize import Shared, StaticOptions, calibrate, quantize_static
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.quantize.equalize import (
    cross_layer_equalized,
    find_links,
    largest_by_channel,
    normalisation_links,
    smoothed,
)
from edgewise_converters.tflite.graph import Graph

RNG = np.random.default_rng(7)
UNEVEN = np.exp(RNG.standard_normal(16) * 2).astype(np.float32)
SAMPLES = 8


def weights(*shape: int) -> Array:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


UNEVEN_CONVOLUTIONS = case(
    "a = Conv(x, w, b) r = Relu(a) d = Conv<group=16,pads=[1,1,1,1]>(r, k) e = Relu(d) y = Conv(e, v)",
    x=(1, 3, 8, 8),
    w=weights(16, 3, 1, 1) * UNEVEN[:, None, None, None],
    b=weights(16) * UNEVEN,
    k=weights(16, 1, 3, 3),
    v=weights(5, 16, 1, 1) / UNEVEN[None, :, None, None],
)
TOWERING_CHANNELS = case(
    "n = LayerNormalization(x, g, c) p = MatMul(n, w) q = MatMul(n, v) s = Mul(p, q) y = MatMul(s, u)",
    x=(1, 12, 16),
    g=UNEVEN,
    c=weights(16),
    w=weights(16, 16),
    v=weights(16, 16),
    u=weights(16, 4),
    opset=17,
)


def prepared(this: Case) -> tuple[LoweredGraph, Graph, list[list[Array]]]:
    """A case lowered, with its dense layers as int8 has them, and some inputs."""
    low = lowered(model_of(this))
    graph = low.graph.copy()
    dense_as_convolution(graph)
    rng = np.random.default_rng(1)
    shape = graph.inputs[0].shape
    return low, graph, [[rng.standard_normal(shape).astype(np.float32)] for _ in range(SAMPLES)]


def answers(low: LoweredGraph, graph: Graph, batches: list[list[Array]]) -> Array:
    network = network_of(LoweredGraph(graph, low.input_layouts, low.output_layouts))
    backend = litert.open_model(network, threads=1)
    result = np.concatenate([backend.run(inputs)[0].ravel() for inputs in batches])
    backend.close()
    return result


def decibel(want: Array, got: Array) -> float:
    return float(10 * np.log10(np.sum(want**2) / np.sum((want - got) ** 2)))


def int8_db(low: LoweredGraph, graph: Graph, batches: list[list[Array]], *, per_tensor: bool) -> float:
    calibration = calibrate(graph, batches, count=len(batches), tick=lambda: None, threads=1)
    options = StaticOptions("minmax", per_tensor=per_tensor)
    twin = quantize_static(graph, Shared(calibration), options)
    return decibel(answers(low, graph, batches), answers(low, twin, batches))


def test_cross_layer_equalization_is_exact_and_helps_weights_of_one_scale() -> None:
    low, graph, batches = prepared(UNEVEN_CONVOLUTIONS)
    equal = cross_layer_equalized(graph)
    assert decibel(answers(low, graph, batches), answers(low, equal, batches)) > 120
    before = int8_db(low, graph, batches, per_tensor=True)
    assert int8_db(low, equal, batches, per_tensor=True) > before + 6


def test_smoothing_is_exact_and_helps_behind_a_normalisation() -> None:
    low, graph, batches = prepared(TOWERING_CHANNELS)
    assert len(normalisation_links(graph)) == 1
    even = smoothed(graph, largest_by_channel(graph, batches), 0.5)
    assert decibel(answers(low, graph, batches), answers(low, even, batches)) > 120
    before = int8_db(low, graph, batches, per_tensor=False)
    assert int8_db(low, even, batches, per_tensor=False) > before + 3


def test_what_an_output_or_a_clip_sees_is_left_alone() -> None:
    clipped = case("a = Conv(x, w) r = Clip(a, l, h) y = Conv(r, v)", x=(1, 3, 4, 4), w=weights(4, 3, 1, 1),
                   v=weights(2, 4, 1, 1), l=np.float32(0), h=np.float32(6))  # fmt: skip
    leaving = case(
        "y2 = Conv(x, w) y = Conv(y2, v)", x=(1, 3, 4, 4), w=weights(4, 3, 1, 1), v=weights(2, 4, 1, 1)
    )
    for this in (clipped, leaving):
        assert find_links(lowered(model_of(this)).graph) == []
