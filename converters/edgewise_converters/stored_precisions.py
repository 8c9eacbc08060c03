"""Precisions without ranges of activations: float32, float16, weight-only int8, dynamic int8, 4-bit.

Weights are rounded to nearest, or, where there are samples, also jointly; what answers better is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.errors import ConversionError
from edgewise_converters.four_bit_search import Answers, FourBitSearch
from edgewise_converters.quantize.calibrate import Calibration, calibrate
from edgewise_converters.quantize.dynamic_int8 import quantize_dynamic
from edgewise_converters.quantize.float16 import (
    METADATA,
    METADATA_NAME,
    may_compute_in_float16,
    store_float16,
    with_float_constants,
)  # fmt: skip
from edgewise_converters.quantize.narrow_weights import WeightStore
from edgewise_converters.quantize.stored_int8 import store_int8
from edgewise_converters.samples import Samples
from edgewise_converters.spill import release_mapped
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.pieces import map_weights
from edgewise_converters.tflite.runtimes import RuntimeRules, rules_of
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Case, Layouts, in_order, measure, open_runtime, run_case, to_stored

ROUNDED = frozenset({"weights8", "dynamic", "int4"})
"""Precisions whose weights are rounded so much that samples help."""
_CALIBRATION_SAMPLES = 48
_TRIALS = 12
_MOST_WEIGHTS = {"weights8": 1280, "dynamic": 1280, "int4": 3072}
"""Wider layers are rounded to nearest: at 8 bits 3 dB (ResNet-18) are not worth 600 MB and twice the time."""
_FLOAT16_SAMPLES = 8
_FOUR_BIT_DB = 20.0
"""What 4-bit layers must leave of every output on the trials; classifiers lose answers below."""


@dataclass(frozen=True)
class Trials:
    """What the ways of rounding are compared on."""

    samples: Samples
    layouts: Layouts
    cases: list[Case]
    stage: Callable[[str, int], None]
    tick: Callable[[], None]
    notice: Callable[[str], None] = lambda text: None
    smallest: bool = False
    """Whether 4 bits may go where they make a layer slower than float32."""


def check_target(precision: str, target: Target) -> None:
    """Raise ConversionError for a precision that does no good on a target."""
    if precision == "int4" and not rules_of(target.runtimes).four_bits:
        raise ConversionError(
            f"--precision int4: {target.name} runs models in {' and '.join(target.runtimes)}, where 4-bit layers are "
            "slower than float32 ones; use --precision dynamic (as fast as it gets there) or weights8"
        )


def at_stored_precision(graph: Graph, precision: str, target: Target, trials: Trials) -> Graph:
    """The graph at a precision that needs no ranges. With real samples the better of two roundings is kept."""
    if precision not in ROUNDED:
        return store_float16(graph) if precision == "fp16" else graph
    rules = rules_of(target.runtimes)
    if not trials.samples.is_noise:
        map_weights(graph)
    if precision == "int4":
        return _four_bits(graph, target, rules, trials)
    plain = _rounded(graph, precision, WeightStore(), rules)
    if trials.samples.is_noise or not trials.cases:
        return plain
    joint = _rounded(graph, precision, WeightStore(observed(graph, trials, precision)), rules)
    trials.stage("Choosing the rounding", 2 * len(trials.cases[:_TRIALS]))
    better = [mean_db(candidate, target, trials) for candidate in (plain, joint)]
    return joint if better[1] >= better[0] else plain


def _rounded(graph: Graph, precision: str, store: WeightStore, rules: RuntimeRules) -> Graph:
    if precision == "weights8":
        return store_int8(graph, store, narrow_tables=rules.narrow_tables)
    return quantize_dynamic(graph, store, rules)


def _four_bits(graph: Graph, target: Target, rules: RuntimeRules, trials: Trials) -> Graph:
    cases = trials.cases[:_TRIALS]

    def ask(candidate: Graph) -> Answers:
        return answers_of(candidate, target, trials.layouts, cases, trials.tick, names=fixed)

    fixed = [tensor.name for tensor in graph.outputs if tensor.open_axis is None]
    if not fixed:
        raise ConversionError(
            "--precision int4: how many results the model gives depends on the data, by which no layer can be weighed; "
            "use --precision dynamic, or export the model without its last step"
        )
    expected = {name: np.stack([case.expected[name] for case in cases]) for name in fixed}
    stores = [WeightStore()]
    if not trials.samples.is_noise:
        stores.append(WeightStore(observed(graph, trials, "int4")))
    searches = [
        FourBitSearch(graph, store, rules, ask=ask, expected=expected, convolutions=trials.smallest)
        for store in stores
    ]
    if not searches[0].layers:
        raise ConversionError(
            "--precision int4: the model has no dense layer, pointwise convolution or table of 1024 weights or more, "
            "and nothing else gains by 4 bits; use --precision int8 or dynamic, or --smallest for 4-bit convolutions"
        )
    trials.stage("Finding what 4 bits can hold", (searches[0].most_tries + len(searches)) * len(cases))
    best = max(searches, key=FourBitSearch.narrowest_db)
    found = best.run(_FOUR_BIT_DB)
    trials.notice(f"int4: {found}")
    return found.graph


def answers_of(
    graph: Graph,
    target: Target,
    layouts: Layouts,
    cases: list[Case],
    tick: Callable[[], None],
    *,
    names: list[str],
) -> Answers:
    """Outputs of fixed shape for all cases, stacked, in the target's first runtime."""
    backend = open_runtime(serialize(graph, description="trial", metadata={}), target.runtimes[0])
    answers = []
    for case in cases:
        answers.append(run_case(backend, to_stored(backend, case.feed, layouts), layouts))
        tick()
    backend.close()
    return {name: np.stack([answer[name] for answer in answers]) for name in names}


