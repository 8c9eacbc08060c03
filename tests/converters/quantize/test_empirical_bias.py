"""Measured biases take a network's mean error back, in every width, and ask for no more memory than they may."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from converters.onnx_cases import Case, case
from converters.search.search_parts import PLAIN, candidates, scaled

from edgewise.backends import litert
from edgewise.tensors import Array
from edgewise_converters.quantize import StaticOptions, Width
from edgewise_converters.quantize.empirical_bias import FEWEST_SAMPLES, MOST_SAMPLES, samples_to_keep
from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.search import Candidates
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.writer import serialize

CHANNELS = 24
FRESH = 40
LEAST_GAIN = 3.0
"""Times that the mean error of the answers falls; sampling noise of forty inputs is a tenth of it here."""
WEIGHTS = {f"w{i}": scaled(i, CHANNELS, CHANNELS, 3, 3) for i in range(4)}
LAYERS = (
    "a = Conv<pads=[1,1,1,1]>(x, w0) b = Relu(a) c = Conv(b, w1) d = Sigmoid(c) e = Conv(d, w2) f = Relu(e)"
)
NET = case(f"{LAYERS} y = Conv(f, w3)", x=(1, CHANNELS, 12, 12), **WEIGHTS)
COARSE = replace(PLAIN, per_tensor=True, rounding="nearest", correct_bias=False)
"""Errors large enough to be seen over the noise of sampling."""


def answers(graph: Graph, feeds: list[list[Array]]) -> Array:
    backend = litert.open_model(serialize(graph, description="test", metadata={}), threads=1)
    return np.stack([backend.run(feed)[0] for feed in feeds])


def mean_error(ways: Candidates, options: StaticOptions) -> float:
    """Largest error of a channel's mean, on inputs that nothing was measured on."""
    rng = np.random.default_rng(9)
    shape = ways.graph.inputs[0].shape
    feeds = [
        [(rng.standard_normal(shape) + np.roll(rng.standard_normal(shape), 1, 1)).astype(np.float32)]
        for _ in range(FRESH)
    ]
    error = answers(ways.build(options), feeds) - answers(ways.graph, feeds)
    return float(np.abs(error.reshape(-1, error.shape[-1]).mean(axis=0)).max())


def widths(ways: Candidates, width: Width) -> StaticOptions:
    """The second and the last layer at another width."""
    layers = [o for o in ways.graph.operators if has_weights(o)]
    return replace(COARSE, widths_of={id(layers[1]): width, id(layers[3]): width})


@pytest.mark.parametrize("width", [Width.INT8, Width.HYBRID, Width.FLOAT])
def test_mean_error_of_the_answers_falls(width: Width) -> None:
    ways = candidates(NET)
    options = widths(ways, width)
    corrected = ways.with_measured_biases(options)
    assert len(corrected.shifts_of) == len(WEIGHTS)
    assert mean_error(ways, corrected) < mean_error(ways, options) / LEAST_GAIN


def test_what_was_measured_before_is_not_counted_again() -> None:
    ways = candidates(NET)
    once = ways.with_measured_biases(COARSE)
    twice = ways.with_measured_biases(once)
    for key, shift in once.shifts_of.items():
        np.testing.assert_array_equal(twice.shifts_of[key], shift)


def test_layers_that_share_weights_have_shifts_of_their_own() -> None:
    shared: Case = case(
        "a = Conv<pads=[1,1,1,1]>(x, w0) b = Relu(a) y = Conv<pads=[1,1,1,1]>(b, w0)",
        x=(1, CHANNELS, 8, 8),
        w0=WEIGHTS["w0"],
    )
    ways = candidates(shared)
    first, second = ways.with_measured_biases(COARSE).shifts_of.values()
    assert not np.allclose(first, second)


def chain(size: int, length: int = 3) -> Graph:
    """Operators in a row on planes of ``size`` times ``size``."""
    tensors = [Tensor(f"t{i}", (1, size, size, 1), np.dtype(np.float32)) for i in range(length + 1)]
    steps = [Operator("RELU", [a], [b]) for a, b in itertools.pairwise(tensors)]
    return Graph("chain", [tensors[0]], [tensors[-1]], steps)


def test_large_activations_let_fewer_samples_through() -> None:
    assert samples_to_keep(chain(64)) == MOST_SAMPLES
    assert samples_to_keep(chain(8192)) == FEWEST_SAMPLES
    middling = samples_to_keep(chain(1500))
    assert FEWEST_SAMPLES < middling < MOST_SAMPLES
    assert samples_to_keep(chain(1500, 30)) == middling  # what is read no more is let go
