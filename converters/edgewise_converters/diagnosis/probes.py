"""What one layer's quantization does to the model's outputs: measured, one layer at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edgewise_converters.diagnosis.findings import Fix
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.quantize.rules import CONCATENATION, SAME_SCALE
from edgewise_converters.quantize.ways import StaticOptions, widths_of
from edgewise_converters.quantize.widths import Width
from edgewise_converters.search.candidates import Candidates, Trial
from edgewise_converters.search.rescue import spared
from edgewise_converters.tflite.graph import Operator

PROBES = 8
"""Samples by which a layer is judged."""
_MOVES = SAME_SCALE | {CONCATENATION}
_WORTH_DB = 0.05


def probed(candidates: Candidates) -> Sequence[int]:
    """Places of the cases by which a layer is judged."""
    return range(min(PROBES, len(candidates.cases)))


def level_db(trial: Trial) -> float:
    """Signal to noise of a trial, from the mean of its outputs' noise."""
    return -10 * math.log10(max(trial.noise, 1e-20))


@dataclass(frozen=True)
class Probe:
    """One layer, and the noise it makes at the outputs when nothing else is quantized."""

    operator: Operator
    noise: float
    """Power, as a part of the signal's."""

    options: StaticOptions

    @property
    def alone_db(self) -> float:
        """The same as a level."""
        return -10 * math.log10(max(self.noise, 1e-20))


def probe_layers(candidates: Candidates, plain: StaticOptions, tick: Callable[[], None]) -> list[Probe]:
    """Every layer of the fully quantized network, alone; the noisiest first."""
    graph = candidates.graph
    widths = widths_of(graph, plain)
    nothing = {id(operator): Width.FLOAT for operator in graph.operators}
    found = []
    for operator in graph.operators:
        width = widths[id(operator)]
        if width.is_integer and operator.kind not in _MOVES:
            options = replace(plain, widths_of={**nothing, id(operator): width})
            trial = candidates.ask(options, f"'{operator.output.name}' alone", cases=probed(candidates))
            found.append(Probe(operator, trial.noise, options))
        tick()
    return sorted(found, key=lambda probe: -probe.noise)


def best_fix(candidates: Candidates, plain: StaticOptions, base: Trial, operator: Operator) -> Fix | None:
    """Of what can be done about one layer, what brings most to the fully quantized network."""
    before = level_db(base)
    tried = [
        Fix(what, before, level_db(candidates.ask(options, what, cases=probed(candidates))))
        for what, options in _changes(plain, operator)
    ]
    best = max(tried, key=lambda fix: fix.gain_db, default=None)
    return best if best is not None and best.gain_db >= _WORTH_DB else None


def _changes(plain: StaticOptions, operator: Operator) -> Iterator[tuple[str, StaticOptions]]:
    width = spared(operator, plain.rules)
    said = "int8 weights with float32 activations" if width is Width.HYBRID else "the layer in float32"
    yield said, replace(plain, widths_of={**plain.widths_of, id(operator): width})
    for name in CHOOSERS:
        if name != plain.ranges:
            ranges = {**plain.ranges_of, id(operator.output): name}
            yield f"{name} range for its output", replace(plain, ranges_of=ranges)


def applied_fixes(candidates: Candidates, plain: StaticOptions, best: Trial) -> tuple[Fix, ...]:
    """What the search added to the plain network, one upon the other, on all its samples."""
    level = level_db(candidates.ask(plain, "every layer in integers"))
    fixes = []
    for trial in candidates.tried:
        options = trial.options
        on_all = trial.agreement.cases == best.agreement.cases
        changed = options.widths_of or options.ranges_of or options.shifts_of
        if not on_all or not changed or not _is_part(options, best.options):
            continue
        fix = Fix(trial.why, level, level_db(trial))
        if fix.gain_db >= _WORTH_DB:
            fixes.append(fix)
            level = fix.after_db
    return tuple(fixes)


def _is_part(options: StaticOptions, whole: StaticOptions) -> bool:
    """Whether what was changed here was kept."""
    return (
        options.widths_of.items() <= whole.widths_of.items()
        and options.ranges_of.items() <= whole.ranges_of.items()
        and (not options.shifts_of or options.shifts_of is whole.shifts_of)
        and (options.ranges, options.rounding) == (whole.ranges, whole.rounding)
    )
