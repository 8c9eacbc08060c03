"""Finds that a noisy series has risen, without an assumption about its noise.

A rise is told when the latest RECENT values are all beyond the j-th largest of the n values before them, and their
median is RATIO times the former median. If all n + RECENT values are exchangeable (independent draws of whatever
distribution), the chance of the former is C(RECENT + j - 1, RECENT) / C(n + RECENT, RECENT): of all choices of which
values are the latest, those with all of them among the RECENT + j - 1 largest. j is the largest for which this is at
most FALSE_ALARM, so that up to j - 1 former spikes hide no rise.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum
from statistics import median

RECENT = 5
MOST_BASELINE = 60
FALSE_ALARM = 1e-5
"""For each report; expected counts add up whether reports depend on each other's window or not."""
RATIO = 1.5
NORMAL_RATIO = 1.25
"""Hysteresis: back to normal only when the latest values are all below this."""


def rank_for(count: int, recent: int = RECENT) -> int:
    """The largest j for ``count`` former values; 0 when they are too few for any."""
    ways = math.comb(count + recent, recent)
    rank = 0
    while rank < count and math.comb(recent + rank, recent) <= FALSE_ALARM * ways:
        rank += 1
    return rank


def rose(before: list[float], now: list[float]) -> bool:
    """True when all values of ``now`` are beyond the j-th largest of ``before``; False where those are too few."""
    rank = rank_for(len(before), len(now))
    return rank > 0 and min(now) > sorted(before)[-rank]


def fell(before: list[float], now: list[float]) -> bool:
    """The same downwards."""
    return rose([-value for value in before], [-value for value in now])


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


class LevelWatch:
    """One series."""

    def __init__(self, *, promise: float | None = None) -> None:
        """``promise`` is the level to expect as long as too few values were seen."""
        self._promise = promise
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self._baseline: deque[float] = deque(maxlen=MOST_BASELINE)
        self._risen_from: tuple[float, bool] | None = None

    @property
    def is_raised(self) -> bool:
        """True from a rise until normal again."""
        return self._risen_from is not None

    def see(self, value: float, *, at_s: float) -> Level | None:
        """Take one value in; a Level when it turns."""
        if self._risen_from is None and len(self._recent) == RECENT:
            self._baseline.append(self._recent[0][1])
        self._recent.append((at_s, value))
        if len(self._recent) < RECENT:
            return None
        return self._look_for_rise() if self._risen_from is None else self._look_for_end(*self._risen_from)

    def restart(self) -> None:
        """Begin anew, as after a change of model."""
        self._recent.clear()
        self._baseline.clear()
        self._risen_from = None

    def _look_for_rise(self) -> Level | None:
        now = [value for _, value in self._recent]
        is_measured = rank_for(len(self._baseline)) > 0
        if is_measured:
            before = median(self._baseline)
            has_risen = rose(list(self._baseline), now)
        elif self._promise is not None:
            before = self._promise
            has_risen = min(now) > RATIO * before
        else:
            return None
        if not has_risen or median(now) < RATIO * before:
            return None
        self._risen_from = (before, not is_measured)
        return self._level(Turn.ROSE, before, not is_measured)

    def _look_for_end(self, before: float, is_promise: bool) -> Level | None:
        if max(value for _, value in self._recent) >= NORMAL_RATIO * before:
            return None
        self._risen_from = None
        return self._level(Turn.NORMAL, before, is_promise)

    def _level(self, turn: Turn, before: float, is_promise: bool) -> Level:
        now = median(value for _, value in self._recent)
        return Level(turn, before, now, is_promise, self._recent[0][0])
