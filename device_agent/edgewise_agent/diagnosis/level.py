"""Finds that a noisy series has risen, without an assumption about its noise.

Two windows are looked at: the latest FAST values, of which all must be beyond the j-th largest of the n before them,
and the latest SLOW, of which m must be beyond the upper quarter of the n before those. How many of k new values lie
beyond the j-th largest of n former ones has a known law whatever the distribution, if all n + k are exchangeable
(independent draws): the law of exceedances, P(i) = C(i + j - 1, i) C(n + k - i - j, k - i) / C(n + k, k) (H. A. David,
H. N. Nagaraja, "Order Statistics", 3rd edition, Wiley 2003). j and m are chosen so that each window is exceeded with a
chance of at most half of FALSE_ALARM for each report. Besides, the window's median must be RATIO times the former one.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np

FAST, SLOW = 5, 20
MOST_BASELINE = 60
FALSE_ALARM = 1e-5
"""For each report; expected counts add up whether the looks depend on each other or not."""
BY_CHANCE = 1e-4
"""For a bit as the cause of a rise that was seen: of five reports four, when it was in none of sixty before."""
RATIO = 1.5
NORMAL_RATIO = 1.25
"""Hysteresis: back to normal only when the latest FAST values are all below this."""


def median(values: Iterable[float]) -> float:
    """Of at least one; the mean of the two in the middle. The module statistics would bring fractions along."""
    return float(np.median(list(values)))


@lru_cache(maxsize=256)
def exceedance(former: int, rank: int, recent: int, least: int) -> float:
    """The chance that at least ``least`` of ``recent`` values lie beyond the ``rank``-th largest of ``former``."""
    ways = math.comb(former + recent, recent)
    return sum(
        math.comb(count + rank - 1, count) * math.comb(former + recent - count - rank, recent - count) / ways
        for count in range(least, recent + 1)
    )


@lru_cache(maxsize=256)
def rank_for(former: int, recent: int = FAST) -> int:
    """The largest rank beyond which all of ``recent`` lie too rarely; 0 when ``former`` is too few for any.

    Up to so many less one spikes among the former hide no rise.
    """
    rank = 0
    while rank < former and exceedance(former, rank + 1, recent, recent) <= FALSE_ALARM / 2:
        rank += 1
    return rank


@lru_cache(maxsize=256)
def least_for(former: int, recent: int = SLOW) -> int:
    """How many of ``recent`` must be beyond the upper quarter of ``former``; more than there are when too few."""
    rank = max(former // 4, 1)
    least = recent
    while least > 0 and exceedance(former, rank, recent, least) <= FALSE_ALARM / 2:
        least -= 1
    return least + 1


def rose(before: list[float], now: list[float]) -> bool:
    """True when ``now`` is higher than ``before`` can explain; False where there are too few of either."""
    if not before or not now:
        return False
    ordered = sorted(before)
    rank = rank_for(len(before), len(now))
    if rank and min(now) > ordered[-rank]:
        return True
    mark = ordered[-max(len(before) // 4, 1)]
    return sum(value > mark for value in now) >= least_for(len(before), len(now))


def fell(before: list[float], now: list[float]) -> bool:
    """The same downwards."""
    return rose([-value for value in before], [-value for value in now])


def more_often(before: list[bool], now: list[bool]) -> bool:
    """True when something holds more often than before, by Fisher's exact test at BY_CHANCE, one-sided."""
    if not before or not now:
        return False
    total, held, least = len(before) + len(now), sum(before) + sum(now), sum(now)
    ways = math.comb(total, len(now))
    chance = sum(
        math.comb(held, count) * math.comb(total - held, len(now) - count) / ways
        for count in range(least, min(held, len(now)) + 1)
    )
    return chance <= BY_CHANCE


class Turn(Enum):
    """What a value did to the level."""

    ROSE = "rose"
    NORMAL = "normal"


@dataclass(frozen=True)
class Level:
    """Of the series, as it is told."""

    turn: Turn
    before: float
    """The former median, or the promise."""
    now: float
    """The median of the latest values."""
    is_promise: bool
    """True when ``before`` is a promise and nothing measured."""
    began_s: float
    """When the first of the latest values was taken."""


@dataclass(frozen=True)
class _Seen:
    at_s: float
    value: float


class LevelWatch:
    """One series."""

    def __init__(self, *, promise: float | None = None) -> None:
        """``promise`` is the level to expect as long as too few values were seen."""
        self._promise = promise
        self._seen: deque[_Seen] = deque(maxlen=MOST_BASELINE + SLOW)
        self._while_raised: deque[_Seen] = deque(maxlen=FAST)
        self._raised_from: Level | None = None

    def see(self, value: float, *, at_s: float) -> Level | None:
        """Take one value in; a Level when it turns."""
        if self._raised_from is not None:
            return self._look_for_end(self._raised_from, _Seen(at_s, value))
        self._seen.append(_Seen(at_s, value))
        level = self._against_promise() or self._against_former(FAST) or self._against_former(SLOW)
        if level is not None:
            # What is high is nothing to compare with later.
            self._seen = deque((one for one in self._seen if one.at_s < level.began_s), self._seen.maxlen)
            self._raised_from = level
        return level

    def restart(self) -> None:
        """Begin anew, as after a change of model."""
        self._seen.clear()
        self._while_raised.clear()
        self._raised_from = None

    def _against_former(self, window: int) -> Level | None:
        seen = list(self._seen)
        former, latest = seen[:-window][-MOST_BASELINE:], seen[-window:]
        if len(latest) < window or not rank_for(len(former)):
            return None
        before, now = [one.value for one in former], [one.value for one in latest]
        if median(now) < RATIO * median(before) or not _beyond(before, now):
            return None
        return Level(Turn.ROSE, median(before), median(now), False, latest[0].at_s)

    def _against_promise(self) -> Level | None:
        if self._promise is None or rank_for(len(self._seen) - FAST if len(self._seen) > FAST else 0):
            return None
        latest = list(self._seen)[-FAST:]
        if len(latest) < FAST or min(one.value for one in latest) <= RATIO * self._promise:
            return None
        return Level(Turn.ROSE, self._promise, median(one.value for one in latest), True, latest[0].at_s)

    def _look_for_end(self, raised: Level, seen: _Seen) -> Level | None:
        self._while_raised.append(seen)
        latest = list(self._while_raised)
        if len(latest) < FAST or max(one.value for one in latest) >= NORMAL_RATIO * raised.before:
            return None
        self._raised_from = None
        self._while_raised.clear()
        self._seen.extend(latest)
        now = median(one.value for one in latest)
        return Level(Turn.NORMAL, raised.before, now, raised.is_promise, latest[0].at_s)


def _beyond(before: list[float], now: list[float]) -> bool:
    """Each window has its own test, so that each has its own half of the chance."""
    ordered = sorted(before)
    if len(now) == FAST:
        return min(now) > ordered[-rank_for(len(before))]
    mark = ordered[-max(len(before) // 4, 1)]
    return sum(value > mark for value in now) >= least_for(len(before), len(now))
