"""Tensors whose range deserves a choice of its own, and the choice, by what the network answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewise_converters.quantize import Shared, StaticOptions
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.quantize.static import widths_of
from edgewise_converters.quantize.widths import Width
from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.cost import products_of
from edgewise_converters.tflite.graph import Graph, Tensor

_SMALLEST = 1e-12
_APART = 1.15
"""Ranges that differ by less are the same choice."""
_WORTH_DB, _WORTH_OF_MANY_DB = 0.1, 0.3
"""Of many that are tried some gain a little by luck, on the few samples that judge."""
_GROUPS = 3
"""Of what is not tried alone: all of it together, then each half."""


@dataclass(frozen=True)
class Products:
    """How many tensors are tried alone, in products and not in time, so that every computer writes the same file."""

    alone: int = 30_000_000_000
    """Products that may be spent on them: seconds."""
    fewest: int = 4
    """Tensors that are tried alone however long it takes."""


def choose_ranges(
    candidates: Candidates,
    best: Trial,
    stage: Callable[[str, int], None],
    *,
    limits: Products | None = None,
) -> Trial:
    """Another range for each tensor over which the choosers disagree, where the outputs become better by it.

    One after the other, those they disagree about most first; where that would take too long, the rest in groups.
    """
    limits = limits or Products()
    disputed = disputed_ranges(candidates.graph, candidates.shared, best.options)
    trial = max(products_of(candidates.graph) * len(candidates.cases), 1)
    alone = max(limits.fewest, limits.alone // trial)
    groups, rest = [[one] for one in disputed[:alone]], disputed[alone:]
    stage("Choosing ranges tensor by tensor", (len(groups) + _GROUPS * bool(rest)) * len(candidates.cases))
    for place, group in enumerate(groups):
        worth_db = _WORTH_DB if place < limits.fewest else _WORTH_OF_MANY_DB
        best = _with_ranges(candidates, best, group, worth_db)
    together = _with_ranges(candidates, best, rest, _WORTH_OF_MANY_DB)
    if together is not best:
        return together
    half = (len(rest) + 1) // 2
    for group in (rest[:half], rest[half:]) if half else ():
        best = _with_ranges(candidates, best, group, _WORTH_OF_MANY_DB)
    return best


def _with_ranges(
    candidates: Candidates, best: Trial, group: Sequence[tuple[Tensor, str]], worth_db: float
) -> Trial:
    """With the other ranges for these tensors, if that gains so much."""
    if not group:
        return best
    others = {id(tensor): name for tensor, name in group}
    (first, name), more = group[0], len(group) - 1
    why = f"{name} range of '{first.name}'" + (f" and other ranges of {more} more" if more else "")
    options = replace(best.options, ranges_of={**best.options.ranges_of, **others})
    return candidates.better(best, [(why, options)], worth_db=worth_db)


def disputed_ranges(graph: Graph, shared: Shared, options: StaticOptions) -> list[tuple[Tensor, str]]:
    """Tensors in int8 with the chooser that differs most from theirs, the widest apart first."""
    widths = widths_of(graph, options)
    found: list[tuple[float, int, Tensor, str]] = []
    for place, operator in enumerate(graph.operators):
        if widths[id(operator)] is not Width.INT8:
            continue
        for tensor in operator.outputs:
            if id(tensor) not in shared.calibration.by_tensor:
                continue
            apart, name = _furthest(shared, id(tensor), options.ranges)
            if apart >= _APART:
                found.append((-apart, place, tensor, name))
    return [(tensor, name) for _, _, tensor, name in sorted(found, key=lambda entry: entry[:2])]


def _furthest(shared: Shared, tensor: int, own: str) -> tuple[float, str]:
    """How far another chooser's range is from this one's, as a ratio of widths, and its name."""
    apart = {
        name: abs(float(np.log(_span(shared, tensor, name) / _span(shared, tensor, own))))
        for name in CHOOSERS
        if name not in (own, "entropy")
    }
    name = max(apart, key=lambda key: apart[key])
    return float(np.exp(apart[name])), name


def _span(shared: Shared, tensor: int, chooser: str) -> float:
    low, high = shared.range_of(tensor, chooser)
    return max(max(high, 0.0) - min(low, 0.0), _SMALLEST)