def observed(graph: Graph, trials: Trials, precision: str) -> Calibration:
    """What the weights of a float graph are multiplied with, on some of the samples."""
    some = trials.samples.only(trials.samples.sources[:_CALIBRATION_SAMPLES])
    trials.stage("Looking at what weights meet", len(some))
    batches = _inputs(graph, some, trials.layouts)
    return calibrate(
        graph, batches, count=len(some), tick=trials.tick, threads=1, most_weights=_MOST_WEIGHTS[precision]
    )


def _inputs(graph: Graph, samples: Samples, layouts: Layouts) -> Iterator[list[Array]]:
    for feed in samples.feeds():
        yield in_order(graph, feed, layouts)


def mean_db(graph: Graph, target: Target, trials: Trials) -> float:
    """Mean signal-to-noise ratio of the outputs against the original, in the target's first runtime."""
    network = serialize(graph, description="trial", metadata={})
    release_mapped()
    backend = open_runtime(network, target.runtimes[0])
    agreement = measure(backend, trials.cases[:_TRIALS], trials.layouts, classifies=False, tick=trials.tick)
    backend.close()
    return float(np.mean([output.snr_db for output in agreement.outputs]))


def float16_metadata(graph: Graph, precision: str, target: Target, trials: Trials) -> dict[str, bytes]:
    """What lets a runtime compute an fp16 file in float16, where the target's processor can.

    Every runtime loads the file; without such a processor it computes in float32. Nothing where values come near
    the largest float16.
    """
    if precision != "fp16" or not target.fp16_arithmetic:
        return {}
    some = trials.samples.only(trials.samples.sources[:_FLOAT16_SAMPLES])
    trials.stage("Looking for large values", len(some))
    graph = with_float_constants(graph)
    batches = _inputs(graph, some, trials.layouts)
    seen = calibrate(graph, batches, count=len(some), tick=trials.tick, threads=1, moments=False)
    if may_compute_in_float16(seen):
        return {METADATA_NAME: METADATA}
    trials.notice("fp16: computed in float32 on the device, since values come near the largest float16")
    return {}
