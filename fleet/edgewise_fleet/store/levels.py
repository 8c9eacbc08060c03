"""The levels of the roll-ups, which of them answers a question, and thinning for a plot."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from edgewise_fleet.store.base import Points


class Level(IntEnum):
    """A roll-up; the number stands in the table `unrolled`."""

    MINUTE = 0
    HOUR = 1
    DAY = 2

    @property
    def width_ms(self) -> int:
        """The length of one bucket."""
        return (60_000, 3_600_000, 86_400_000)[self]

    @property
    def table(self) -> str:
        """Where its buckets are."""
        return ("rollup_minute", "rollup_hour", "rollup_day")[self]

    def floor(self, at_ms: int) -> int:
        """The beginning of the bucket that holds this time."""
        return at_ms - at_ms % self.width_ms


@dataclass(frozen=True)
class Stretch:
    """A part of a window and what to read it from; None is the points themselves."""

    level: Level | None
    since_ms: int
    until_ms: int
    """The last millisecond that belongs to it."""


def level_for(since_ms: int, until_ms: int, *, buckets: int) -> Level | None:
    """The coarsest level with at least so many buckets in the window; None where only the points are fine enough."""
    for level in reversed(Level):
        if (until_ms - since_ms + 1) // level.width_ms >= buckets:
            return level
    return None


def stretches(
    since_ms: int, until_ms: int, level: Level | None, unrolled_from: dict[Level, int | None]
) -> list[Stretch]:
    """The window cut where a level is not yet rolled up, from there on read from the next finer one.

    ``unrolled_from``: the earliest time whose bucket of that level is not up to date; None when all are.
    """
    found: list[Stretch] = []
    begin = since_ms
    while level is not None and begin <= until_ms:
        pending = [
            level.floor(at) for finer in Level if finer <= level and (at := unrolled_from[finer]) is not None
        ]
        end = min([*pending, until_ms + 1])
        # A bucket belongs to the window by its beginning.
        if end > begin:
            found.append(Stretch(level, begin, end - 1))
        begin = max(begin, end)
        level = Level(level - 1) if level else None
    if begin <= until_ms:
        found.append(Stretch(None, begin, until_ms))
    return found


def bucket_points(rows: Iterable[tuple[int, float, float]], level: Level) -> list[tuple[int, float]]:
    """(at, min, max) of buckets as points: the lowest at the beginning, the highest at the middle."""
    points = []
    for at_ms, low, high in rows:
        points.append((at_ms, low))
        if high != low:
            points.append((at_ms + level.width_ms // 2, high))
    return points


def thin(points: list[tuple[int, float]], *, since_ms: int, until_ms: int, limit: int) -> Points:
    """At most ``limit`` of them: of equal stretches the lowest and the highest; ``points`` in order of time."""
    if len(points) <= limit:
        return tuple(points)
    # Two points a stretch; the window's last millisecond would open one stretch more, hence + 1.
    stretch_ms = -(-(until_ms - since_ms + 1) // (limit // 2))
    lowest: dict[int, tuple[int, float]] = {}
    highest: dict[int, tuple[int, float]] = {}
    for point in points:
        place = (point[0] - since_ms) // stretch_ms
        if place not in lowest or point[1] < lowest[place][1]:
            lowest[place] = point
        if place not in highest or point[1] > highest[place][1]:
            highest[place] = point
    return tuple(sorted({*lowest.values(), *highest.values()}))
