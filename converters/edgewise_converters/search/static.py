"""The search for the best static quantization: ranges, rounding, correction, rescues, ranges of single tensors."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgewise_converters.errors import VerificationFailed
from edgewise_converters.quantize import StaticOptions, Width
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.quantize.ways import widths_of
from edgewise_converters.quantize.widths import Widths
from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.cost import products_of, time_of, weight_bytes
from edgewise_converters.search.protect import PROBES, Budget, layers_in_int8, protect
from edgewise_converters.search.rescue import light_in_float, rescues
from edgewise_converters.search.single_ranges import choose_ranges

_DEAREST_RESCUE, _LARGEST_RESCUE = 1.35, 1.01
"""Time and weights of a rescued network in units of the plain one's."""
_RESCUE_WORTH_DB = 0.3
_CHEAP_PROBING = 20_000_000_000
"""Products: a few seconds. A count and not a time, so that the same input gives the same file everywhere."""
_SMALL_BUDGET = Budget(time=1.5, size=1.02)
_PROBED_BELOW_DB = 32.0
"""Below this it is worth much time to find the layers that are to blame."""
_GOOD_DB = 26.0
"""From here on no layer takes the slow kernels of int16x8."""
_FEW_PROBES = 4
_WIDE_BUDGET = Budget(time=12.0, size=1.02)
"""int16x8 has plain kernels alone, taken as 75 times int8's time: enough for a seventh of a network's products."""
_SAID = {"nearest": "to nearest", "gptq": "jointly"}


@dataclass(frozen=True)
class StaticRequest:
    """What the search may choose from."""

    width: Width = Width.INT8
    ranges: str = "auto"
    """A key of `CHOOSERS`, or auto for the best by measurement."""
    mixed: bool = False
    """Whether more layers may leave int8 than cost next to nothing."""
    wide_culprits: bool = False
    """Whether the layers that still lose most may compute in int16x8, which is slow."""
    rescue: bool = True
    """Whether parts that lose most may leave int8 where that costs little."""
    per_tensor: bool = False
    symmetric: bool = False


def search_static(
    candidates: Candidates, wanted: StaticRequest, first: StaticOptions, stage: Callable[[str, int], None]
) -> Trial:
    """The best way found. ``first`` holds what is not searched for."""
    width = wanted.width
    if width is Width.INT16:
        # 65,536 steps need no narrower ranges, and the kernels are slow: only the weights are in question.
        return _weights(candidates, candidates.ask(replace(first, ranges="minmax"), "minmax ranges"))
    names = list(CHOOSERS) if wanted.ranges == "auto" else [wanted.ranges]
    stage("Choosing ranges", len(names) * len(candidates.cases))
    ways = [(f"{name} ranges", replace(first, ranges=name)) for name in names]
    best = candidates.better(candidates.ask(ways[0][1], ways[0][0]), ways[1:])
    stage("Choosing the rounding", 2 * len(candidates.cases))
    best = _weights(candidates, best)
    if wanted.rescue:
        plain, best = best, _rescued(candidates, best, stage)
        if not wanted.mixed:
            best = _probed(candidates, best, stage, few=best.score_db < _PROBED_BELOW_DB)
            if best.score_db < _PROBED_BELOW_DB:
                best = _from_light(candidates, plain, best, stage)
    if wanted.mixed:
        best = protect(candidates, best, stage)
    if wanted.wide_culprits:
        best = protect(candidates, best, stage, budget=_WIDE_BUDGET, widths=(Width.INT16,), enough=_is_good)
    best = _weights(candidates, best)
    if wanted.ranges == "auto":
        best = choose_ranges(candidates, best, stage)
    return _measured_biases(candidates, best, stage)


def _is_good(trial: Trial) -> bool:
    """Whether more layers in int16x8 would cost time for nothing."""
    return trial.agreement.worst_db >= _GOOD_DB


def _probed(candidates: Candidates, best: Trial, stage: Callable[[str, int], None], *, few: bool) -> Trial:
    """With the layers in float32 that gain most, where trying each is cheap, or by ``few`` samples where it is not."""
    probes = _affordable_probes(candidates, best) or (_FEW_PROBES if few else 0)
    return protect(candidates, best, stage, budget=_SMALL_BUDGET, probes=probes) if probes else best


def _affordable_probes(candidates: Candidates, best: Trial) -> int:
    """Samples by which every layer can be tried alone at little cost; 0 if that is dear even with few."""
    each = len(layers_in_int8(candidates.graph, best.options)) * products_of(candidates.graph)
    return next((probes for probes in (PROBES, _FEW_PROBES) if each * probes <= _CHEAP_PROBING), 0)


def _from_light(
    candidates: Candidates, plain: Trial, best: Trial, stage: Callable[[str, int], None]
) -> Trial:
    """The same search from another start, where that is cheap: only layers with weights in int8.

    Where several operators each spoil the answers, sparing one of them shows nothing.
    """
    light = {**plain.options.widths_of, **light_in_float(candidates.graph)}
    if not _is_cheap(candidates, light, plain):
        return best
    start = candidates.ask(replace(plain.options, widths_of=light), "only layers with weights in int8")
    if not _affordable_probes(candidates, start):
        return best
    other = _probed(candidates, _rescued(candidates, start, stage), stage, few=False)
    return other if other.score_db >= best.score_db + _RESCUE_WORTH_DB else best


def _weights(candidates: Candidates, best: Trial) -> Trial:
    """Cleverer rounding and the correction stay only where they help."""
    rounding = "nearest" if best.options.rounding == "gptq" else "gptq"
    correct = not best.options.correct_bias
    others = [
        (f"weights rounded {_SAID[rounding]}", replace(best.options, rounding=rounding)),
        ("bias correction" if correct else "no bias correction", replace(best.options, correct_bias=correct)),
    ]
    return candidates.better(best, others, worth_db=0.0)


def _measured_biases(candidates: Candidates, best: Trial, stage: Callable[[str, int], None]) -> Trial:
    """Biases that take back what the network's layers are off by on average, where that helps."""
    stage("Correcting biases by measurement", sum(map(has_weights, candidates.graph.operators)))
    try:
        options = candidates.with_measured_biases(best.options)
    except VerificationFailed:  # a part of the network that does not run alone
        return best
    return candidates.better(best, [("biases corrected by measurement", options)])


def _rescued(candidates: Candidates, best: Trial, stage: Callable[[str, int], None]) -> Trial:
    """Take parts out of int8, one after the other, where that helps and costs little."""
    graph = candidates.graph
    found = rescues(graph, best.options.rules)
    stage("Sparing what int8 harms most", len(found) * len(candidates.cases))
    for rescue in found:
        widths = {**best.options.widths_of, **rescue.widths}
        if widths != best.options.widths_of and _is_cheap(candidates, widths, best):
            options = replace(best.options, widths_of=widths)
            best = candidates.better(best, [(rescue.name, options)], worth_db=_RESCUE_WORTH_DB)
    return best


def _is_cheap(candidates: Candidates, widths: Widths, trial: Trial) -> bool:
    """Whether a network with these widths takes little more than one without any of its own."""
    graph = candidates.graph
    plain, other = (widths_of(graph, replace(trial.options, widths_of=own)) for own in ({}, widths))
    return time_of(graph, other) <= _DEAREST_RESCUE * time_of(graph, plain) and weight_bytes(
        graph, other
    ) <= _LARGEST_RESCUE * weight_bytes(graph, plain)
