"""Mixed precision: the layers that add most noise leave int8, as far as time and size allow.

Noise that layers add alone adds up (shared by quantized networks with small noise), so each is tried once and the
best for their price are taken together; what was predicted is then measured.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edgewise_converters.quantize.rules import CONCATENATION, SAME_SCALE, possible_widths
from edgewise_converters.quantize.static import StaticOptions, widths_of
from edgewise_converters.quantize.widths import Width
from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.cost import time_of, weight_bytes
from edgewise_converters.search.rescue import spared
from edgewise_converters.tflite.graph import Graph, Operator

_PROBES = 8
"""Samples by which one layer is judged; all decide about the whole."""
_STEPS = 6
"""Measurements on the way to the full budget."""
_MOVES = SAME_SCALE | {CONCATENATION}


@dataclass(frozen=True)
class Budget:
    """What protection may cost, in units of the graph that is protected."""

    time: float = 1.5
    size: float = 1.15


@dataclass(frozen=True)
class Culprit:
    """One layer, and what becomes better when it leaves int8."""

    operator: Operator
    widths: dict[int, Width]
    """What is changed for it, by id of operator."""
    noise_less: float
    """How much noise power goes, as a part of the signal's."""
    time_more: float
    """In int8 products."""


def culprits(candidates: Candidates, base: Trial, *, tick: Callable[[], None]) -> list[Culprit]:
    """Every layer in int8, tried alone outside it, the one that gives most for its time first."""
    graph = candidates.graph
    widths = widths_of(graph, base.options)
    start = time_of(graph, widths)
    reference = candidates.ask(base.options, "as it is", cases=_PROBES)
    found: list[Culprit] = []
    for operator in graph.operators:
        if widths[id(operator)] is not Width.INT8 or operator.kind in _MOVES:
            continue
        for changed in _alternatives(graph, operator, base.options):
            options = replace(base.options, widths_of={**base.options.widths_of, **changed})
            why = f"'{operator.output.name}' in {changed[id(operator)].value}"
            less = reference.noise - candidates.ask(options, why, cases=_PROBES).noise
            more = time_of(graph, {**widths, **changed}) - start
            found.append(Culprit(operator, changed, less, more))
        tick()
    return sorted(found, key=lambda c: -c.noise_less / max(c.time_more, start * 1e-4))


def _alternatives(graph: Graph, operator: Operator, options: StaticOptions) -> Iterator[dict[int, Width]]:
    """Widths for an operator and for what only moves its output, so that nothing rounds it right after."""
    followers = list(_followers(graph, operator))
    possible = possible_widths(operator, options.rules)
    wider = [spared(operator, options.rules)]
    if Width.INT16 in possible and Width.HYBRID not in possible:
        wider.append(Width.INT16)
    for width in wider:
        behind = Width.FLOAT if width is Width.HYBRID else width
        yield {
            id(operator): width,
            **{id(o): behind for o in followers if behind in possible_widths(o, options.rules)},
        }


def _followers(graph: Graph, operator: Operator) -> Iterator[Operator]:
    reached = {id(tensor) for tensor in operator.outputs}
    for follower in graph.operators:
        if follower.kind in _MOVES and any(t is not None and id(t) in reached for t in follower.inputs):
            reached |= {id(tensor) for tensor in follower.outputs}
            yield follower


def protect(
    candidates: Candidates,
    base: Trial,
    stage: Callable[[str, int], None],
    *,
    budget: Budget | None = None,
    enough: Callable[[Trial], bool] = lambda _: False,
) -> Trial:
    """Take culprits out of int8, the best for their time first, until it is ``enough`` or the budget is spent."""
    budget = budget or Budget()
    graph = candidates.graph
    widths = widths_of(graph, base.options)
    stage("Looking for the layers that int8 harms", len(graph.operators))
    ranked = [c for c in culprits(candidates, base, tick=candidates.tick) if c.noise_less > 0]
    affordable = _within(graph, widths, ranked, budget)
    stage("Protecting layers", _STEPS * len(candidates.cases))
    best, wanted = base, sum(culprit.noise_less for culprit in affordable)
    changed: dict[int, Width] = {}
    gone, steps = 0.0, 1
    for place, culprit in enumerate(affordable):
        changed |= culprit.widths
        gone += culprit.noise_less
        if gone < wanted * steps / _STEPS and place + 1 < len(affordable):
            continue
        steps += 1
        options = replace(base.options, widths_of={**base.options.widths_of, **changed})
        best = candidates.better(best, [(f"{place + 1} layers protected", options)])
        if enough(best):
            break
    return best


def _within(graph: Graph, widths: dict[int, Width], ranked: list[Culprit], budget: Budget) -> list[Culprit]:
    """The first of each layer's ways that still fits into the budget."""
    time, size = time_of(graph, widths) * budget.time, weight_bytes(graph, widths) * budget.size
    taken: list[Culprit] = []
    now = dict(widths)
    seen: set[int] = set()
    for culprit in ranked:
        after = {**now, **culprit.widths}
        if id(culprit.operator) in seen or time_of(graph, after) > time or weight_bytes(graph, after) > size:
            continue
        seen.add(id(culprit.operator))
        taken.append(culprit)
        now = after
    return taken
