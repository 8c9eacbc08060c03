"""What a task is: the reading of a model's outputs as a typed answer."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from edgewise.anomaly_card import AnomalyCard
from edgewise.detection_card import DetectionCard, check_thresholds
from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.geometry import View
from edgewise.preprocess.picture import ImageSource
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray, TensorSpec

MASK_RESAMPLES = ("nearest", "bilinear")


@dataclass(frozen=True)
class Options:
    """What a caller of `load` may say about the task; it wins over what the file says."""

    task: str | None = None
    head: str | DetectionCard | None = None
    score_threshold: float | None = None
    overlap_threshold: float | None = None
    mask_resample: str = "nearest"
    anomaly: AnomalyCard | None = None
    tokenizer: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_thresholds(self.score_threshold, self.overlap_threshold)
        if isinstance(self.head, str):
            DetectionCard(self.head)  # an unknown name is refused before the model is opened
        if self.mask_resample not in MASK_RESAMPLES:
            names = ", ".join(map(repr, MASK_RESAMPLES))
            raise CardError(f"mask_resample: got {self.mask_resample!r}, expected one of {names}")


@dataclass(frozen=True)
class Setup:
    """Everything a task is made from."""

    path: Path
    input_wh: tuple[int, int]
    outputs: tuple[TensorSpec, ...]
    activation: str = ""
    """Of the first output: logits, probabilities, or "" when unknown."""
    labels: tuple[str, ...] = ()
    detection: DetectionCard | None = None
    """The card's."""
    options: Options = Options()


class Answer(Protocol):
    """What every task answers with; pictures' answers that can be drawn have ``draw(image)`` too."""

    @property
    def timings(self) -> Timings:
        """Where the time went."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""

    def lines(self) -> list[str]:
        """For a person, a line each."""


class Drawable(Protocol):
    """An answer that can be shown on its picture."""

    def draw(self, image: ImageSource) -> Image.Image:
        """The picture, upright and in RGB, with the answer on it."""


class Task(Protocol):
    """Reads a model's outputs. Made from a `Setup`; raises CardError then, when the file says too little."""

    def answer(self, outputs: Mapping[str, Array], view: View, *, top: int | None, watch: Stopwatch) -> Any:
        """The typed answer, an `Answer`. ``view`` says which part of the picture the input showed.

        ``top`` is how many answers are wanted at most, None for the task's own number. Raises InvalidInput
        when the outputs are NaN, CardError when they have shapes that the task cannot read.
        """


def real_outputs(outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> list[FloatArray]:
    """The outputs in the model's order, dequantized to float32. Raises InvalidInput for NaN."""
    real = [spec.dequantized(outputs[spec.name]).astype(np.float32, copy=False) for spec in specs]
    for array, spec in zip(real, specs, strict=True):
        if np.isnan(array).any():
            raise InvalidInput(f"output '{spec.name}': the model gave NaN for this picture")
    return real


def label_of(labels: Sequence[str], index: int) -> str:
    """The label, or "" where there is none."""
    return labels[index] if 0 <= index < len(labels) else ""
