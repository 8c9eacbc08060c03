"""What every head's decoder takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgewise.errors import CardError
from edgewise.tensors import Array, FloatArray


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes before suppression, those that the score threshold lets through, in the order of the network."""

    boxes_xyxy: FloatArray
    """[n, 4] in pixels of the input, not clipped."""
    scores: FloatArray
    """[n]."""
    class_ids: Array
    """int64 [n]."""
    keypoints_xy: FloatArray | None = None
    """[n, k, 2] in pixels of the input."""
    keypoint_scores: FloatArray | None = None
    """[n, k]."""
    compared_xyxy: FloatArray | None = None
    """[n, 4]: what suppression measures overlaps of, where the head's authors do not take the boxes themselves."""
    is_blended: bool = False
    """Whether overlapping boxes become their mean, weighted by score, rather than the best of them."""


class Head(Protocol):
    """Decodes the outputs of one family of networks."""

    name: str
    score_threshold: float
    """The default; where its authors have one, theirs."""
    overlap_threshold: float | None
    """The default; None where the network's answers are suppressed already."""
    labels: tuple[str, ...]
    """Of its classes where they are always the same, for files that name none."""

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """Real-valued outputs of one picture, in the model's order. Raises CardError for other shapes.

        Whether a score equal to ``min_score`` passes is as in the head's reference implementation.
        """


@dataclass(frozen=True)
class Facts:
    """What a decoder may need to know beside the outputs."""

    input_wh: tuple[int, int]
    labels: tuple[str, ...] = ()
    keypoints: int = 0
    output_names: tuple[str, ...] = ()


def shapes_text(outputs: Sequence[FloatArray] | Sequence[tuple[int, ...]]) -> str:
    """The outputs' shapes for a message."""
    shapes = [output if isinstance(output, tuple) else output.shape for output in outputs]
    return ", ".join(str(list(shape)) for shape in shapes)


def mismatch(head: str, outputs: Sequence[FloatArray], expected: str) -> CardError:
    """The error for outputs that this head cannot have made."""
    return CardError(
        f"head '{head}': got outputs {shapes_text(outputs)}, expected {expected}; "
        "say which head it is with load(..., head=...) or in the card"
    )


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)) without overflow: exp of -80 is still a normal float32."""
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(values, -80, 80)))
