"""Small nets through calibration and static int8, as the converter does it."""

from dataclasses import dataclass

import numpy as np
from converters.onnx_cases import RUNTIMES, Case, agreement_db, lowered, model_of, network_of

from edgewise.backends import open_backend
from edgewise.tensors import Array, Quantization
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.quantize import Calibration, Shared, StaticOptions, calibrate, quantize_static
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.verify import Layouts, to_stored

SAMPLES = 12


@dataclass(frozen=True)
class Quantized:
    """A net before and after."""

    source: LoweredGraph
    calibration: Calibration
    graph: Graph
    """int8."""
    feeds: list[dict[str, Array]]
    this: Case

    def network(self) -> LoweredGraph:
        """The int8 graph with the layouts of the float one."""
        return LoweredGraph(self.graph, self.source.input_layouts, self.source.output_layouts)

    def decibel(self, runtime: str = RUNTIMES[0]) -> float:
        """Worst output against onnxruntime."""
        low = self.network()
        return agreement_db(model_of(self.this), low, network_of(low), self.feeds, runtime)

    def answers(self, runtime: str) -> list[bytes]:
        """Raw outputs for every feed."""
        backend = open_backend(network_of(self.network()), "tflite", name=runtime, threads=1)
        layouts = Layouts(self.source.input_layouts, self.source.output_layouts)
        raw = [b"".join(o.tobytes() for o in backend.run(to_stored(backend, f, layouts))) for f in self.feeds]
        backend.close()
        return raw

    def kinds(self) -> list[str]:
        """Operators, with an i where their first output is int8."""
        return [_kind(operator) for operator in self.graph.operators]

    def operator(self, kind: str) -> Operator:
        """The first operator of a kind."""
        return next(operator for operator in self.graph.operators if operator.kind == kind)


def _kind(operator: Operator) -> str:
    return f"{operator.kind} i" if operator.output.dtype == np.int8 else operator.kind


def smooth_feeds(this: Case, count: int = SAMPLES) -> list[dict[str, Array]]:
    """Inputs with the correlation between neighbours that real signals have."""
    feeds = []
    for seed in range(count):
        rng = np.random.default_rng(500 + seed)
        feeds.append({n: _smooth(v, rng) for n, v in this.values.items() if n.startswith("x")})
    return feeds


def _smooth(value: object, rng: np.random.Generator) -> Array:
    if not isinstance(value, tuple):
        return np.asarray(value)
    noise = rng.standard_normal(value)
    for axis in range(2, len(value)):
        noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 1.7
    return noise.astype(np.float32)


def quantized(
    this: Case,
    *,
    ranges: str = "minmax",
    correct_bias: bool = False,
    inputs: dict[str, Quantization] | None = None,
) -> Quantized:
    """A case as static int8."""
    source = lowered(model_of(this))
    dense = source.graph.copy()
    dense_as_convolution(dense)
    feeds = smooth_feeds(this)
    batches = [
        [np.asarray(f[t.name].transpose(source.input_layouts[t.name]), order="C") for t in dense.inputs]
        for f in feeds
    ]
    calibration = calibrate(dense, batches, count=len(batches), tick=lambda: None, threads=1)
    options = StaticOptions(ranges=ranges, correct_bias=correct_bias)
    graph = quantize_static(dense, Shared(calibration), options, inputs=inputs)
    return Quantized(source, calibration, graph, feeds, this)
