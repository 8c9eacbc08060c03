"""Diagnosis of a model that is to be quantized: the conversion's own search, looked at layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.diagnosis.causes import Evidence, causes_of
from edgewise_converters.diagnosis.findings import Diagnosis, LayerDiagnosis
from edgewise_converters.diagnosis.probes import (
    PROBES,
    Probe,
    applied_fixes,
    best_fix,
    level_db,
    probe_layers,
    probed,
)
from edgewise_converters.errors import InvalidSamples
from edgewise_converters.layer_facts import LayerFacts, measure_layers
from edgewise_converters.layers import layer_name
from edgewise_converters.original import Original
from edgewise_converters.plan import Plan, make_plan
from edgewise_converters.precisions import TRIAL_CASES
from edgewise_converters.progress import Progress, Silent
from edgewise_converters.quantize.calibrate import Statistics
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.quantize.ways import StaticOptions
from edgewise_converters.request import Request, read_labels
from edgewise_converters.search import StaticRequest
from edgewise_converters.search.candidates import Trial
from edgewise_converters.static_precisions import Setting, StaticChoice, at_static_precision
from edgewise_converters.targets import Target, load_target
from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import reference_cases

_LOOKED_INTO = 5
"""Layers that are measured on their own and for which fixes are tried."""
_LOCAL_SAMPLES = 4
_MIN_SAMPLES = 40
_BEYOND = 0.1
"""Part of a range by which held-out values may pass what calibration saw,"""
_BEYOND_SHARE = 0.05
"""in this share of the layers."""


def diagnose(request: Request, progress: Progress | None = None) -> Diagnosis:
    """Quantize as `convert` would with this request, and find which layers lose most and why. Nothing is written.

    Raises ConversionError, as `convert` does.
    """
    with Original(request.source, shapes=request.shapes, values=request.values) as original:
        return _Diagnosing(request, original, progress or Silent()).run()


@dataclass(frozen=True)
class _Quantized:
    """The network with every layer in integers that has its meaning there."""

    plain: StaticOptions
    base: Trial
    facts: dict[str, LayerFacts]
    """By name of the layer."""


class _Diagnosing:
    def __init__(self, request: Request, original: Original, progress: Progress) -> None:
        self.request, self.original, self.progress = request, original, progress
        self.target: Target = load_target(request.target)

    def run(self) -> Diagnosis:
        """Everything, in order."""
        source, lowered = self.original.lower(self.progress.stage)
        labels = read_labels(self.request.labels)
        plan = make_plan(self.request, self.target, labels, source, lowered, self.progress.notice)
        if plan.calibration.is_noise:
            raise InvalidSamples("diagnose needs --samples: noise is measured on what the model will meet")
        choice = self._search(plan, lowered.graph)
        candidates = choice.candidates
        plain = replace(choice.best.options, widths_of={}, ranges_of={}, shifts_of={})
        applied = applied_fixes(candidates, plain, choice.best)
        base = candidates.ask(plain, "every layer in integers", cases=probed(candidates))
        quantized = _Quantized(plain, base, self._facts(plan, choice, plain))
        self.progress.stage("Quantizing one layer at a time", len(candidates.graph.operators))
        probes = probe_layers(candidates, plain, self.progress.tick)
        return Diagnosis(
            precision=self.request.precision,
            outputs_db=level_db(base),
            layers=self._layers(plan, choice, quantized, probes),
            applied=applied,
            notes=tuple(self._notes(plan, choice, quantized, probes)),
            measured_on=plan.samples.described,
            samples=len(plan.calibration),
        )

    def _search(self, plan: Plan, graph: Graph) -> StaticChoice:
        """The static search of `convert`."""
        reference = self.original.reference(plan.source)
        some = plan.calibration.only(plan.calibration.sources[:TRIAL_CASES])
        self.progress.stage("Asking the original", len(some))
        trials = reference_cases(reference, some, tick=self.progress.tick)
        reference.close()
        wanted = StaticRequest(
            ranges=self.request.calibration,
            rescue=self.request.rescue,
            per_tensor=self.request.weights == "per-tensor",
            symmetric=self.request.activations == "symmetric",
        )
        setting = Setting(
            target=self.target,
            samples=plan.calibration,
            layouts=plan.layouts,
            images=plan.images,
            trials=trials,
            stage=self.progress.stage,
            tick=self.progress.tick,
        )
        return at_static_precision(graph, self.request.precision, wanted, setting)

    def _facts(self, plan: Plan, choice: StaticChoice, plain: StaticOptions) -> dict[str, LayerFacts]:
        """Every layer of the plain network beside its float twin, on samples that were not calibrated on."""
        self.progress.stage("Measuring every layer")
        graph = choice.candidates.graph
        twin = serialize(graph, description="float", metadata={})
        written = serialize(choice.candidates.build(plain), description="integers", metadata={})
        return {f.name: f for f in measure_layers(twin, written, _feeds(graph, plan))}

    def _layers(
        self, plan: Plan, choice: StaticChoice, quantized: _Quantized, probes: Sequence[Probe]
    ) -> tuple[LayerDiagnosis, ...]:
        total = sum(probe.noise for probe in probes) or 1.0
        feeds = _feeds(choice.candidates.graph, plan)
        self.progress.stage("Trying what helps", min(_LOOKED_INTO, len(probes)))
        found = []
        for place, probe in enumerate(probes):
            facts = quantized.facts.get(probe.operator.output.name)
            if facts is None:
                continue
            fix, local_db = None, None
            if place < _LOOKED_INTO:
                local_db = self._local_db(choice, feeds, probe)
                fix = best_fix(choice.candidates, quantized.plain, quantized.base, probe.operator)
                self.progress.tick()
            found.append(
                LayerDiagnosis(
                    name=layer_name(probe.operator.output),
                    kind=probe.operator.kind,
                    precision=facts.precision,
                    snr_db=facts.snr_db,
                    alone_db=probe.alone_db,
                    share=probe.noise / total,
                    local_db=local_db,
                    grid_db=facts.grid_db,
                    causes=causes_of(_evidence(choice, quantized, probe.operator, local_db)),
                    fix=fix,
                )
            )
        return tuple(found)

    def _local_db(self, choice: StaticChoice, feeds: list[dict[str, Array]], probe: Probe) -> float | None:
        """How well a layer that alone is quantized keeps its own output."""
        twin = serialize(choice.candidates.graph, description="float", metadata={})
        alone = serialize(choice.candidates.build(probe.options), description="one layer", metadata={})
        name = probe.operator.output.name
        facts = measure_layers(twin, alone, feeds[:_LOCAL_SAMPLES])
        return next((layer.snr_db for layer in facts if layer.name == name), None)

    def _notes(
        self, plan: Plan, choice: StaticChoice, quantized: _Quantized, probes: Sequence[Probe]
    ) -> list[str]:
        notes = [
            f"the layers' noise alone adds up to {_together_db(probes):.1f} dB, together they make "
            f"{level_db(quantized.base):.1f} dB"
        ]
        return notes + _too_few_samples(plan, choice, quantized.facts)


def _together_db(probes: Sequence[Probe]) -> float:
    return float(-10 * np.log10(max(sum(probe.noise for probe in probes), 1e-20)))


def _evidence(
    choice: StaticChoice, quantized: _Quantized, operator: Operator, local_db: float | None
) -> Evidence:
    shared, output = choice.candidates.shared, operator.output
    known = id(output) in shared.calibration.by_tensor
    ends = {name: shared.range_of(id(output), name) for name in CHOOSERS} if known else {}
    inputs = [t for t in operator.inputs if t is not None and not t.is_constant]
    return Evidence(
        facts=quantized.facts[output.name],
        inputs=tuple(quantized.facts[t.name] for t in inputs if t.name in quantized.facts),
        operator=operator,
        spans={name: max(high, 0.0) - min(low, 0.0) for name, (low, high) in ends.items()} or None,
        per_tensor=quantized.plain.per_tensor,
        local_db=local_db,
    )


def _feeds(graph: Graph, plan: Plan) -> list[dict[str, Array]]:
    """Some samples that were not calibrated on, as a float graph takes them."""
    some = plan.held_out.only(plan.held_out.sources[:PROBES])
    return [
        {
            t.name: np.asarray(feed[t.name].transpose(plan.layouts.inputs[t.name]), order="C")
            for t in graph.inputs
        }
        for feed in some.feeds()
    ]


def _too_few_samples(plan: Plan, choice: StaticChoice, facts: dict[str, LayerFacts]) -> list[str]:
    """What to say of samples that do not cover what the model meets."""
    count = len(plan.calibration)
    if plan.held_out is plan.calibration:
        return [
            f"{count} samples only: give {_MIN_SAMPLES} or more, so that some can be held out and compared"
        ]
    by_tensor = choice.candidates.shared.calibration.by_tensor
    tensors = [t for t in choice.candidates.graph.tensors() if id(t) in by_tensor and t.name in facts]
    beyond = [t.name for t in tensors if _goes_beyond(facts[t.name], by_tensor[id(t)])]
    if len(beyond) <= _BEYOND_SHARE * len(tensors):
        return []
    return [
        f"too few samples: {len(beyond)} of {len(tensors)} layers met held-out values more than {_BEYOND:.0%} beyond "
        f"all that {count} calibrated ones showed, first '{beyond[0]}'"
    ]


def _goes_beyond(facts: LayerFacts, seen: Statistics) -> bool:
    margin = _BEYOND * (seen.maximum - seen.minimum)
    return facts.minimum < seen.minimum - margin or facts.maximum > seen.maximum + margin
