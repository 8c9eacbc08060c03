"""Mixed precision: the layers that add most noise leave int8, as far as time and size allow.

Noise that layers add alone adds up (shared by quantized networks with small noise), so each is tried once and the
best for their price are taken together; what was predicted is then measured.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewise_converters.quantize.rules import CONCATENATION, SAME_SCALE, possible_widths
from edgewise_converters.quantize.ways import StaticOptions, widths_of
from edgewise_converters.quantize.widths import Width
from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.cost import time_of, weight_bytes
from edgewise_converters.tflite.graph import Graph, Operator

PROBES = 8
"""Samples by which one layer is judged, those with most noise; all decide about the whole."""
_STEPS = 6
"""Measurements on the way to the full budget."""
_MOVES = SAME_SCALE | {CONCATENATION}
FASTER = (Width.HYBRID, Width.FLOAT)
"""Widths that layers leave int8 for. int16x8 is none: its kernels are plain ones outside XNNPACK, which split the graph
and take longer than float32's, which round nothing."""
_FREE = 1e-4
"""What even the cheapest change is taken to cost."""
_WORTH_DB = 0.2
_FOLLOWING = _MOVES | {"HARD_SWISH", "LEAKY_RELU", "RELU", "RELU6", "PRELU", "ELU", "LOGISTIC", "TANH"}
"""What belongs to the layer before it."""


@dataclass(frozen=True)
class Budget:
    """What protection may cost, in units of the graph that is protected."""

    time: float = 1.5
    size: float = 1.15
    spare_bytes: int = 24_576
    """Weights may always grow by this much: it is nothing beside what else a device stores."""


@dataclass(frozen=True)
class Culprit:
    """One layer, and what becomes better when it leaves int8."""

    operator: Operator
    widths: dict[int, Width]
    """What is changed for it, by id of operator."""
    noise_less: float
    """How much noise power goes, as a part of the signal's."""
    price: float
    """More time and more bytes of weights, each as a part of what the whole takes now."""

    @property
    def worth(self) -> float:
        """Noise that goes for its price."""
        return self.noise_less / self.price


def culprits(
    candidates: Candidates,
    base: Trial,
    *,
    probes: int = PROBES,
    widths: Sequence[Width] = FASTER,
    budget: Budget | None = None,
    tick: Callable[[], None],
) -> list[Culprit]:
    """Every layer in int8, tried alone outside it, what gives most for its price first.

    With a ``budget`` what alone is dearer is not tried.

    A layer may appear twice: once for a way that spares some of its noise, and again for the step from there to one
    that spares more at a higher price.
    """
    graph = candidates.graph
    now = widths_of(graph, base.options)
    limits = _Limits.of(graph, now, budget) if budget else None
    start, stored = time_of(graph, now), max(weight_bytes(graph, now), 1)
    worst = candidates.worst_cases(base.options, probes)
    reference = candidates.ask(base.options, "as it is", cases=worst)
    found: list[Culprit] = []
    for operator in layers_in_int8(graph, base.options):
        ways: list[Culprit] = []
        for changed in _alternatives(graph, operator, base.options, widths):
            after = {**now, **changed}
            if limits and not limits.allow(graph, after):
                continue
            options = replace(base.options, widths_of={**base.options.widths_of, **changed})
            why = f"'{operator.output.name}' in {changed[id(operator)].value}"
            less = reference.noise - candidates.ask(options, why, cases=worst).noise
            price = time_of(graph, after) / start + weight_bytes(graph, after) / stored - 2
            ways.append(Culprit(operator, changed, less, max(price, _FREE)))
        found += _steps(ways)
        tick()
    return sorted(found, key=lambda culprit: -culprit.worth)


def layers_in_int8(graph: Graph, options: StaticOptions) -> list[Operator]:
    """What could leave int8 and is no mere move of values."""
    widths = widths_of(graph, options)
    return [o for o in graph.operators if widths[id(o)] is Width.INT8 and o.kind not in _MOVES]


def _steps(ways: list[Culprit]) -> list[Culprit]:
    """The way that gives most for its price, then the step from it to a dearer one that gives more."""
    helping = [way for way in ways if way.noise_less > 0]
    if not helping:
        return []
    first = max(helping, key=lambda way: way.worth)
    further = [way for way in helping if way.noise_less > first.noise_less and way.price > first.price]
    if not further:
        return [first]
    last = max(further, key=lambda way: way.noise_less)
    less, more = last.noise_less - first.noise_less, last.price - first.price
    return [first, replace(last, noise_less=less, price=more)]


