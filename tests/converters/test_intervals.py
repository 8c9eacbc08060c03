"""Confidence intervals against published examples and against simulation."""

import numpy as np
import pytest

from edgewise_converters.intervals import ONE_SIDED_95, Paired, paired_difference, wilson

COVERAGE_SLACK = 0.02
"""Score intervals reach 95 % on average over shares, not for each of them."""


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, Stat. Med. 17:857, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_wilson_is_symmetric_and_stays_within_0_and_1() -> None:
    one, other = wilson(3, 20), wilson(17, 20)
    assert one.low == pytest.approx(1 - other.high) and one.high == pytest.approx(1 - other.low)
    assert wilson(20, 20).high == 1.0 and wilson(20, 20).low < 1.0


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_what_cannot_be_counted_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson(successes, n)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    # Newcombe 1998, Stat. Med. 17:2635, table III, method 10
    [((36, 12, 2, 0), 0.0569, 0.3404), ((54, 0, 0, 0), -0.0664, 0.0664), ((0, 30, 0, 0), 0.8395, 1.0)],
)
def test_the_paired_difference_gives_the_published_intervals(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    interval = paired_difference(Paired(*table))
    assert (interval.low, interval.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_the_paired_difference_covers_the_true_one() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.80, 0.04, 0.02, 0.14])
    hits = 0
    for counts in rng.multinomial(200, shares, 2000):
        interval = paired_difference(Paired(*map(int, counts)))
        hits += interval.low <= shares[1] - shares[2] <= interval.high
    assert hits / 2000 >= 0.95 - COVERAGE_SLACK


def test_a_one_sided_bound_is_nearer_than_the_two_sided_end() -> None:
    assert wilson(2, 100, z=ONE_SIDED_95).high < wilson(2, 100).high


def test_an_interval_reads_well() -> None:
    assert wilson(19, 20).percent == "95.0 % (76.4 to 99.1)"
