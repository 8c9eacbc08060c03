"""Class maps: from the model's grid to the picture's pixels, and as runs."""

from collections.abc import Sequence

import numpy as np

from edgewise.errors import InvalidInput
from edgewise.preprocess.geometry import View
from edgewise.tensors import Array, FloatArray

UNSEEN = -1
"""The class id of pixels that the model did not look at."""
_BLOCK_NUMBERS = 4_000_000
"""So many float32 logits are interpolated at once: 16 MB."""


def nearest(ids: Array, view: View) -> Array:
    """Class ids [h, w] on the input's grid to int16 [height, width] of the picture: the cell a pixel lies in."""
    columns, rows = (_positions(view, axis, ids.shape[1 - axis]) for axis in (0, 1))
    across, down = (np.floor(places).astype(np.int64) for places in (columns, rows))
    class_map: Array = ids[np.clip(down, 0, ids.shape[0] - 1)][:, np.clip(across, 0, ids.shape[1] - 1)]
    return _without_unseen(class_map.astype(np.int16), columns, rows, ids.shape)


def bilinear_classes(scores: FloatArray, view: View) -> Array:
    """The best class of every pixel of the picture, int16 [height, width], from scores [h, w, C].

    Scores are interpolated between the centres of cells, and repeated beyond the outermost.
    """
    columns, rows = (_positions(view, axis, scores.shape[1 - axis]) for axis in (0, 1))
    left, right, to_right = _between(columns, scores.shape[1])
    above, below, to_below = _between(rows, scores.shape[0])
    class_map = np.empty((len(rows), len(columns)), np.int16)
    step = max(1, _BLOCK_NUMBERS // (len(columns) * scores.shape[2]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        lines = _mix(scores[above[part]], scores[below[part]], to_below[part, np.newaxis, np.newaxis])
        cells = _mix(lines[:, left], lines[:, right], to_right[:, np.newaxis])
        class_map[part] = cells.argmax(axis=2)
    return _without_unseen(class_map, columns, rows, scores.shape)


def _positions(view: View, axis: int, cells: int) -> FloatArray:
    """Where the centres of the picture's pixels lie on the grid along an axis (0 across), in cells."""
    centres = np.arange(view.picture_wh[axis]) + 0.5
    inside: FloatArray = (centres - view.shift_xy[axis]) / view.scale_xy[axis] * (cells / view.input_wh[axis])
    return inside


def _between(positions: FloatArray, cells: int) -> tuple[Array, Array, FloatArray]:
    """The two cells whose centres lie around each position, and how far it is to the second."""
    centred = np.clip(positions - 0.5, 0, cells - 1)
    lower = np.floor(centred).astype(np.int64)
    return lower, np.minimum(lower + 1, cells - 1), (centred - lower).astype(np.float32)


def _mix(first: FloatArray, second: FloatArray, share: FloatArray) -> FloatArray:
    return first + (second - first) * share


def _without_unseen(class_map: Array, columns: FloatArray, rows: FloatArray, shape: Sequence[int]) -> Array:
    class_map[:, (columns < 0) | (columns >= shape[1])] = UNSEEN
    class_map[(rows < 0) | (rows >= shape[0])] = UNSEEN
    return class_map


def encode_runs(class_map: Array) -> list[list[int]]:
    """[class id, length] pairs, row by row; a run may go on into the next row."""
    flat = class_map.ravel()
    starts = (
        np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]])) if flat.size else np.zeros(0, int)
    )
    lengths = np.diff(np.append(starts, flat.size))
    runs: list[list[int]] = np.stack([flat[starts].astype(np.int64), lengths], axis=1).tolist()
    return runs


def decode_runs(runs: Sequence[Sequence[int]], picture_wh: Sequence[int]) -> Array:
    """The int16 map [height, width] that `encode_runs` was given. Raises InvalidInput when sizes disagree."""
    width, height = picture_wh
    total = sum(length for _, length in runs)
    if total != width * height:
        raise InvalidInput(f"runs: got {total} pixels, expected {width} x {height} = {width * height}")
    ids = np.array([class_id for class_id, _ in runs], np.int16)
    return np.repeat(ids, [length for _, length in runs]).reshape(height, width)
