"""Precisions without ranges of activations: float32, float16, weight-only int8, dynamic int8, 4-bit.

Weights are rounded to nearest, or, where there are samples, also jointly; what answers better is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.calibrate import Calibration, calibrate
from edgewise_converters.quantize.dynamic_int8 import quantize_dynamic
from edgewise_converters.quantize.float16 import store_float16
from edgewise_converters.quantize.narrow_weights import WeightStore
from edgewise_converters.quantize.stored_int8 import store_int8
from edgewise_converters.samples import Samples
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import RuntimeRules, rules_of
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Case, Layouts, measure, open_runtime

ROUNDED = frozenset({"weights8", "dynamic", "int4"})
"""Precisions whose weights are rounded so much that samples help."""
_CALIBRATION_SAMPLES = 48
_TRIALS = 12


@dataclass(frozen=True)
class Trials:
    """What the ways of rounding are compared on."""

    samples: Samples
    layouts: Layouts
    cases: list[Case]
    stage: Callable[[str, int], None]
    tick: Callable[[], None]


def at_stored_precision(graph: Graph, precision: str, target: Target, trials: Trials) -> Graph:
    """The graph at a precision that needs no ranges. With real samples the better of two roundings is kept."""
    if precision not in ROUNDED:
        return store_float16(graph) if precision == "fp16" else graph
    rules = rules_of(target.runtimes)
    plain = _rounded(graph, precision, WeightStore(), rules)
    if trials.samples.is_noise or not trials.cases:
        return plain
    joint = _rounded(graph, precision, WeightStore(observed(graph, trials)), rules)
    trials.stage("Choosing the rounding", 2 * len(trials.cases[:_TRIALS]))
    better = [mean_db(candidate, target, trials) for candidate in (plain, joint)]
    return joint if better[1] >= better[0] else plain


def _rounded(graph: Graph, precision: str, store: WeightStore, rules: RuntimeRules) -> Graph:
    if precision == "weights8":
        return store_int8(graph, store, narrow_tables=rules.narrow_tables)
    return quantize_dynamic(graph, store, rules)


def observed(graph: Graph, trials: Trials) -> Calibration:
    """What the weights of a float graph are multiplied with, on some of the samples."""
    some = trials.samples.only(trials.samples.sources[:_CALIBRATION_SAMPLES])
    trials.stage("Looking at what weights meet", len(some))
    return calibrate(
        graph, _inputs(graph, some, trials.layouts), count=len(some), tick=trials.tick, threads=1
    )


def _inputs(graph: Graph, samples: Samples, layouts: Layouts) -> Iterator[list[Array]]:
    for feed in samples.feeds():
        yield [np.asarray(feed[t.name].transpose(layouts.inputs[t.name]), order="C") for t in graph.inputs]


def mean_db(graph: Graph, target: Target, trials: Trials) -> float:
    """Mean signal-to-noise ratio of the outputs against the original, in the target's first runtime."""
    network = serialize(graph, description="trial", metadata={})
    backend = open_runtime(network, target.runtimes[0])
    agreement = measure(backend, trials.cases[:_TRIALS], trials.layouts, classifies=False, tick=trials.tick)
    backend.close()
    return float(np.mean([output.snr_db for output in agreement.outputs]))
