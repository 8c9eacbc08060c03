"""The written network against the original: in the runtimes it is for, on consecutive inputs, every output."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.backends import Backend, available, open_backend
from edgewise.errors import BackendUnavailable, EdgewiseError
from edgewise.tensors import Array
from edgewise_converters.agreement import Agreement, Meter
from edgewise_converters.errors import RuntimeMissing, SourceError, VerificationFailed
from edgewise_converters.lower.layout import Layout
from edgewise_converters.reference import Reference
from edgewise_converters.samples import Feed, Sample, Samples
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.schema import operator_kinds

GATES_DB = {
    "fp32": 90.0,
    "source": 12.0,
    "fp16": 40.0,
    "weights8": 20.0,
    "dynamic": 15.0,
    "int8": 12.0,
    "mixed": 12.0,
    "mixed16": 12.0,
    "int16x8": 25.0,
    "int4": 12.0,
}
"""Below this the worst output of a precision is taken for wrong; a classifier may pass by agreement instead."""
GATE_TOP1 = 0.9
_FLOOR_MARGIN_DB = 6.0
"""A file may be this much noisier than onnxruntime is against itself with other kernels."""
MIN_CASES = 8


@dataclass(frozen=True)
class Case:
    """One input and the original model's answer to it."""

    feed: Feed
    expected: dict[str, Array]
    sample: Sample | None = None
    """Where the input is from."""


@dataclass(frozen=True)
class Layouts:
    """How the written file stores the original's inputs and outputs, by name."""

    inputs: Mapping[str, Layout]
    outputs: Mapping[str, Layout]


def reference_cases(reference: Reference, samples: Samples, *, tick: Callable[[], None]) -> list[Case]:
    """The original model's answers. Raises SourceError where an output is nothing but NaN."""
    cases = []
    for sample, feed in samples.read():
        cases.append(Case(feed, reference.run(feed), sample))
        tick()
    for name in cases[0].expected if cases else ():
        _check_numbers(name, [case.expected[name] for case in cases])
    return cases


def _check_numbers(name: str, answers: list[Array]) -> None:
    if all(answer.dtype.kind == "f" and answer.size and np.isnan(answer).all() for answer in answers):
        raise SourceError(
            f"output '{name}': the original answers NaN to all of {len(answers)} inputs, so that nothing can be "
            "checked; its weights are damaged, or it needs --samples of inputs that it knows"
        )


def check_operators(network: bytes) -> None:
    """Raise VerificationFailed for operators outside the builtins: small runtimes cannot run them."""
    foreign = [kind for kind in operator_kinds(network) if kind.startswith(("CUSTOM", "UNKNOWN"))]
    if foreign:
        raise VerificationFailed(
            f"the written file holds operators that are no TFLite builtins: {', '.join(sorted(set(foreign)))}"
        )


def open_runtime(network: bytes, runtime: str, *, threads: int = 1) -> Backend:
    """Open the written network. Raises RuntimeMissing or VerificationFailed."""
    try:
        form = "onnx" if runtime == "onnxruntime" else "tflite"
        return open_backend(network, form, name=runtime, threads=threads)
    except BackendUnavailable as error:
        if not available()[runtime]:
            raise VerificationFailed(f"the written file does not load in {runtime}: {error}") from error
        raise RuntimeMissing(
            f"the target needs its files checked in {runtime}, which does not work here: {available()[runtime]}. "
            "(tflite-runtime 2.14 needs Python 3.11 and NumPy 1: pip install tflite-runtime==2.14.0 'numpy<2')"
        ) from error


def to_stored(backend: Backend, feed: Feed, layouts: Layouts) -> list[Array]:
    """A feed as the file takes it: its layout, and integers where its input is quantized."""
    arrays = []
    for spec in backend.inputs():
        array = feed[spec.name].transpose(layouts.inputs[spec.name])
        if spec.quantization is not None and spec.dtype != "float32":
            array = spec.quantization.quantize(array, spec.dtype)
        arrays.append(np.asarray(array, spec.dtype, order="C"))
    return arrays


def in_order(graph: Graph, feed: Feed, layouts: Layouts) -> list[Array]:
    """A sample as the graph takes it: its inputs' order and layout."""
    return [np.asarray(feed[t.name].transpose(layouts.inputs[t.name]), order="C") for t in graph.inputs]


def run_case(backend: Backend, inputs: list[Array], layouts: Layouts) -> dict[str, Array]:
    """The file's answer as the original shapes it: its axes' order, real numbers."""
    answers = {}
    for spec, array in zip(backend.outputs(), backend.run(inputs), strict=True):
        real = spec.quantization.dequantize(array) if spec.quantization and spec.dtype != "float32" else array
        answers[spec.name] = real.transpose(np.argsort(layouts.outputs[spec.name]))
    return answers


def measure(
    backend: Backend, cases: list[Case], layouts: Layouts, *, classifies: bool, tick: Callable[[], None]
) -> Agreement:
    """Run all cases one after the other in the same interpreter, so that leaking state would show."""
    meter = Meter(classifies=classifies)
    for position, case in enumerate(cases):
        try:
            actual = run_case(backend, to_stored(backend, case.feed, layouts), layouts)
        except EdgewiseError as error:
            raise VerificationFailed(f"the written file fails in {backend.name}: {error}") from error
        _check_shapes(case.expected, actual, {spec.name: spec.shape for spec in backend.outputs()})
        meter.add(case.expected, actual, repeated=any(case is earlier for earlier in cases[:position]))
        tick()
    return meter.result()


def _check_shapes(
    expected: Mapping[str, Array], actual: Mapping[str, Array], stated: Mapping[str, tuple[int, ...]]
) -> None:
    """Only an output of open length, whose number of results depends on the data, may have more or fewer of them."""
    for name, want in expected.items():
        if actual[name].shape != want.shape and -1 not in stated[name]:
            raise VerificationFailed(
                f"the written file gives output '{name}' the shape {actual[name].shape}, the original {want.shape}"
            )


def noise_floor(otherwise: Reference, cases: list[Case]) -> Agreement:
    """What float32 rounding alone amounts to: how far the original is from itself, computed ``otherwise``.

    Its inputs are moved by one unit in the last place, as if they had been rounded once more. Of ONNX that is without
    onnxruntime's optimizations, and with every mean taken in two steps where there is any; of TFLite, without XNNPACK.
    """
    meter = Meter()
    for case in cases:
        meter.add(case.expected, otherwise.run({name: _nudged(array) for name, array in case.feed.items()}))
    otherwise.close()
    return meter.result()


def _nudged(array: Array) -> Array:
    """Every float moved to one of its neighbours, by turns up and down; other types stay."""
    if array.dtype.kind != "f":
        return array
    ends = np.where(np.arange(array.size) % 2, np.inf, -np.inf).reshape(array.shape)
    return np.nextafter(array, ends.astype(array.dtype))


def passes(precision: str, agreement: Agreement, floor: Agreement | None) -> bool:
    """Whether a file of this precision is good enough to be written."""
    floors = {output.name: output.snr_db for output in floor.outputs} if floor else {}
    answers_alike = (
        agreement.top1 is not None and agreement.top1 >= GATE_TOP1 and agreement.distinct >= MIN_CASES
    )
    if precision != "fp32" and answers_alike and agreement.worst_db > 0:
        return True
    gate = GATES_DB[precision]
    return all(
        output.snr_db >= min(gate, floors.get(output.name, math.inf) - _FLOOR_MARGIN_DB)
        for output in agreement.outputs
    )
