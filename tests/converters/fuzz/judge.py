"""Convert a model, and ask the written file by code of its own: nothing of the converter's verification is used.

equal      written, and every answer as onnxruntime gives it
refused    a ConversionError in one line
WRONG      anything else
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter as LiteRT
from converters.fuzz.onnx_nodes import RefusedByOnnxruntime, open_session, run_session
from tflite_runtime.interpreter import Interpreter as OldRuntime

from edgewise.model_file import read_model
from edgewise.tensors import Array
from edgewise_converters import ConversionError, Request, VerificationFailed, convert

RUNTIMES = {"rpi4": LiteRT, "armv7": OldRuntime}
FLOAT32_DB = 90.0
BROKEN_DB = {"fp16": 30.0, "dynamic": 9.0, "int8": 6.0, "mixed16": 6.0}
"""Far below the gates of verify.py: its cases are other inputs than ours, so the figure differs by some dB."""
_ULP = 2.0**-23
_SLACK = 8.0
"""Rounding of a whole float32 kernel is some times that of one input moved by one unit in the last place."""
_PERTURBATIONS = 3


@dataclass(frozen=True)
class Verdict:
    """What became of one conversion."""

    word: str
    reason: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.word == "WRONG"


@dataclass(frozen=True)
class Truth:
    """What onnxruntime answers, and how much its answers move when an input moves by one unit in the last place."""

    feeds: list[dict[str, Array]]
    answers: list[dict[str, Array]]
    noise: dict[str, float]
    """By output: the largest sum of squared differences."""


def truth_of(model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> Truth | None:
    """The truth on those feeds that onnxruntime takes; None where it takes none."""
    try:
        onnx.checker.check_model(model)
        session = open_session(model.SerializeToString(), optimized=True)
        plain = open_session(model.SerializeToString(), optimized=False)
    except (onnx.checker.ValidationError, RefusedByOnnxruntime):
        return None
    names = [output.name for output in session.get_outputs()]
    kept, answers = [], []
    noise = dict.fromkeys(names, 0.0)
    for feed in feeds:
        try:
            answer = dict(zip(names, run_session(session, feed), strict=True))
            others = [run_session(plain, feed)] + [
                run_session(session, _moved(feed, k)) for k in range(_PERTURBATIONS)
            ]
        except RefusedByOnnxruntime:
            continue
        kept.append(feed)
        answers.append(answer)
        for name, *arrays in zip(names, *others, strict=True):
            noise[name] += max(_energy(answer[name], array) for array in arrays)
    return Truth(kept, answers, noise) if kept else None


def _moved(feed: dict[str, Array], seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)

    def move(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        return np.asarray(array * (1 + _ULP * rng.choice([-1, 1], array.shape)), array.dtype)

    return {name: move(array) for name, array in feed.items()}


def save_samples(folder: Path, feeds: list[dict[str, Array]]) -> Path:
    """The inputs as an .npz file that --samples takes."""
    path = folder / "samples.npz"
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name in feeds[0]:  # np.savez takes no name that is a parameter of it, nor one with a folder
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.stack([feed[name] for feed in feeds]))
    return path


def judge(
    path: Path, truth: Truth, *, precision: str = "fp32", target: str = "rpi4", samples: Path | None = None
) -> Verdict:
    """Convert ``path`` and hold the file against the truth; nothing else may appear in the folder of ``path``."""
    before = set(path.parent.iterdir())
    out = path.with_suffix(".tflite")
    request = Request(source=path, target=target, precision=precision, samples=samples, out=out)
    try:
        try:
            result = convert(request)
        except ConversionError as error:
            return _refusal(error, set(path.parent.iterdir()) - before)
        except Exception as error:
            return Verdict("WRONG", f"{type(error).__name__}: {str(error)[:300]}")
        if set(path.parent.iterdir()) - before != {out}:
            return Verdict(
                "WRONG", f"left behind: {sorted(p.name for p in set(path.parent.iterdir()) - before)}"
            )
        reasons = [_differences(out, truth, RUNTIMES[target], result.precision)]
        if target == "rpi4" and precision != "fp32":
            reasons.append(_loads(out, OldRuntime) if precision == "fp16" else "")
        reason = next((reason for reason in reasons if reason), "")
        return Verdict("WRONG", reason) if reason else Verdict("equal")
    finally:
        out.unlink(missing_ok=True)


def _refusal(error: ConversionError, left: set[Path]) -> Verdict:
    text = str(error)
    if left:
        return Verdict("WRONG", f"refused, and left behind {sorted(p.name for p in left)}")
    if len(text.splitlines()) != 1 or len(text) < 20:
        return Verdict("WRONG", f"refused in other than one line: {text!r}")
    return Verdict("unverified" if isinstance(error, VerificationFailed) else "refused", text)


def _loads(path: Path, interpreter_class: Any) -> str:
    try:
        interpreter = interpreter_class(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        return f"{interpreter_class.__module__}: {error}"
    return ""


def _differences(path: Path, truth: Truth, interpreter_class: Any, precision: str) -> str:
    """What is different in any answer, or ""."""
    interpreter = interpreter_class(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    card = read_model(path).card
    assert card is not None
    last = [
        {tensor.name for tensor in ends if tensor.layout == "nhwc"} for ends in (card.inputs, card.outputs)
    ]
    signal = dict.fromkeys(truth.noise, 0.0)
    error = dict.fromkeys(truth.noise, 0.0)
    for feed, expected in zip(truth.feeds, truth.answers, strict=True):
        answers = _ask(interpreter, feed, *last)
        if set(answers) != set(expected):
            return f"outputs are {sorted(answers)}, expected {sorted(expected)}"
        for name, want in expected.items():
            got = answers[name]
            if got.shape != want.shape or (got.dtype != want.dtype and not _may_differ(want.dtype)):
                return f"output {name!r}: {got.dtype} {got.shape}, expected {want.dtype} {want.shape}"
            signal[name] += _energy(want, np.zeros_like(want))
            error[name] += _energy(want, got)
    for name, energy in error.items():
        if energy > allowed(signal[name], truth.noise[name], precision):
            ratio = 10 * np.log10(max(signal[name], 1e-30) / energy) if np.isfinite(energy) else -np.inf
            return f"output {name!r} at {ratio:.1f} dB"
    return ""


def allowed(signal: float, noise: float, precision: str) -> float:
    """The sum of squared errors that a precision may show; float32's own rounding is always granted."""
    decibel = BROKEN_DB.get(precision, FLOAT32_DB)
    return signal * 10 ** (-decibel / 10) + _SLACK * noise


