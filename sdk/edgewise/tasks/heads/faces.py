"""Face detectors with landmarks: YuNet and BlazeFace."""

from collections.abc import Sequence

import numpy as np

from edgewise.detection_card import BLAZEFACE, YUNET
from edgewise.tasks.boxes import xyxy_from_cxcywh
from edgewise.tasks.heads.base import Candidates, Facts, mismatch, sigmoid
from edgewise.tensors import FloatArray

YUNET_STRIDES = (8, 16, 32)
YUNET_POINTS = 5
"""Right eye, left eye, nose tip, right and left corner of the mouth."""
BLAZEFACE_POINTS = 6
"""Right eye, left eye, nose tip, mouth, right and left ear."""


class YunetHead:
    """YuNet: four maps at each of the strides 8, 16, 32, with one row for each cell, row by row.

    cls and obj [1, cells, 1], whose clipped product's square root is the score; bbox [1, cells, 4], centre
    in cells from the cell's corner and logarithm of width and height in cells; kps [1, cells, 10], five
    points likewise (opencv/modules/objdetect/src/face_detect.cpp, postProcess). cls and obj enter alike, so
    the outputs are told by their shapes alone. As there a score must be more than the threshold, and suppression
    compares boxes whose corner and size were cut to whole pixels. Default thresholds are those of
    FaceDetectorYN::create.
    """

    name = YUNET
    score_threshold = 0.9
    overlap_threshold: float | None = 0.3
    labels: tuple[str, ...] = ("face",)

    def __init__(self, facts: Facts) -> None:
        width, height = facts.input_wh
        self._grids = [_corners(width // stride, height // stride) for stride in YUNET_STRIDES]

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """See `Head.decode`."""
        parts = [
            _yunet_boxes(*self._maps(outputs, len(grid)), grid, stride, min_score)
            for grid, stride in zip(self._grids, YUNET_STRIDES, strict=True)
        ]
        centred, scores, points = (np.concatenate(part) for part in zip(*parts, strict=True))
        boxes = xyxy_from_cxcywh(centred)
        corners = np.trunc(boxes[:, :2])
        cut = np.concatenate([corners, corners + np.trunc(centred[:, 2:])], axis=1)
        return Candidates(boxes, scores, np.zeros(len(scores), np.int64), points, compared_xyxy=cut)

    def _maps(self, outputs: Sequence[FloatArray], cells: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Scores [cells], boxes [cells, 4] and points [cells, 10] of one stride."""
        found = [
            [output.reshape(cells, size) for output in outputs if output.shape == (1, cells, size)]
            for size in (1, 4, 2 * YUNET_POINTS)
        ]
        if len(outputs) != 12 or [len(maps) for maps in found] != [2, 1, 1]:
            raise mismatch(
                self.name,
                outputs,
                f"two [1, {cells}, 1], one [1, {cells}, 4] and one [1, {cells}, 10] of twelve",
            )
        (first, second), (boxes,), (points,) = found
        scores: FloatArray = np.sqrt(np.clip(first, 0, 1) * np.clip(second, 0, 1))[:, 0]
        return scores, boxes, points


def _corners(columns: int, rows: int) -> FloatArray:
    """[rows * columns, 2]: x and y of every cell, in cells."""
    down, across = np.mgrid[:rows, :columns]
    corners: FloatArray = np.stack([across.ravel(), down.ravel()], axis=1).astype(np.float32)
    return corners


def _yunet_boxes(
    scores: FloatArray,
    boxes: FloatArray,
    points: FloatArray,
    grid: FloatArray,
    stride: int,
    min_score: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centres and sizes [n, 4], scores [n] and points [n, 5, 2] of one stride, in pixels of the input."""
    keep = scores > min_score
    boxes, grid = boxes[keep], grid[keep]
    sizes = np.exp(boxes[:, 2:])
    centred = np.concatenate([boxes[:, :2] + grid, sizes], axis=1) * np.float32(stride)
    spots = (points[keep].reshape(-1, YUNET_POINTS, 2) + grid[:, np.newaxis]) * np.float32(stride)
    return centred, scores[keep], spots


class BlazefaceHead:
    """MediaPipe's face detectors: regressors [1, N, 16] and logits [1, N, 1], N anchors.

    A row of regressors is cx, cy, w, h and six points of x, y, in pixels of the input, from the anchor's
    centre (mediapipe/calculators/tensor/tensors_to_detections_calculator.cc with reverse_output_order). The
    anchors are those of mediapipe/modules/face_detection: 896 for the short range (two on each of 16 x 16
    cells, six on each of 8 x 8: strides 8, 16, 16, 16 at 128 pixels; as many at 256), 2304 for the full
    range (one on each of 48 x 48 cells), all of the input's size. Overlapping boxes and
    their points become their mean, weighted by score, with the best score (mediapipe/calculators/util/
    non_max_suppression_calculator.cc, WEIGHTED). Default thresholds are those of its
    face_detection_short_range.pbtxt (min_score_thresh, min_suppression_threshold).
    """

    name = BLAZEFACE
    score_threshold = 0.5
    overlap_threshold: float | None = 0.3
    labels: tuple[str, ...] = ("face",)

    def __init__(self, facts: Facts) -> None:
        self._input_wh = np.array(facts.input_wh, np.float32)

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """See `Head.decode`."""
        numbers = 4 + 2 * BLAZEFACE_POINTS
        boxes = [output[0] for output in outputs if output.ndim == 3 and output.shape[::2] == (1, numbers)]
        logits = [output[0, :, 0] for output in outputs if output.ndim == 3 and output.shape[::2] == (1, 1)]
        count = len(boxes[0]) if boxes else 0
        if len(outputs) != 2 or len(boxes) != 1 or len(logits) != 1 or count not in BLAZEFACE_ANCHORS:
            raise mismatch(self.name, outputs, "[1, n, 16] and [1, n, 1] with n 896 or 2304")
        scores = sigmoid(logits[0])
        keep = scores >= min_score
        anchors = blazeface_anchors(count)[keep] * self._input_wh
        rows = boxes[0][keep]
        centred = np.concatenate([rows[:, :2] + anchors, rows[:, 2:4]], axis=1)
        points = rows[:, 4:].reshape(-1, BLAZEFACE_POINTS, 2) + anchors[:, np.newaxis]
        classes = np.zeros(len(rows), np.int64)
        return Candidates(xyxy_from_cxcywh(centred), scores[keep], classes, points, is_blended=True)


BLAZEFACE_ANCHORS = {896: ((16, 2), (8, 6)), 2304: ((48, 1),)}
"""Number of anchors to (cells along a side, anchors on each cell), the finer grid first."""


def blazeface_anchors(count: int) -> FloatArray:
    """The anchors' centres [count, 2] as shares of the input; ``count`` is 896 or 2304."""
    grids = [
        np.repeat((_corners(cells, cells) + np.float32(0.5)) / np.float32(cells), each, axis=0)
        for cells, each in BLAZEFACE_ANCHORS[count]
    ]
    return np.concatenate(grids)
