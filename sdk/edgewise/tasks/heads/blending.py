"""Suppression that does not choose among overlapping boxes but averages them."""

from dataclasses import replace

import numpy as np

from edgewise.tasks.boxes import overlaps
from edgewise.tasks.heads.base import Candidates


def blend(found: Candidates, *, overlap_threshold: float) -> Candidates:
    """One box for each heap of overlapping ones, best score first.

    The best box takes in every other whose intersection over union with it is more than ``overlap_threshold``. Box
    and points become the mean of theirs, weighted by score; the score stays the best one's (mediapipe/calculators/
    util/non_max_suppression_calculator.cc, WeightedNonMaxSuppression). Classes are not told apart.
    """
    order = np.argsort(-found.scores, kind="stable")
    heaps = []
    while order.size:
        joins = overlaps(found.boxes_xyxy[order[0]], found.boxes_xyxy[order]) > overlap_threshold
        joins[0] = True  # also one without an area
        heaps.append(order[joins])
        order = order[~joins]
    best = np.array([heap[0] for heap in heaps], np.int64)
    boxes, points = found.boxes_xyxy[best], None if found.keypoints_xy is None else found.keypoints_xy[best]
    for place, heap in enumerate(heaps):
        weights = found.scores[heap].astype(np.float64)
        weights /= weights.sum()
        boxes[place] = weights @ found.boxes_xyxy[heap]
        if points is not None and found.keypoints_xy is not None:
            points[place] = np.tensordot(weights, found.keypoints_xy[heap], axes=1)
    return replace(
        found,
        boxes_xyxy=boxes,
        scores=found.scores[best],
        class_ids=found.class_ids[best],
        keypoints_xy=points,
    )
