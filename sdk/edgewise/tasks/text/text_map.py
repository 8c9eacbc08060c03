"""From a detector's map of where text is to rectangles around lines (DB, differentiable binarization)."""

import numpy as np

from edgewise.tasks.text.options import TextOptions
from edgewise.tasks.text.rectangles import hull_of, in_order, smallest_rectangle
from edgewise.tasks.text.regions import find_regions
from edgewise.tensors import Array, FloatArray

_MIN_SIDE = 3
"""Cells; a narrower rectangle is noise (PaddleOCR, ppocr/postprocess/db_postprocess.py, min_size)."""
_MIN_GROWN_SIDE = _MIN_SIDE + 2


def quads_of(text_map: FloatArray, options: TextOptions) -> tuple[FloatArray, FloatArray]:
    """Quads [n, 4, 2], in cells of the map, and their scores [n], of a map [height, width] of 0 to 1.

    Corners go left top, right top, right bottom, left bottom; cell i covers i to i + 1. Not clipped.
    """
    mask = text_map > options.map_threshold
    if options.is_dilated:
        mask = _dilated(mask)
    quads, scores = [], []
    for region in find_regions(mask, limit=options.max_lines):
        if region.rows.size < _MIN_SIDE and int(region.right.max() - region.left.min()) < _MIN_SIDE:
            continue
        core = smallest_rectangle(hull_of(region))
        if core.size_wh.min() < _MIN_SIDE:
            continue
        score = mean_inside(text_map, core.corners())
        grown = core.grown(options.unclip_ratio)
        if score >= options.box_threshold and grown.size_wh.min() >= _MIN_GROWN_SIDE:
            quads.append(in_order(grown.corners() + 0.5))  # a cell's centre is half a cell from its edge
            scores.append(score)
    return np.array(quads, np.float32).reshape(-1, 4, 2), np.array(scores, np.float32)


def _dilated(mask: Array) -> Array:
    """Each cell with its left and upper neighbours."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    grown = wide.copy()
    grown[1:] |= wide[:-1]
    return grown


def mean_inside(text_map: FloatArray, corners: Array) -> float:
    """The mean of the cells in a rectangle given by its corners [4, 2], one after the other around it.

    Corners are cut to whole cells, and cells that the border runs through count, as OpenCV's fillPoly has it, which
    PaddleOCR scores with (box_score_fast): thresholds that people know then mean the same here.
    """
    height, width = text_map.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (width - 1, height - 1))
    window = text_map[top : bottom + 1, left : right + 1]
    x, y = np.arange(left, right + 1), np.arange(top, bottom + 1)[:, np.newaxis]
    inside = np.ones(window.shape, bool)
    whole = np.floor(corners)
    for (x0, y0), (dx, dy) in zip(whole, np.roll(whole, -1, axis=0) - whole, strict=True):
        inside &= dx * (y - y0) - dy * (x - x0) >= -0.5 * max(abs(dx), abs(dy))
    return float(window[inside].mean()) if inside.any() else 0.0
