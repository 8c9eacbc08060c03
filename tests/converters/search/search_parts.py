"""Small nets made ready for the search: calibrated, with cases to judge by."""

import numpy as np
from converters.onnx_cases import Case as Net
from converters.onnx_cases import ask_onnxruntime, lowered, model_of
from converters.quantize.int8_parts import smooth_feeds

from edgewise.tensors import Array
from edgewise_converters.quantize import Shared, StaticOptions, calibrate
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.search import Candidates
from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.runtimes import rules_of
from edgewise_converters.verify import Case, Layouts

RUNTIME = "litert"
RULES = rules_of((RUNTIME,))
PLAIN = StaticOptions(ranges="minmax", rules=RULES)
"""int8 wherever the plain rules have it."""


def dense_graph(this: Net) -> Graph:
    """The float graph that is quantized."""
    graph = lowered(model_of(this)).graph.copy()
    dense_as_convolution(graph)
    return graph


def candidates(this: Net, feeds: list[dict[str, Array]] | None = None) -> Candidates:
    """Ways to quantize a net, calibrated on smooth noise and judged by it, or by ``feeds``."""
    model = model_of(this)
    low = lowered(model)
    graph = low.graph.copy()
    dense_as_convolution(graph)
    smooth = smooth_feeds(this)
    batches = [
        [np.asarray(feed[t.name].transpose(low.input_layouts[t.name]), order="C") for t in graph.inputs]
        for feed in smooth
    ]
    calibration = calibrate(graph, batches, count=len(batches), tick=lambda: None, threads=1)
    cases = [Case(feed, ask_onnxruntime(model, feed)) for feed in feeds or smooth]
    layouts = Layouts(low.input_layouts, low.output_layouts)
    return Candidates(
        graph, Shared(calibration), {}, RUNTIME, cases, layouts, lambda most: batches[:most], lambda: None
    )


def weighted(graph: Graph) -> list[Operator]:
    """The layers with weights, in order."""
    return [operator for operator in graph.operators if operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]


def scaled(seed: int, *shape: int) -> Array:
    """Weights of variance one over the inputs."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])), np.float32)
