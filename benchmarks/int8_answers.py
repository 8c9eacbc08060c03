"""What a quantized file answers, named and shaped as the original does, and how near that is."""

import itertools
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

from edgewise_converters.agreement import Agreement, Meter

Array = npt.NDArray[np.generic]
Answers = list[dict[str, Array]]
"""One dictionary a sample: outputs by the original's names."""

MOST_AXES_TO_TURN = 4
CASES_TO_MATCH = 3
PROVIDERS = ("CPUExecutionProvider",)
BROKEN_OPTIMIZERS = ("QDQS8ToU8Transformer",)
"""onnxruntime 1.32 cannot load int8 activations with it where weights are per channel."""


@dataclass(frozen=True)
class Figures:
    """How near a file's answers are to the float model's, over all held-out samples."""

    worst_db: float
    mean_db: float
    top1: float | None
    size_bytes: int


def onnx_answers(path: Path, samples: Array) -> Answers:
    """By onnxruntime, with products of 8-bit integers summed without saturation."""
    session = _session(path)
    name = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs()]
    return [
        dict(zip(names, session.run(None, {name: np.ascontiguousarray(sample)}), strict=True))
        for sample in samples
    ]


def _session(path: Path) -> onnxruntime.InferenceSession:
    """The file in onnxruntime; what its optimizer breaks runs unoptimized. Raises onnxruntime's own errors."""
    levels = onnxruntime.GraphOptimizationLevel
    ways = [
        (levels.ORT_ENABLE_ALL, ()),
        (levels.ORT_ENABLE_ALL, BROKEN_OPTIMIZERS),
        (levels.ORT_DISABLE_ALL, ()),
    ]
    for level, disabled in ways:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = level
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            return onnxruntime.InferenceSession(
                path, options, providers=PROVIDERS, disabled_optimizers=list(disabled)
            )
        except Exception:  # it raises types of its own that share no base
            if level == levels.ORT_DISABLE_ALL:
                raise
    raise AssertionError


def tflite_answers(path: Path, samples: Array, reference: Answers) -> Answers:
    """By LiteRT. Names and orders of axes are those under which the answers come nearest to the reference."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, sinks = interpreter.get_input_details()[0], interpreter.get_output_details()
    turn = input_turn(samples.shape[1:], tuple(source["shape"]))
    raw: list[list[Array]] = []
    for sample in samples:
        interpreter.set_tensor(source["index"], _to_integers(sample.transpose(turn), source))
        interpreter.invoke()
        raw.append([_to_reals(interpreter.get_tensor(sink["index"]), sink) for sink in sinks])
    found = _match(raw[:CASES_TO_MATCH], reference[:CASES_TO_MATCH])
    return [{name: answer[i].transpose(axes) for name, (i, axes) in found.items()} for answer in raw]


def input_turn(shape: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The order of axes in which an input of the original is fed; channels last before any other."""
    rank = len(shape)
    usual = [tuple(range(rank)), (0, *range(2, rank), 1)]
    for axes in [*usual, *itertools.permutations(range(rank))]:
        if tuple(shape[a] for a in axes) == tuple(wanted):
            return axes
    raise ValueError(f"the file takes {tuple(wanted)}, expected {tuple(shape)} in some order")


def _match(raw: list[list[Array]], reference: Answers) -> dict[str, tuple[int, tuple[int, ...]]]:
    """By name of the original's output: which output of the file it is, and how its axes are turned back."""
    found = {}
    for name in reference[0]:
        want = np.stack([case[name] for case in reference]).astype(np.float64)
        candidates = []
        for i in range(len(raw[0])):
            got = np.stack([answer[i] for answer in raw]).astype(np.float64)
            candidates += [
                (float(np.square(got.transpose(0, *(a + 1 for a in axes)) - want).sum()), i, axes)
                for axes in _turns(got.shape[1:], want.shape[1:])
            ]
        if not candidates:
            raise ValueError(f"no output has the shape of '{name}', {want.shape[1:]}, in any order")
        _, i, axes = min(candidates)
        found[name] = (i, axes)
    return found


def _turns(shape: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, ...]]:
    if len(shape) != len(wanted):
        return []
    if len(shape) > MOST_AXES_TO_TURN:
        return [tuple(range(len(shape)))] if tuple(shape) == tuple(wanted) else []
    turns = itertools.permutations(range(len(shape)))
    return [axes for axes in turns if tuple(shape[a] for a in axes) == tuple(wanted)]


def judge(path: Path, answers: Answers, reference: Answers, classes_axis: int | None) -> Figures:
    """The figures of a file's answers."""
    meter = Meter()
    for want, got in zip(reference, answers, strict=True):
        meter.add(want, got)
    agreement: Agreement = meter.result()
    decibels = [output.snr_db for output in agreement.outputs]
    top1 = None
    if classes_axis is not None:
        name = next(iter(reference[0]))
        want, got = (np.stack([case[name] for case in cases]) for cases in (reference, answers))
        axis = classes_axis + 1
        top1 = float(np.mean(want.argmax(axis) == got.argmax(axis)))
    return Figures(min(decibels), float(np.mean(decibels)), top1, network_bytes(path))


def network_bytes(path: Path) -> int:
    """The size of a file without the archive at its end, where Edgewise's carry golden cases and card."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return min(info.header_offset for info in archive.infolist())


def _to_integers(values: Array, details: dict[str, Any]) -> Array:
    kind = np.dtype(details["dtype"])
    scale, zero_point = details["quantization"]
    if kind.kind == "f" or not scale:
        return np.ascontiguousarray(values.astype(kind))
    limits = np.iinfo(kind)
    integers = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return np.ascontiguousarray(integers.astype(kind))


def _to_reals(values: Array, details: dict[str, Any]) -> Array:
    scale, zero_point = details["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values
    return np.asarray((values.astype(np.float32) - zero_point) * scale, np.float32)
