"""Whether more of the latest inputs lie beyond a mark than chance allows, given a baseline of finite size.

Of ``n`` baseline samples ``k`` lay beyond the mark. If the latest ``w`` inputs come from the same distribution, then
all n + w are exchangeable, and the chance that ``c`` or more of the w lie beyond the mark is at most

    P(X >= c),  X ~ beta-binomial(w; k + 1, n - k),

whatever the distribution is. For a mark that is the baseline's own (k + 1)-th value this is the law of exceedances
(Gumbel and von Schelling 1950, "The distribution of the number of exceedances", Ann. Math. Stat. 21:247), and less
where the mark is short of that value; for a mark fixed in advance it is the one-sided p-value of Fisher's exact test.
The baseline's own error of estimation is in it, so a hundred photos are enough for it to hold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewise.drift_baseline import Histogram

Floats = npt.NDArray[np.float64]

SHARES = (0.0, 0.1, 0.3, 0.5)
"""Shares of the baseline beyond the marks on either side: none at all, a tenth, three tenths, half."""
_ROUNDING = 1e-5
"""Edges are kept with six digits: the outermost are moved out by this share, so that no sample lay beyond them."""


def chances(k: int, n: int, w: int) -> Floats:
    """P(X >= c) for c from 0 to w, float64 [w + 1]; all 1 where every baseline sample lay beyond the mark."""
    if k >= n:
        return np.ones(w + 1)
    a, b = k + 1, n - k
    first = math.lgamma(a + b) - math.lgamma(b) + math.lgamma(w + b) - math.lgamma(w + a + b)
    c = np.arange(w)
    ratios = np.log((w - c) * (a + c) / ((c + 1) * (w - c - 1 + b)))
    logs = first + np.concatenate(([0.0], np.cumsum(ratios)))
    tail: Floats = np.cumsum(np.exp(logs)[::-1])[::-1]
    return np.minimum(tail, 1.0)


@dataclass(frozen=True)
class Mark:
    """A value, and how many baseline samples lay beyond it."""

    value: float
    is_low: bool
    """Whether beyond means below it; else at or above it."""
    count: int


def marks(histogram: Histogram, *, has_outer: bool) -> tuple[Mark, ...]:
    """Marks on either side, near `SHARES` of the baseline.

    ``has_outer`` says that the outermost edges are the baseline's smallest and largest value.
    """
    edges, total = histogram.edges, histogram.total
    below = np.cumsum((0, *histogram.counts))
    found: dict[tuple[int, bool], Mark] = {}
    for share in SHARES:
        for is_low in (True, False):
            counts = below if is_low else total - below
            place = int(np.argmin(np.abs(counts - share * total)))
            if 0 < place < len(edges) - 1:
                found[place, is_low] = Mark(edges[place], is_low, int(counts[place]))
    if has_outer:
        low, high = edges[0], edges[-1]
        found[0, True] = Mark(low - abs(low) * _ROUNDING, True, 0)
        found[len(edges) - 1, False] = Mark(high + abs(high) * _ROUNDING, False, 0)
    return tuple(found.values())


def count_beyond(placed: Sequence[Mark], values: Floats) -> npt.NDArray[np.int64]:
    """How many of ``values`` lie beyond each mark; NaN is beyond none."""
    counts = [(values < mark.value if mark.is_low else values >= mark.value).sum() for mark in placed]
    return np.array(counts, np.int64)


@dataclass(frozen=True)
class Beyond:
    """The mark that the latest inputs are most surprisingly beyond."""

    mark: Mark
    chance: float
    """At most this, by the formula above."""
    share: float
    """Of the latest inputs."""


class TailTest:
    """Counts the latest ``window`` inputs beyond each mark."""

    def __init__(self, placed: tuple[Mark, ...], *, samples: int, window: int) -> None:
        """``samples`` is how many the baseline has."""
        self._marks, self._window, self._samples = placed, window, samples
        self.extend(np.zeros(len(placed), np.int64), 0)

    @property
    def tests(self) -> int:
        """How many marks are looked at."""
        return len(self._marks)

    def extend(self, beyond: npt.NDArray[np.int64], samples: int) -> None:
        """Hold the inputs against so many more ``samples`` of the baseline, of which so many were ``beyond`` each mark.

        The chance of a mark of the card, given the card's own k of n, is Beta(k + 1, n - k); after x of m more, it is
        Beta(k + x + 1, n + m - k - x).
        """
        self._chances = [
            chances(mark.count + int(more), self._samples + samples, self._window)
            for mark, more in zip(self._marks, beyond, strict=True)
        ]

    def look(self, values: Floats) -> Beyond:
        """``values`` [window], the latest; NaN is beyond no mark."""
        counts = count_beyond(self._marks, values)
        found = [table[count] for table, count in zip(self._chances, counts, strict=True)]
        place = int(np.argmin(found))
        return Beyond(self._marks[place], float(found[place]), float(counts[place]) / self._window)
