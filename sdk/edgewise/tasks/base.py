"""What a task is: the reading of a model's outputs as a typed answer."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from edgewise.anomaly_card import AnomalyCard
from edgewise.detection_card import HEADS, DetectionCard, check_thresholds
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import OBJECT_DETECTION, POSE_ESTIMATION
from edgewise.pose_card import POSE_HEADS, PoseCard
from edgewise.preprocess.geometry import View
from edgewise.preprocess.picture import ImageSource
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray, TensorSpec

MASK_RESAMPLES = ("nearest", "bilinear")


@dataclass(frozen=True)
class Options:
    """What a caller of `load` may say about the task; it wins over what the file says."""

    task: str | None = None
    head: str | DetectionCard | PoseCard | None = None
    score_threshold: float | None = None
    overlap_threshold: float | None = None
    mask_resample: str = "nearest"
    anomaly: AnomalyCard | None = None
    tokenizer: str | os.PathLike[str] | None = None
    near_tie: float = 0.0

    def __post_init__(self) -> None:
        check_thresholds(self.score_threshold, self.overlap_threshold)
        if not 0 <= self.near_tie <= 1:
            raise CardError(f"near_tie: got {self.near_tie}, expected 0 to 1")
        if isinstance(self.head, str) and self.head not in (*HEADS, *POSE_HEADS):
            names = ", ".join(map(repr, dict.fromkeys((*HEADS, *POSE_HEADS))))
            raise CardError(f"head: got {self.head!r}, expected one of {names}")
        is_pose = isinstance(self.head, PoseCard) or self.head in set(POSE_HEADS) - set(HEADS)
        is_box = isinstance(self.head, DetectionCard) or self.head in set(HEADS) - set(POSE_HEADS)
        if (is_pose and self.task == OBJECT_DETECTION) or (is_box and self.task == POSE_ESTIMATION):
            name = self.head if isinstance(self.head, str) else type(self.head).__name__
            raise CardError(f"head: got {name!r} with task {self.task!r}, which it is no head of")
        if self.mask_resample not in MASK_RESAMPLES:
            names = ", ".join(map(repr, MASK_RESAMPLES))
            raise CardError(f"mask_resample: got {self.mask_resample!r}, expected one of {names}")


def task_of_head(head: str | DetectionCard | PoseCard | None) -> str | None:
    """The task that a caller means who says the head and not the task."""
    if isinstance(head, PoseCard) or head in set(POSE_HEADS) - set(HEADS):
        return POSE_ESTIMATION
    return None if head is None else OBJECT_DETECTION


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
    pose: PoseCard | None = None
    """The card's."""


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
    real = float_outputs(outputs, specs)
    for array, spec in zip(real, specs, strict=True):
        if np.isnan(array).any():
            raise InvalidInput(f"output '{spec.name}': the model gave NaN for this picture")
    return real


def float_outputs(outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> list[FloatArray]:
    """The outputs in the model's order, dequantized to float32, whatever they are."""
    return [spec.dequantized(outputs[spec.name]).astype(np.float32, copy=False) for spec in specs]


def label_of(labels: Sequence[str], index: int) -> str:
    """The label, or "" where there is none."""
    return labels[index] if 0 <= index < len(labels) else ""
