"""When two models' answers to one input are alike: one rule for each kind of answer, all in `RULES`.

Every rule says yes or no for one answer of the current model and one of the candidate, and names the group of the
current one's answer, such as its label: an update that agrees on the silence between the words and on none of the words
must not pass for it. docs/agent/updates.md tells the same to people.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise.tasks.anomaly import Anomaly
from edgewise.tasks.audio_classification import AudioClassification
from edgewise.tasks.boxes import overlaps
from edgewise.tasks.classification import Classification
from edgewise.tasks.detection import Detections
from edgewise.tasks.embedding import Embedding
from edgewise.tasks.pose import SEEN, Poses
from edgewise.tasks.segmentation import UNSEEN, Segmentation
from edgewise.tensors import Array
from edgewise_agent.updates.settings import AlikeSettings

EVEN = 0.5
"""A probability on the other side of it is another verdict."""
SMALLEST = 1e-12
"""A tensor of zeros has no relative error; what is below counts as zero."""


@dataclass(frozen=True)
class Rule:
    """For one kind of answer."""

    is_alike: Callable[[Any, Any, AlikeSettings], bool]
    """The current model's answer, the candidate's, the limits."""
    group: Callable[[Any], str]
    """Of the current model's answer; "" where all are one group."""
    neighbours: Callable[[AlikeSettings], int] = lambda limits: 0
    """So many answers before and after the one at the same time may be the one that is alike."""


def rule_of(answer: Any, *, remembers: bool) -> Rule:
    """For this answer of the current model, which ``remembers`` or does not."""
    if remembers and _probability(answer) is not None:
        return SPEECH
    for kind, rule in RULES:
        if isinstance(answer, kind):
            return rule
    return SAME


def is_alike(rule: Rule, own: Any, other: Any, limits: AlikeSettings) -> bool:
    """By ``rule``; answers of different kinds never are."""
    return type(own) is type(other) and rule.is_alike(own, other, limits)


def _label(answer: Classification) -> str:
    return answer.top.label or f"#{answer.top.index}"


def _same_label(own: Classification, other: Classification, limits: AlikeSettings) -> bool:
    return _label(own) == _label(other)


def _same_boxes(own: Detections, other: Detections, limits: AlikeSettings) -> bool:
    """Boxes of one label are matched, best overlap first; the F1 score of the matches is what counts."""
    labels, other_labels = ([one.name for one in found] for found in (own, other))
    shares = np.array([overlaps(box, other.boxes_xyxy) for box in own.boxes_xyxy]).reshape(
        len(own), len(other)
    )
    is_same = np.array([[a == b for b in other_labels] for a in labels], bool).reshape(shares.shape)
    matched = _matches(np.where(is_same, shares, 0.0), limits.iou)
    return _f1(matched, len(own), len(other)) >= limits.matched


def _same_poses(own: Poses, other: Poses, limits: AlikeSettings) -> bool:
    """Bodies are matched by how near their points are, against the size of the body."""
    if len(own) and len(other) and own.keypoints_xy.shape[1] != other.keypoints_xy.shape[1]:
        return False
    near = np.zeros((len(own), len(other)))
    for i, (points, scores) in enumerate(zip(own.keypoints_xy, own.keypoint_scores, strict=True)):
        seen = scores >= SEEN if (scores >= SEEN).any() else np.ones(len(scores), bool)
        size = max(float(np.linalg.norm(np.ptp(points[seen], axis=0))), 1.0)
        off = np.linalg.norm(other.keypoints_xy[:, seen] - points[seen], axis=2).mean(axis=1) / size
        near[i] = 1.0 - off
    matched = _matches(near, 1.0 - limits.keypoints)
    return _f1(matched, len(own), len(other)) >= limits.matched


def _same_pixels(own: Segmentation, other: Segmentation, limits: AlikeSettings) -> bool:
    """The share of the pixels that both looked at and call alike; classes go by their labels, in any order."""
    if own.class_map.shape != other.class_map.shape:
        return False
    theirs = _renumbered(other, own)
    both = (own.class_map != UNSEEN) & (other.class_map != UNSEEN)
    return not both.any() or float((own.class_map[both] == theirs[both]).mean()) >= limits.pixels


def _near_direction(own: Embedding, other: Embedding, limits: AlikeSettings) -> bool:
    return own.vector.shape == other.vector.shape and own.cosine(other) >= limits.cosine


