"""Until when each roll-up is forgotten, and how long work on a store is done in pieces."""

import time
from collections.abc import Callable

from edgewise_fleet.store.base import Keep
from edgewise_fleet.store.levels import Level

DAY_MS = 86_400_000
PAUSE_S = 0.002
"""Between two pieces: a lock that is taken again at once would never come to whoever waits for it."""


def horizons(raw_before_ms: int, keep: Keep | None) -> dict[Level, int]:
    """Before when the buckets of each level are forgotten; a level that is kept for ever is left out.

    At the beginning of a bucket of the next coarser level, and never later than a finer level's: whatever is rolled
    up again finds all its parts.
    """
    if keep is None:
        return {}
    found: dict[Level, int] = {}
    until_ms, finer_days = raw_before_ms, keep.raw_days
    for level, days in (
        (Level.MINUTE, keep.minute_days), (Level.HOUR, keep.hour_days), (Level.DAY, keep.day_days)
    ):  # fmt: skip
        if not days or not finer_days:
            break
        until_ms -= max(0, round((days - finer_days) * DAY_MS))
        until_ms = Level(min(level + 1, Level.DAY)).floor(until_ms)
        found[level], finer_days = until_ms, days
    return found


def in_pieces(
    roll_some: Callable[[Level, int], int],
    *,
    oldest_ms: Callable[[], int | None],
    now_ms: int,
    goes_on: Callable[[], bool],
) -> int:
    """Roll up what is complete at ``now_ms``, by the level and the time that ``roll_some`` is given; how many buckets.

    ``oldest_ms`` is the earliest minute that is not rolled up. A backlog is taken a day at a time, through all levels:
    a question over a long window is read from the coarse levels as far as those are, and from points beyond.
    """
    rolled = 0
    while goes_on():
        oldest = oldest_ms()
        until_ms = now_ms if oldest is None else min(now_ms, oldest + DAY_MS)
        some = sum(_all_of(level, until_ms, roll_some, goes_on) for level in Level)
        rolled += some
        # None before the end: another process is at it.
        if until_ms == now_ms or not some:
            break
    return rolled


def _all_of(
    level: Level, until_ms: int, roll_some: Callable[[Level, int], int], goes_on: Callable[[], bool]
) -> int:
    rolled = 0
    while goes_on():
        some = roll_some(level, until_ms)
        if not some:
            break
        rolled += some
        time.sleep(PAUSE_S)
    return rolled
