"""What is asked of a conversion, what comes of it, and the checks that need no model."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgewise.model_card import ModelCard
from edgewise_converters.agreement import Agreement
from edgewise_converters.errors import ConversionError
from edgewise_converters.survey import Accuracy


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to convert, and how."""

    source: Path
    target: str
    format: str = "tflite"
    """tflite, or onnx for onnxruntime."""
    engine: str = "auto"
    """auto (our own lowering, else the second converter), edgewise or onnx2tf."""
    precision: str = "auto"
    samples: Path | None = None
    preprocess: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    """By name of input: the one number it always is."""
    layouts: Mapping[str, str] = field(default_factory=dict)
    """By name of input, or "" for the only one: nchw or nhwc, as the app feeds it."""
    labels: Path | None = None
    out: Path | None = None
    calibration: str = "auto"
    rescue: bool = True
    """Whether parts that lose most in int8 may leave it where that costs little."""
    weights: str = "per-channel"
    """per-channel or per-tensor: how many scales the weights of a static precision have."""
    activations: str = "asymmetric"
    """asymmetric or symmetric: whether int8 activations have a zero point."""
    smallest: bool = False
    """int4: also in convolutions, which makes them slower than float32."""
    ends: str = ""
    """float, int8 or uint8: what real inputs and outputs are; "" for int8 pictures in and floats out."""
    task: str | None = None
    head: str | None = None
    """Of a detector: how its outputs are read, a key of the SDK's heads."""
    describe: Path | None = None
    """A TOML or JSON file with what only the model's maker knows (see `described.Description`)."""
    feedback: Mapping[str, str] = field(default_factory=dict)
    """Of a recurrent model: output name to the input that takes it next; `described.AUTO_FEEDBACK` to find out."""
    max_drop: float | None = None
    """The largest share of first answers that may be lost, by a one-sided 95 % bound."""
    licence: str = ""
    report: Path | None = None
    """Where to write the page about the conversion."""
    command: str = ""


@dataclass(frozen=True)
class Result:
    """What was written, and how well it answers."""

    path: Path
    size_bytes: int
    source_bytes: int
    target: str
    precision: str
    agreement: dict[str, Agreement]
    """By runtime."""
    floor: Agreement | None
    measured_on: str
    notices: tuple[str, ...]
    skipped_samples: int
    card: ModelCard
    accuracy: Accuracy | None = None
    """Where samples say their class, or a largest drop was asked for."""


def output_path(request: Request) -> Path:
    """Where the file will be. Raises ConversionError early for a place that cannot be written to."""
    suffix = f".{request.format}"
    path = request.out or Path(f"{request.source.stem}-{request.target}{suffix}")
    try:
        return _writable(path, request.source, suffix)
    except OSError as error:  # a name too long, a loop of links
        raise ConversionError(f"--out {path}: cannot be written: {error.strerror}") from error


def _writable(path: Path, source: Path, suffix: str) -> Path:
    if path.is_dir():
        raise ConversionError(f"--out {path}: this is a folder, expected a file name ending in {suffix}")
    if path.exists() and source.exists() and path.samefile(source):
        raise ConversionError(f"--out {path}: this is the model to convert, which is never overwritten")
    if path.suffix != suffix:
        raise ConversionError(f"--out {path}: the name ends in '{path.suffix}', expected {suffix}")
    folder = path.parent
    if not folder.is_dir():
        raise ConversionError(f"--out {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise ConversionError(f"--out {path}: the folder {folder} cannot be written to")
    return path


def read_labels(path: Path | None) -> tuple[str, ...]:
    """One label a line; none without a file."""
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"--labels {path}: cannot be read as text, one label a line: {error}"
        ) from error
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not labels:
        raise ConversionError(f"--labels {path}: the file is empty, expected one label a line")
    return labels
