"""From a pose network's outputs to the points of bodies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgewise.detection_card import YOLOV8
from edgewise.pose_card import HEATMAP, MOVENET, MOVENET_MULTIPOSE, SIMCC
from edgewise.tasks.heads.base import Facts, mismatch
from edgewise.tasks.heads.yolo import Yolov8Head
from edgewise.tensors import FloatArray


@dataclass(frozen=True, eq=False)
class Bodies:
    """Bodies before suppression, those at or above the score threshold."""

    points_xy: FloatArray
    """[n, k, 2] in pixels of the input."""
    point_scores: FloatArray
    """[n, k]."""
    scores: FloatArray
    """[n]."""
    boxes_xyxy: FloatArray | None = None
    """[n, 4] in pixels of the input."""


class PoseHead(Protocol):
    """Decodes the outputs of one family of networks."""

    name: str
    score_threshold: float
    overlap_threshold: float | None
    """None where nothing is to be suppressed."""

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Bodies:
        """Real-valued outputs of one picture, in the model's order. Raises CardError for other shapes."""


class YoloPoseHead:
    """YOLOv8-pose and YOLO11-pose: the `Yolov8Head` with keypoints, whose third number is their score."""

    name = YOLOV8
    score_threshold = Yolov8Head.score_threshold
    overlap_threshold = Yolov8Head.overlap_threshold

    def __init__(self, facts: Facts) -> None:
        self._head = Yolov8Head(facts)

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Bodies:
        """See `PoseHead.decode`."""
        found = self._head.decode(outputs, min_score)
        assert found.keypoints_xy is not None and found.keypoint_scores is not None  # a card has at least one
        return Bodies(found.keypoints_xy, found.keypoint_scores, found.scores, found.boxes_xyxy)


_MOVENET_SEEN = np.float32(0.2)


class MovenetHead:
    """MoveNet for one body: [1, 1, 17, 3] of y, x as shares of the input, and score (its model card on TF Hub).

    The body's score is the mean of its points of more than 0.2, or 0 where there are none (@tensorflow-models/
    pose-detection, src/movenet/detector.ts, MIN_CROP_KEYPOINT_SCORE).
    """

    name = MOVENET
    score_threshold = 0.0
    overlap_threshold: float | None = None

    def __init__(self, facts: Facts) -> None:
        self._input_wh = np.array(facts.input_wh, np.float32)

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Bodies:
        """See `PoseHead.decode`."""
        if len(outputs) != 1 or outputs[0].shape != (1, 1, 17, 3):
            raise mismatch(self.name, outputs, "[1, 1, 17, 3]")
        points = outputs[0][0]
        scores = points[:, :, 2]
        seen = scores > _MOVENET_SEEN
        mean = (scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1).astype(np.float32)
        return _single(points[:, :, 1::-1] * self._input_wh, scores, min_score, mean)


class MovenetMultiposeHead:
    """MoveNet for six bodies: [1, 6, 56], 17 times y, x, score, then top, left, bottom, right and score.

    Coordinates are shares of the input (its model card on TF Hub); the default threshold is that of TensorFlow's
    example for the Raspberry Pi (lite/examples/pose_estimation/raspberry_pi/ml/movenet_multipose.py).
    """

    name = MOVENET_MULTIPOSE
    score_threshold = 0.11
    overlap_threshold: float | None = None

    def __init__(self, facts: Facts) -> None:
        self._input_wh = np.array(facts.input_wh, np.float32)

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Bodies:
        """See `PoseHead.decode`."""
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[::2] != (1, 56):
            raise mismatch(self.name, outputs, "[1, bodies, 56]")
        rows = outputs[0][0]
        rows = rows[rows[:, 55] >= min_score]
        points = rows[:, :51].reshape(-1, 17, 3)
        boxes = rows[:, [52, 51, 54, 53]] * np.tile(self._input_wh, 2)
        return Bodies(points[:, :, 1::-1] * self._input_wh, points[:, :, 2], rows[:, 55], boxes)