def _may_differ(dtype: np.dtype) -> bool:
    return dtype in (np.float64, np.float16)


def _ask(interpreter: Any, feed: dict[str, Array], last_in: set[str], last_out: set[str]) -> dict[str, Array]:
    for detail in interpreter.get_input_details():
        name = detail["name"]
        array, stored = feed[name], tuple(map(int, detail["shape"]))
        array = array.transpose(0, 2, 3, 1) if name in last_in and _is_turned(array, stored) else array
        if array.shape != stored:
            raise AssertionError(f"input {name!r} takes {stored}, got {array.shape}")
        interpreter.set_tensor(detail["index"], np.asarray(_quantized(array, detail), order="C"))
    interpreter.invoke()
    answers = {}
    for detail in interpreter.get_output_details():
        array = _real(interpreter.get_tensor(detail["index"]), detail)
        answers[detail["name"]] = array.transpose(0, 3, 1, 2) if detail["name"] in last_out else array
    return answers


def _is_turned(array: Array, stored: tuple[int, ...]) -> bool:
    """Whether an input whose card says nhwc is the original's, turned; an original may take channels last itself."""
    if tuple(array.shape[axis] for axis in (0, 2, 3, 1)) != stored:
        return False
    is_last = array.shape[0] == 1 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3)
    return not (is_last and array.shape == stored)


def _quantized(array: Array, detail: dict[str, Any]) -> Array:
    scale, zero = detail["quantization"]
    if scale and detail["dtype"] is np.int8 and array.dtype.kind == "f":
        return np.clip(np.round(array / scale) + zero, -128, 127).astype(np.int8)
    return array.astype(detail["dtype"]).reshape(detail["shape"])


def _real(array: Array, detail: dict[str, Any]) -> Array:
    scale, zero = detail["quantization"]
    return ((array.astype(np.float32) - zero) * np.float32(scale)) if scale else array


def _energy(want: Array, got: Array) -> float:
    """The sum of squared differences; infinite where one side alone is NaN or infinite."""
    if want.shape != got.shape:
        return np.inf
    want, got = want.astype(np.float64), got.astype(np.float64)
    same = (want == got) | (np.isnan(want) & np.isnan(got))
    if want.size and not np.any(got) and np.any(~np.isfinite(want)):
        want = np.where(np.isfinite(want), want, 0.0)  # the signal of what is finite
        same = want == got
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, want - got)
    return np.inf if not np.isfinite(difference).all() else float(np.sum(np.square(difference)))
