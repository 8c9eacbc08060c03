"""A range for each tensor: proposed by the error behind its readers, decided by what the network answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewise_converters.errors import VerificationFailed
from edgewise_converters.quantize import Shared, StaticOptions
from edgewise_converters.quantize.ranges import CHOOSERS, quantization_of
from edgewise_converters.quantize.rules import FIXED, SAME_SCALE
from edgewise_converters.quantize.ways import widths_of
from edgewise_converters.quantize.widths import Width
from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.cost import products_of, threads_for
from edgewise_converters.search.reader_errors import reader_errors
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
    """What the choice may take, in products and not in time, so that every computer writes the same file."""

    alone: int = 30_000_000_000
    """Products that may be spent on asking the network about tensors alone: seconds."""
    fewest: int = 4
    """Tensors that the network is asked about alone however long it takes."""
    behind: int = 15_000_000_000
    """Products that may be spent on the errors behind readers."""
    samples: tuple[int, int] = (2, 8)
    """Fewest and most samples that those are measured on."""


@dataclass(frozen=True)
class Dispute:
    """A tensor in int8 over whose range the choosers disagree."""

    tensor: Tensor
    choosers: tuple[str, ...]
    """The one it has, then each that differs from all before it."""


@dataclass(frozen=True)
class Proposal:
    """The best other range of a disputed tensor."""

    tensor: Tensor
    chooser: str
    gain: float
    """How much less noise there is behind the tensor's readers, as a part of their signal's power; may be negative."""


def choose_ranges(
    candidates: Candidates,
    best: Trial,
    stage: Callable[[str, int], None],
    *,
    limits: Products | None = None,
) -> Trial:
    """Another range for each tensor over which the choosers disagree, where the outputs become better by it.

    What is tried for a tensor is the range with the least error behind its readers. The network is asked about one
    tensor after the other, first those with most to gain; where that would take too long, about the rest in groups.
    """
    limits = limits or Products()
    proposals = proposed_ranges(candidates, best.options, stage, limits)
    trial = max(products_of(candidates.graph) * len(candidates.cases), 1)
    alone = max(limits.fewest, limits.alone // trial)
    groups = [[proposal] for proposal in proposals[:alone]]
    rest = [proposal for proposal in proposals[alone:] if proposal.gain > 0]
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


def _with_ranges(candidates: Candidates, best: Trial, group: Sequence[Proposal], worth_db: float) -> Trial:
    """With the other ranges for these tensors, if that gains so much."""
    if not group:
        return best
    others = {id(proposal.tensor): proposal.chooser for proposal in group}
    first, more = group[0], len(group) - 1
    why = f"{first.chooser} range of '{first.tensor.name}'" + (
        f" and other ranges of {more} more" if more else ""
    )
    options = replace(best.options, ranges_of={**best.options.ranges_of, **others})
    return candidates.better(best, [(why, options)], worth_db=worth_db)


def proposed_ranges(
    candidates: Candidates, options: StaticOptions, stage: Callable[[str, int], None], limits: Products
) -> list[Proposal]:
    """For every disputed tensor the best range but its own, those with most to gain first."""
    graph, shared = candidates.graph, candidates.shared
    disputes = disputed_ranges(graph, shared, options)
    if not disputes:
        return []
    rounds = max(len(dispute.choosers) for dispute in disputes)
    # The graph itself and, in the worst case, every reader again.
    most = limits.behind // max(2 * rounds * products_of(graph), 1)
    samples = candidates.read_inputs(int(np.clip(most, *limits.samples)))
    stage("Measuring ranges by the layers that read them", rounds * len(samples))
    ways = {
        id(dispute.tensor): [
            quantization_of(*shared.range_of(id(dispute.tensor), name), symmetric=options.symmetric)
            for name in dispute.choosers
        ]
        for dispute in disputes
    }
    try:
        noises = reader_errors(graph, ways, samples, threads=threads_for(graph), tick=candidates.tick)
    except VerificationFailed:  # an operator that does not run beside itself: the network alone decides
        noises = {key: [0.0] * len(grids) for key, grids in ways.items()}
    proposals = []
    for dispute in disputes:
        own, *others = noises[id(dispute.tensor)]
        place = int(np.argmin(others))
        proposals.append(Proposal(dispute.tensor, dispute.choosers[1 + place], own - others[place]))
    return sorted(proposals, key=lambda proposal: -proposal.gain)  # of equal ones the widest apart first


def disputed_ranges(graph: Graph, shared: Shared, options: StaticOptions) -> list[Dispute]:
    """Tensors in int8 with the choosers that differ about them, the widest apart first."""
    widths = widths_of(graph, options)
    found: list[tuple[float, int, Dispute]] = []
    for place, operator in enumerate(graph.operators):
        follows = operator.kind in SAME_SCALE or operator.kind in FIXED[Width.INT8]
        if widths[id(operator)] is not Width.INT8 or follows:
            continue
        for tensor in operator.outputs:
            if id(tensor) not in shared.calibration.by_tensor:
                continue
            own = options.ranges_of.get(id(tensor), options.ranges)
            choosers = _different(shared, id(tensor), own)
            if len(choosers) > 1:
                apart = max(_apart(shared, id(tensor), own, name) for name in choosers)
                found.append((-apart, place, Dispute(tensor, choosers)))
    return [dispute for _, _, dispute in sorted(found, key=lambda entry: entry[:2])]


def _different(shared: Shared, tensor: int, own: str) -> tuple[str, ...]:
    kept = [own]
    for name in CHOOSERS:
        if all(_apart(shared, tensor, other, name) >= _APART for other in kept):
            kept.append(name)
    return tuple(kept)


def _apart(shared: Shared, tensor: int, one: str, other: str) -> float:
    """The ratio of two choosers' ranges, the wider to the narrower."""
    widths = sorted(_span(shared, tensor, name) for name in (one, other))
    return widths[1] / widths[0]


def _span(shared: Shared, tensor: int, chooser: str) -> float:
    low, high = shared.range_of(tensor, chooser)
    return max(max(high, 0.0) - min(low, 0.0), _SMALLEST)
