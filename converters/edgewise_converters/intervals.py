"""How sure a counted share can be: confidence intervals of proportions and of their paired difference."""

import math
from dataclasses import dataclass
from statistics import NormalDist

TWO_SIDED_95 = NormalDist().inv_cdf(0.975)
ONE_SIDED_95 = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class Interval:
    """A share or a difference of shares, with the ends between which the true one lies."""

    value: float
    low: float
    high: float

    @property
    def percent(self) -> str:
        """Such as `95.0 % (76.4 to 99.1)`."""
        return f"{self.value:.1%} ({100 * self.low:.1f} to {100 * self.high:.1f})".replace("%", " %", 1)


def wilson(successes: int, n: int, *, z: float = TWO_SIDED_95) -> Interval:
    """The share of ``successes`` in ``n`` independent trials, with its score interval.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22:209.
    Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"got {successes} successes in {n} trials, expected 0 to n of at least one")
    share = successes / n
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    middle, width = share + z * z / (2 * n), 1 + z * z / n
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else max((middle - spread) / width, 0.0)
    high = 1.0 if successes == n else min((middle + spread) / width, 1.0)
    return Interval(share, low, high)


@dataclass(frozen=True)
class Paired:
    """The same trials judged twice: how often each of two judges, both or neither found a success."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        """All trials."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def first(self) -> int:
        """Successes of the first."""
        return self.both + self.first_only

    @property
    def second(self) -> int:
        """Successes of the second."""
        return self.both + self.second_only


def paired_difference(table: Paired, *, z: float = TWO_SIDED_95) -> Interval:
    """The first's share of successes minus the second's, with its interval.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Stat. Med. 17:2635, method 10: two score intervals joined under the continuity-corrected correlation.
    Raises ValueError without trials.
    """
    first, second = wilson(table.first, table.n, z=z), wilson(table.second, table.n, z=z)
    correlation = _correlation(table)

    def joined(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * correlation * one * other + other * other, 0.0))

    difference = first.value - second.value
    below = joined(first.value - first.low, second.high - second.value)
    above = joined(first.high - first.value, second.value - second.low)
    return Interval(difference, max(difference - below, -1.0), min(difference + above, 1.0))


def _correlation(table: Paired) -> float:
    """The phi coefficient, its numerator n / 2 smaller where it is positive (Newcombe 1998, method 10)."""
    margins = (table.first, table.n - table.first, table.second, table.n - table.second)
    if not all(margins):
        return 0.0
    product = float(table.both * table.neither - table.first_only * table.second_only)
    if product > 0:
        product = max(product - table.n / 2, 0.0)
    return product / math.sqrt(math.prod(margins))