def _alternatives(
    graph: Graph, operator: Operator, options: StaticOptions, widths: Sequence[Width]
) -> Iterator[dict[int, Width]]:
    """Widths for an operator and for what only moves or bends its output, so that nothing rounds it in between."""
    followers = list(_followers(graph, operator))
    possible = possible_widths(operator, options.rules)
    for width in widths:
        if width not in possible:
            continue
        behind = Width.FLOAT if width is Width.HYBRID else width
        changed = {
            id(operator): width,
            **{id(o): behind for o in followers if behind in possible_widths(o, options.rules)},
        }
        yield changed
        if width is Width.INT16:
            # What an activation keeps in it is lost again by a reader in int8.
            readers = _readers(graph, [operator, *followers])
            yield changed | {id(o): width for o in readers if width in possible_widths(o, options.rules)}


def _readers(graph: Graph, writers: list[Operator]) -> list[Operator]:
    written = {id(tensor) for writer in writers for tensor in writer.outputs}
    return [o for o in graph.operators if any(t is not None and id(t) in written for t in o.inputs)]


def _followers(graph: Graph, operator: Operator) -> Iterator[Operator]:
    reached = {id(tensor) for tensor in operator.outputs}
    for follower in graph.operators:
        if follower.kind in _FOLLOWING and any(t is not None and id(t) in reached for t in follower.inputs):
            reached |= {id(tensor) for tensor in follower.outputs}
            yield follower


def protect(
    candidates: Candidates,
    base: Trial,
    stage: Callable[[str, int], None],
    *,
    budget: Budget | None = None,
    probes: int = PROBES,
    widths: Sequence[Width] = FASTER,
    enough: Callable[[Trial], bool] = lambda _: False,
) -> Trial:
    """Move culprits to ``widths``, the best for their price first, until it is ``enough`` or the budget is spent."""
    budget = budget or Budget()
    graph = candidates.graph
    now = widths_of(graph, base.options)
    stage("Looking for the layers that int8 harms", len(graph.operators))
    ranked = culprits(candidates, base, probes=probes, widths=widths, budget=budget, tick=candidates.tick)
    affordable = _within(graph, now, ranked, budget)
    stage("Protecting layers", _STEPS * len(candidates.cases))
    best, wanted = base, sum(culprit.noise_less for culprit in affordable)
    changed: dict[int, Width] = {}
    gone, steps = 0.0, 1
    said = "in int16x8" if Width.INT16 in widths else "protected"
    for place, culprit in enumerate(affordable):
        changed |= culprit.widths
        gone += culprit.noise_less
        if gone < wanted * steps / _STEPS and place + 1 < len(affordable):
            continue
        steps += 1
        options = replace(base.options, widths_of={**base.options.widths_of, **changed})
        best = candidates.better(best, [(f"{place + 1} layers {said}", options)], worth_db=_WORTH_DB)
        if enough(best):
            break
    return best


@dataclass(frozen=True)
class _Limits:
    """A budget in the units of `cost`."""

    time: float
    size: float

    @classmethod
    def of(cls, graph: Graph, widths: Mapping[int, Width], budget: Budget) -> "_Limits":
        """Of a graph that has these widths now."""
        stored = weight_bytes(graph, widths)
        size = max(stored * budget.size, stored + budget.spare_bytes)
        return cls(time_of(graph, widths) * budget.time, size)

    def allow(self, graph: Graph, widths: Mapping[int, Width]) -> bool:
        return time_of(graph, widths) <= self.time and weight_bytes(graph, widths) <= self.size


def _within(graph: Graph, widths: dict[int, Width], ranked: list[Culprit], budget: Budget) -> list[Culprit]:
    """What fits into the budget, taken in order."""
    limits = _Limits.of(graph, widths, budget)
    taken: list[Culprit] = []
    now = dict(widths)
    for culprit in ranked:
        after = {**now, **culprit.widths}
        if limits.allow(graph, after):
            taken.append(culprit)
            now = after
    return taken
