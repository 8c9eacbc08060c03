"""Points, polygons and lines in shares of a picture; y grows downwards."""

import math
from collections.abc import Sequence
from typing import TypeAlias

Xy: TypeAlias = tuple[float, float]


def is_inside(point: Xy, polygon: Sequence[Xy]) -> bool:
    """By the even-odd rule (Shimrat, "Algorithm 112: Position of point relative to polygon", CACM 5, 1962)."""
    x, y = point
    inside = False
    ends = polygon[-1]
    for corner in polygon:
        (x1, y1), (x2, y2) = ends, corner
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        ends = corner
    return inside


def side_of(point: Xy, line: tuple[Xy, Xy]) -> float:
    """The distance to the endless line; above 0 on the right hand of who goes from its first point to its second."""
    (x1, y1), (x2, y2) = line
    length = math.hypot(x2 - x1, y2 - y1)
    return ((x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)) / length


def do_cross(first: tuple[Xy, Xy], second: tuple[Xy, Xy]) -> bool:
    """Whether two stretches cross; an end on the other stretch counts for one of its sides."""
    (a, b), (c, d) = first, second
    return (_turn(a, b, c) > 0) != (_turn(a, b, d) > 0) and (_turn(c, d, a) > 0) != (_turn(c, d, b) > 0)


def _turn(a: Xy, b: Xy, c: Xy) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