def _same_verdict(own: Anomaly, other: Anomaly, limits: AlikeSettings) -> bool:
    """Scores of two models have no common unit; only where neither has a threshold are they compared."""
    if own.threshold is None and other.threshold is None:
        return abs(other.score - own.score) <= limits.relative_error * max(abs(own.score), SMALLEST)
    if own.threshold is None or other.threshold is None:
        return False
    return own.is_anomalous == other.is_anomalous


def _same_tensors(own: Mapping[str, Array], other: Mapping[str, Array], limits: AlikeSettings) -> bool:
    """Each of the current model's outputs: the norm of the difference over its own norm."""
    return all(
        name in other and _error(values, other[name]) <= limits.relative_error for name, values in own.items()
    )


def _same_speech(own: Mapping[str, Array], other: Mapping[str, Array], limits: AlikeSettings) -> bool:
    mine, theirs = _probability(own), _probability(other)
    if mine is None or theirs is None:
        return False
    return (mine >= EVEN) == (theirs >= EVEN) or abs(mine - theirs) <= limits.probability


def _probability(answer: Any) -> float | None:
    """The one number from 0 to 1 that is all the answer there is."""
    if not isinstance(answer, Mapping) or len(answer) != 1:
        return None
    (values,) = answer.values()
    if values.size != 1 or not 0.0 <= float(values.ravel()[0]) <= 1.0:
        return None
    return float(values.ravel()[0])


def _speech_group(answer: Mapping[str, Array]) -> str:
    return "yes" if (_probability(answer) or 0.0) >= EVEN else "no"


def _anomaly_group(answer: Anomaly) -> str:
    return "" if answer.threshold is None else "anomalous" if answer.is_anomalous else "normal"


def _found_group(answer: Detections | Poses) -> str:
    return "something" if len(answer) else "nothing"


def _no_group(answer: Any) -> str:
    return ""


def _matches(likeness: Array, at_least: float) -> int:
    """How many pairs there are when the likest go first, each row and column once."""
    left = np.array(likeness, float)
    matched = 0
    while left.size:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        if left[row, column] < at_least:
            break
        matched += 1
        left[row, :] = left[:, column] = -np.inf
    return matched


def _f1(matched: int, own: int, other: int) -> float:
    return 2 * matched / (own + other) if own + other else 1.0


def _renumbered(other: Segmentation, own: Segmentation) -> Array:
    """The other one's map in the class ids of the own one; a class that only the other knows is -2."""
    if not own.labels or not other.labels or own.labels == other.labels:
        return other.class_map
    ids = {label: index for index, label in enumerate(own.labels)}
    table = np.array([*(ids.get(label, -2) for label in other.labels), UNSEEN], np.int32)
    known = np.clip(other.class_map, -1, len(other.labels) - 1)
    return np.asarray(table[known])  # -1 is the last of the table


def _error(own: Array, other: Array) -> float:
    """Relative, 0 for equal tensors; infinite for other shapes and for numbers that are none."""
    if own.shape != other.shape:
        return np.inf
    wide, others = own.astype(np.float64), other.astype(np.float64)
    if not np.isfinite(wide).all():
        return 0.0 if np.array_equal(wide, others, equal_nan=True) else np.inf
    off = float(np.linalg.norm(others - wide))
    return off / max(float(np.linalg.norm(wide)), SMALLEST) if np.isfinite(off) else np.inf


def _are_equal(own: Any, other: Any, limits: AlikeSettings) -> bool:
    return str(own) == str(other)


SPEECH = Rule(_same_speech, _speech_group)
"""Voice activity: the one probability of a model with a state."""
SAME = Rule(_are_equal, _no_group)
RULES: tuple[tuple[type, Rule], ...] = (
    (AudioClassification, Rule(_same_label, _label, lambda limits: limits.windows)),
    (Classification, Rule(_same_label, _label)),
    (Detections, Rule(_same_boxes, _found_group)),
    (Poses, Rule(_same_poses, _found_group)),
    (Segmentation, Rule(_same_pixels, _no_group)),
    (Embedding, Rule(_near_direction, _no_group)),
    (Anomaly, Rule(_same_verdict, _anomaly_group)),
    (Mapping, Rule(_same_tensors, _no_group)),
)
"""By kind of answer, the first that fits."""
