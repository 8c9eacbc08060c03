"""Diagnosis of a file that is written already, ours or another's, against the model it was made from."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgewise.tensors import Array, TensorSpec
from edgewise_converters.agreement import IDENTICAL_DB
from edgewise_converters.diagnosis.causes import Evidence, causes_of
from edgewise_converters.diagnosis.findings import Diagnosis, LayerDiagnosis
from edgewise_converters.errors import SourceError
from edgewise_converters.layer_facts import LayerFacts, LayerMeter
from edgewise_converters.layers import CONVERSIONS
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.matching import Pair, match_tensors
from edgewise_converters.original import Original
from edgewise_converters.plan import Plan, make_plan
from edgewise_converters.progress import Progress, Silent
from edgewise_converters.readers.source import TFLITE, format_of
from edgewise_converters.request import Request, read_labels
from edgewise_converters.samples import Samples
from edgewise_converters.targets import load_target
from edgewise_converters.tflite.activations import Activations
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.trial import try_file
from edgewise_converters.tflite.writer import serialize

_SAMPLES = 16


def diagnose_pair(request: Request, written: Path, progress: Progress | None = None) -> Diagnosis:
    """Hold every layer of ``written`` that has a counterpart in the original's float graph against it.

    Raises ConversionError for files that cannot be read or whose inputs do not match.
    """
    progress = progress or Silent()
    if format_of(written) != TFLITE:
        raise SourceError(f"--against {written}: got another format, expected a .tflite file")
    try_file(written)
    with Original(request.source, shapes=request.shapes, values=request.values) as original:
        source, lowered = original.lower(progress.stage)
        labels = read_labels(request.labels)
        plan = make_plan(request, load_target(request.target), labels, source, lowered, progress.notice)
    some = plan.held_out.only(plan.held_out.sources[:_SAMPLES])
    progress.stage("Measuring every layer", len(some))
    twin = Activations(serialize(lowered.graph, description="float", metadata={}))
    other = Activations(written.read_bytes())
    try:
        meter = _metered(twin, other, plan, some, progress)
        facts = meter.result()
        unmatched = _unmatched(other, facts)
    finally:
        twin.close()
        other.close()
    found = _diagnosis(lowered, facts, plan, len(some), unmatched)
    if not meter.by_order:
        return found
    return replace(
        found, notes=(f"names differ: {meter.by_order} layers are matched by their order, kind and shape",)
    )


def _metered(
    twin: Activations, other: Activations, plan: Plan, samples: Samples, progress: Progress
) -> LayerMeter:
    pairs = match_tensors("input", [_spec(t) for t in twin.graph.inputs], other.inputs)
    meter = LayerMeter(twin, other)
    for feed in samples.feeds():
        own = {
            name: np.asarray(array.transpose(plan.layouts.inputs[name]), order="C")
            for name, array in feed.items()
        }
        meter.add(own, {pair.second.name: _moved(pair, own[pair.first.name]) for pair in pairs})
        progress.tick()
    return meter


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.shape, tensor.dtype.name)


def _moved(pair: Pair, array: Array) -> Array:
    return np.asarray(pair.to_second(array, pair.second.shape), order="C")


def _unmatched(other: Activations, facts: tuple[LayerFacts, ...]) -> int:
    """Operators between the layers that could be measured."""
    operators = [o for o in other.graph.operators if o.kind not in CONVERSIONS]
    return max(len(operators) - sum(bool(layer.kind) and layer.kind not in CONVERSIONS for layer in facts), 0)


def _diagnosis(
    lowered: LoweredGraph, facts: tuple[LayerFacts, ...], plan: Plan, samples: int, unmatched: int
) -> Diagnosis:
    by_name = {layer.name: layer for layer in facts}
    producers = {o.output.name: o for o in lowered.graph.operators}
    ends = [by_name[t.name] for t in lowered.graph.outputs if t.name in by_name]
    layers = []
    for layer in facts:
        operator = producers.get(layer.name)
        inputs = [t for t in operator.inputs if t is not None] if operator else []
        evidence = Evidence(layer, tuple(by_name[t.name] for t in inputs if t.name in by_name), operator)
        if layer.kind:
            layers.append(
                LayerDiagnosis(
                    layer.name,
                    layer.kind,
                    layer.precision,
                    layer.snr_db,
                    None,
                    None,
                    None,
                    layer.grid_db,
                    causes_of(evidence),
                )
            )
    noise = [10 ** (-end.snr_db / 10) for end in ends]
    return Diagnosis(
        precision="as it is",
        outputs_db=-10 * math.log10(max(sum(noise) / len(noise), 1e-20)) if noise else -IDENTICAL_DB,
        layers=tuple(sorted(layers, key=lambda layer: layer.snr_db)),
        applied=(),
        notes=(),
        measured_on=plan.samples.described,
        samples=samples,
        unmatched=unmatched,
    )
