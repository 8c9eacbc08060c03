"""YOLO heads: one output, boxes already in pixels of the input."""

from collections.abc import Sequence

import numpy as np

from edgewise.detection_card import YOLOV5, YOLOV8
from edgewise.tasks.boxes import xyxy_from_cxcywh
from edgewise.tasks.heads.base import Candidates, Facts, mismatch
from edgewise.tensors import Array, FloatArray

_POINT_NUMBERS = 3
"""x, y and visibility, of every keypoint (Ultralytics' pose head, kpt_shape [k, 3])."""


class Yolov8Head:
    """YOLOv8, v9 and v11 as Ultralytics exports them: [1, 4 + C + 3k, N] or [1, N, 4 + C + 3k].

    A column is cx, cy, w, h in pixels of the input, C class probabilities, and k keypoints of x, y,
    visibility (Ultralytics, nn/modules/head.py, Detect and Pose). A box counts once, with its best class,
    where the score is more than the threshold (utils/nms.py, non_max_suppression, as its predictors call it).
    Default thresholds are those of ultralytics/cfg/default.yaml (conf, iou).
    """

    name = YOLOV8
    score_threshold = 0.25
    overlap_threshold: float | None = 0.7
    labels: tuple[str, ...] = ()

    def __init__(self, facts: Facts) -> None:
        self._extra = 4 + _POINT_NUMBERS * facts.keypoints
        self._keypoints, self._labels = facts.keypoints, len(facts.labels)

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """See `Head.decode`."""
        rows = self._rows(outputs)
        ends = rows.shape[1] - _POINT_NUMBERS * self._keypoints
        class_ids, scores = _best(rows[:, 4:ends])
        keep = scores > min_score
        rows = rows[keep]
        boxes = xyxy_from_cxcywh(rows[:, :4])
        if not self._keypoints:
            return Candidates(boxes, scores[keep], class_ids[keep])
        points = rows[:, ends:].reshape(len(rows), self._keypoints, _POINT_NUMBERS)
        return Candidates(boxes, scores[keep], class_ids[keep], points[:, :, :2], points[:, :, 2])

    def _rows(self, outputs: Sequence[FloatArray]) -> FloatArray:
        """[N, 4 + C + 3k], whichever way the output lies."""
        expected = f"one of [1, {self._extra} + classes, boxes] or [1, boxes, {self._extra} + classes]"
        if self._labels:
            expected = expected.replace("classes", str(self._labels))
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[0] != 1:
            raise mismatch(self.name, outputs, expected)
        answer: FloatArray = outputs[0][0]
        channels = self._extra + self._labels
        first, last = answer.shape
        if self._labels:
            is_first, is_last = first == channels, last == channels
        else:
            is_first, is_last = self._extra < first < last, self._extra < last < first
        if is_first == is_last:
            doubt = "" if self._labels else "; with labels= it is told which of them are the classes"
            raise mismatch(self.name, outputs, expected + doubt)
        return answer.T if is_first else answer


class Yolov5Head:
    """YOLOv5 and v7: [1, N, 5 + C], a row being cx, cy, w, h in pixels of the input, objectness, C classes.

    The score is objectness times the best class's probability (ultralytics/yolov5, utils/general.py,
    non_max_suppression, whose thresholds are the defaults here).
    """

    name = YOLOV5
    score_threshold = 0.25
    overlap_threshold: float | None = 0.45
    labels: tuple[str, ...] = ()

    def __init__(self, facts: Facts) -> None:
        self._labels = len(facts.labels)

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """See `Head.decode`."""
        classes = str(self._labels) if self._labels else "classes"
        is_one = len(outputs) == 1 and outputs[0].ndim == 3 and outputs[0].shape[0] == 1
        width = outputs[0].shape[2] if is_one else 0
        if width < 6 or (self._labels and width != 5 + self._labels):
            raise mismatch(self.name, outputs, f"[1, boxes, 5 + {classes}]")
        rows = outputs[0][0]
        class_ids, scores = _best(rows[:, 5:] * rows[:, 4:5])
        keep = scores > min_score
        return Candidates(xyxy_from_cxcywh(rows[keep, :4]), scores[keep], class_ids[keep])


def _best(scores: FloatArray) -> tuple[Array, FloatArray]:
    """Of each row the best class and its score; the lower of equal ones."""
    class_ids = scores.argmax(axis=1)
    return class_ids, np.take_along_axis(scores, class_ids[:, np.newaxis], axis=1)[:, 0]
