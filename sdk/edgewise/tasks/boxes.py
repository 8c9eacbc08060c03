"""Boxes: other corners, overlap, non-maximum suppression. Boxes are float32 [n, 4]."""

import numpy as np

from edgewise.tensors import Array, FloatArray

MAX_DETECTIONS = 300
"""More boxes than this are not kept of one picture (Ultralytics' default of max_det)."""


def xyxy_from_cxcywh(boxes_cxcywh: FloatArray) -> FloatArray:
    """Centre, width and height to left, top, right, bottom."""
    centres, halves = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:4] / np.float32(2)
    corners: FloatArray = np.concatenate([centres - halves, centres + halves], axis=-1)
    return corners


def areas(boxes_xyxy: FloatArray) -> FloatArray:
    """[n]; a box turned inside out has none."""
    sides = np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0)
    area: FloatArray = sides[..., 0] * sides[..., 1]
    return area


def overlaps(box_xyxy: FloatArray, boxes_xyxy: FloatArray) -> FloatArray:
    """Intersection over union of one box [4] with each of [n, 4], 0 to 1; 0 where neither has an area."""
    lower = np.maximum(box_xyxy[:2], boxes_xyxy[:, :2])
    upper = np.minimum(box_xyxy[2:], boxes_xyxy[:, 2:])
    sides = np.maximum(upper - lower, 0)
    common = sides[:, 0] * sides[:, 1]
    union = areas(box_xyxy) + areas(boxes_xyxy) - common
    shares: FloatArray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def suppress(
    boxes_xyxy: FloatArray,
    scores: FloatArray,
    class_ids: Array | None = None,
    *,
    overlap_threshold: float,
    limit: int = MAX_DETECTIONS,
) -> Array:
    """Greedy non-maximum suppression: the indices of the boxes that stay, best score first, at most ``limit``.

    The best box goes in and drops every other whose intersection over union with it is more than
    ``overlap_threshold``; then the next best. With ``class_ids`` [n] a box drops only those of its own class.
    Among equal scores the lower index is the better one.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size and len(kept) < limit:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        drops = overlaps(boxes_xyxy[best], boxes_xyxy[rest]) > overlap_threshold
        if class_ids is not None:
            drops &= class_ids[rest] == class_ids[best]
        order = rest[~drops]
    return np.array(kept, np.int64)