class HeatmapHead:
    """SimpleBaseline, HRNet and their like: [1, k, h, w] or [1, h, w, k], a map of scores for each point.

    The largest cell, along either axis moved a quarter of a cell towards its larger neighbour where it is not at or
    beside the map's border, and cell i at i * stride (mmpose/codecs/msra_heatmap.py and utils/refinement.py,
    refine_keypoints). A point whose largest cell is not more than 0 is at cell -1, -1, as there. One body.
    """

    name = HEATMAP
    score_threshold = 0.0
    overlap_threshold: float | None = None

    def __init__(self, facts: Facts) -> None:
        self._input_wh, self._keypoints = np.array(facts.input_wh, np.float32), facts.keypoints

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Bodies:
        """See `PoseHead.decode`."""
        maps = self._maps(outputs)
        height, width = maps.shape[1:]
        y, x = np.divmod(maps.reshape(len(maps), -1).argmax(axis=1), width)
        each = np.arange(len(maps))
        left, right = maps[each, y, np.maximum(x - 1, 0)], maps[each, y, np.minimum(x + 1, width - 1)]
        upper, lower = maps[each, np.maximum(y - 1, 0), x], maps[each, np.minimum(y + 1, height - 1), x]
        # More than 1 along the axis of the shift, more than 0 across it, as there.
        shifts_x = (x > 1) & (x < width - 1) & (y > 0)
        shifts_y = (y > 1) & (y < height - 1) & (x > 0)
        shift = np.sign(np.stack([(right - left) * shifts_x, (lower - upper) * shifts_y], axis=1))
        cells = np.stack([x, y], axis=1).astype(np.float32) + shift * np.float32(0.25)
        cells[maps[each, y, x] <= 0] = -1
        stride = self._input_wh / np.array([width, height], np.float32)
        return _single((cells * stride)[np.newaxis], maps[each, y, x][np.newaxis], min_score)

    def _maps(self, outputs: Sequence[FloatArray]) -> FloatArray:
        """[k, h, w]."""
        k = self._keypoints
        if len(outputs) == 1 and outputs[0].ndim == 4 and outputs[0].shape[0] == 1:
            is_first, is_last = outputs[0].shape[1] == k, outputs[0].shape[3] == k
            if is_first != is_last:
                maps: FloatArray = outputs[0][0] if is_first else outputs[0][0].transpose(2, 0, 1)
                return maps
        raise mismatch(self.name, outputs, f"[1, {k}, height, width] or [1, height, width, {k}]")


class SimccHead:
    """RTMPose: [1, k, s * width] and [1, k, s * height], a row of scores across and one down for each point.

    The largest place divided by s, and the smaller of both scores; place -1 where that score is not more than 0
    (mmpose/codecs/utils/post_processing.py, get_simcc_maximum, and simcc_label.py). The outputs are told by their
    lengths. One body.
    """

    name = SIMCC
    score_threshold = 0.0
    overlap_threshold: float | None = None

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Bodies:
        """See `PoseHead.decode`."""
        k, (width, height) = self._facts.keypoints, self._facts.input_wh
        fits = len(outputs) == 2 and all(one.ndim == 3 and one.shape[:2] == (1, k) for one in outputs)
        if fits and not _share_a_scale(outputs[0], outputs[1], width, height):
            outputs = outputs[::-1]
        if not fits or not _share_a_scale(outputs[0], outputs[1], width, height):
            raise mismatch(self.name, outputs, f"[1, {k}, s * {width}] and [1, {k}, s * {height}]")
        across, down = outputs[0][0], outputs[1][0]
        split = np.float32(across.shape[1] / width)
        places = np.stack([across.argmax(axis=1), down.argmax(axis=1)], axis=1).astype(np.float32)
        scores: FloatArray = np.minimum(across.max(axis=1), down.max(axis=1))
        places[scores <= 0] = -1
        points = places / split
        return _single(points[np.newaxis], scores[np.newaxis], min_score)


def _share_a_scale(across: FloatArray, down: FloatArray, width: int, height: int) -> bool:
    return across.shape[2] > 0 and across.shape[2] * height == down.shape[2] * width


def _single(
    points_xy: FloatArray, point_scores: FloatArray, min_score: float, score: FloatArray | None = None
) -> Bodies:
    """One body, or none, whose score is its points' mean where none is given."""
    scores: FloatArray = point_scores.mean(axis=1) if score is None else score
    keep = scores >= min_score if min_score > 0 else np.ones(len(scores), bool)
    return Bodies(points_xy[keep], point_scores[keep], scores[keep])


_DECODERS: Mapping[str, Callable[[Facts], PoseHead]] = {
    YOLOV8: YoloPoseHead,
    MOVENET: MovenetHead,
    MOVENET_MULTIPOSE: MovenetMultiposeHead,
    HEATMAP: HeatmapHead,
    SIMCC: SimccHead,
}


def open_pose_head(name: str, facts: Facts) -> PoseHead:
    """The decoder of one of POSE_HEADS."""
    return _DECODERS[name](facts)
