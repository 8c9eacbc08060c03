"""The smallest rectangle around a region, in any direction. Points are x, y; y points down."""

from dataclasses import dataclass

import numpy as np

from edgewise.tasks.text.regions import Region
from edgewise.tensors import Array, FloatArray

_SIDES = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


@dataclass(frozen=True, eq=False)
class Rectangle:
    """A rectangle that may be turned."""

    centre: Array
    """float64 [2]."""
    axes: Array
    """float64 [2, 2]: the unit vectors along its width and its height."""
    size_wh: Array
    """float64 [2]."""

    def corners(self) -> Array:
        """float64 [4, 2], one after the other around it."""
        corners: Array = self.centre + (_SIDES * self.size_wh) @ self.axes
        return corners

    def grown(self, ratio: float) -> "Rectangle":
        """Its sides moved outwards by area * ratio / perimeter.

        That is the distance of Liao et al., "Real-time scene text detection with differentiable binarization",
        AAAI 2020, equation 10; the smallest rectangle around an outline moved by it with round corners is this one.
        """
        width, height = self.size_wh
        distance = width * height * ratio / max(2 * (width + height), 1e-9)
        return Rectangle(self.centre, self.axes, self.size_wh + 2 * distance)


def hull_of(region: Region) -> Array:
    """The corners of the convex hull through the cells' centres, float64 [m, 2], cell i at i."""
    left = _chain(region.left.tolist(), region.rows.tolist(), 1)
    right = _chain(region.right.tolist(), region.rows.tolist(), -1)
    return np.array(left + right[::-1], np.float64)


def _chain(xs: list[int], ys: list[int], side: int) -> list[tuple[int, int]]:
    """One side of the hull of points in the order of y (Andrew, "Another efficient algorithm", 1979)."""
    kept: list[tuple[int, int]] = []
    for x, y in zip(xs, ys, strict=True):
        while len(kept) > 1:
            (x0, y0), (x1, y1) = kept[-2:]
            if side * ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) < 0:
                break
            kept.pop()
        kept.append((x, y))
    return kept


def smallest_rectangle(hull: Array) -> Rectangle:
    """The rectangle of least area around a convex polygon [m, 2].

    One of its sides lies along a side of the polygon (Freeman and Shapira, "Determining the minimum-area encasing
    rectangle for an arbitrary closed curve", 1975): all are tried at once.
    """
    steps = np.roll(hull, -1, axis=0) - hull
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    if not lengths.any():
        return Rectangle(hull[0], np.eye(2), np.zeros(2))
    along = steps[lengths > 0] / lengths[lengths > 0, np.newaxis]
    across = along[:, ::-1] * (-1, 1)
    spots = np.stack([hull @ along.T, hull @ across.T])
    low, high = spots.min(axis=1), spots.max(axis=1)
    sides = high - low
    best = int((sides[0] * sides[1]).argmin())
    axes = np.stack([along[best], across[best]])
    return Rectangle((low + high)[:, best] / 2 @ axes, axes, sides[:, best])


def in_order(corners: Array) -> FloatArray:
    """Corners [4, 2] as left top, right top, right bottom, left bottom: what is left is told first.

    So a line that climbs or falls steeply is read along its length (PaddleOCR, tools/infer/predict_det.py,
    order_points_clockwise).
    """
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left = by_x[:2][np.argsort(by_x[:2, 1], kind="stable")]
    right = by_x[2:][np.argsort(by_x[2:, 1], kind="stable")]
    return np.array([left[0], right[0], right[1], left[1]], np.float32)
