"""Answers as the SDK gives them, for tests of rules."""

from collections.abc import Sequence

import numpy as np

import edgewise
from edgewise.tasks.timings import Timings

TIMINGS = Timings(1.0, 2.0, 3.0)


def classification(*pairs: tuple[str, float]) -> edgewise.Classification:
    return edgewise.Classification(
        tuple(edgewise.Category(place, label, score) for place, (label, score) in enumerate(pairs)), TIMINGS
    )


def detections(
    *found: tuple[str, float, tuple[float, float, float, float]], picture_wh: tuple[int, int] = (100, 100)
) -> edgewise.Detections:
    """Of label, score and box in pixels."""
    return edgewise.Detections(
        boxes_xyxy=np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in found], np.float32),
        class_ids=np.zeros(len(found), np.int64),
        labels=tuple(label for label, _, _ in found),
        keypoints_xy=None,
        picture_wh=picture_wh,
        timings=TIMINGS,
    )


def standing(
    label: str, x: float, y: float, *, size: float = 10.0, score: float = 0.9
) -> tuple[str, float, tuple[float, float, float, float]]:
    """A detection whose lower edge's middle is at x, y."""
    return label, score, (x - size / 2, y - size, x + size / 2, y)


def people(*places: Sequence[float]) -> edgewise.Detections:
    return detections(*(standing("person", x, y) for x, y in places))
