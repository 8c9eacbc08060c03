"""The two-sample tests behind the drift monitor: their chances are bounds, and sharp enough to be of use."""

import math
import tracemalloc

import numpy as np
import pytest

from edgewise.drift_baseline import Histogram
from edgewise_agent.drift.classes import SwitchTest, class_bound, class_chance, switch_share
from edgewise_agent.drift.stability import class_index, histogram_index, stability_index
from edgewise_agent.drift.tails import TailTest, chances, marks
from edgewise_agent.drift.window import Window

DRAWS = 4000
NOISE = 4.0
"""Standard deviations that a counted share may lie above its bound: one test in thirty thousand fails by chance."""


def most(level: float) -> float:
    """A share counted in DRAWS that a true share of ``level`` does not exceed."""
    return level + NOISE * math.sqrt(level * (1 - level) / DRAWS)


def test_the_chance_of_exceedances_is_the_one_of_fishers_test() -> None:
    """k = 1 of n = 3 beyond, then c = 2 of w = 3: of 20 ways to place 3 of both's 3, 10 have 2 or 3 in the latest."""
    assert chances(1, 3, 3)[2] == pytest.approx(10 / 20)
    assert chances(0, 4, 1)[1] == pytest.approx(1 / 5), "one more is the largest of five with the chance 1/5"
    assert chances(5, 100, 50)[0] == pytest.approx(1.0)
    assert (chances(7, 7, 10) == 1).all(), "nothing is beyond a mark that all are beyond"


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed edges", "the baseline's own edges"])
def test_the_chance_of_many_beyond_a_mark_is_a_bound_whatever_the_distribution(fixed: bool) -> None:
    rng = np.random.default_rng(3)
    level, exceeded = 0.05, 0
    for _ in range(DRAWS):
        baseline, latest = rng.lognormal(0, 1, 60), rng.lognormal(0, 1, 50)
        edges = np.linspace(0, 5, 11) if fixed else np.quantile(baseline, np.linspace(0, 1, 11))
        histogram = Histogram.of(baseline.tolist(), tuple(edges.tolist()))
        test = TailTest(marks(histogram, has_outer=not fixed), samples=60, window=50)
        exceeded += test.look(latest).chance * test.tests <= level
    assert exceeded / DRAWS <= most(level)


def test_a_shift_of_one_deviation_is_beyond_chance_and_names_its_side() -> None:
    rng = np.random.default_rng(0)
    baseline = rng.normal(0, 1, 100)
    histogram = Histogram.of(baseline.tolist(), tuple(np.quantile(baseline, np.linspace(0, 1, 11)).tolist()))
    test = TailTest(marks(histogram, has_outer=True), samples=100, window=200)
    low, high = test.look(rng.normal(-1, 1, 200)), test.look(rng.normal(1, 1, 200))
    assert low.chance < 1e-5 and low.mark.is_low
    assert high.chance < 1e-5 and not high.mark.is_low
    assert test.look(np.full(200, np.nan)).chance > 0.5, "what could not be measured is beyond no mark"


def test_outer_marks_have_no_baseline_sample_beyond_them() -> None:
    placed = marks(Histogram((-2.0, 0.0, 3.0), (10, 10)), has_outer=True)
    assert {(mark.value, mark.is_low, mark.count) for mark in placed if mark.count} == {
        (0.0, True, 10),
        (0.0, False, 10),
    }
    outer = sorted(mark.value for mark in placed if not mark.count)
    assert outer[0] < -2.0 and outer[1] > 3.0
    assert marks(Histogram((0.0, 1.0), (5,)), has_outer=False) == ()


@pytest.mark.parametrize("level", [0.05, 0.25])
@pytest.mark.parametrize("classes", [3, 40])
def test_the_chance_of_other_classes_is_one_also_with_classes_never_seen(classes: int, level: float) -> None:
    """Exceeded as often as it says, within three standard errors; the bound at most as often."""
    rng = np.random.default_rng(classes)
    shares = rng.dirichlet(np.full(classes, 0.5))
    exceeded = bounded = 0
    for seed in range(1000):
        kept = dict(enumerate(rng.multinomial(60, shares).tolist()))
        latest = dict(enumerate(rng.multinomial(50, shares).tolist()))
        exceeded += class_chance(kept, latest, seed=seed) <= level
        bounded += class_bound(kept, latest) <= level
    assert bounded / 1000 <= level
    assert exceeded / 1000 <= level + 3 * (level * (1 - level) / 1000) ** 0.5


def test_the_chance_of_other_classes_is_that_of_all_ways_to_draw() -> None:
    """Two classes, 35 of each together, 30 drawn for the baseline: every way to draw, with its chance."""

    def ratio(first: int) -> float:
        counts = np.array([first, 30 - first, 35 - first, 5 + first])
        return float((counts * np.log(np.maximum(counts, 1))).sum())

    ways = {
        first: math.comb(35, first) * math.comb(35, 30 - first) / math.comb(70, 30) for first in range(31)
    }
    exact = sum(chance for first, chance in ways.items() if ratio(first) >= ratio(10) - 1e-9)
    found = [class_chance({0: 10, 1: 20}, {0: 25, 1: 15}, least=1e-3, seed=seed) for seed in range(400)]
    # Draws until the tenth success: their mean is 10 / p, with a standard error of 1.6 % over 400 seeds.
    assert 1 / np.mean([1 / one for one in found]) == pytest.approx(exact, rel=0.05)


def test_chances_that_no_draw_reaches_are_bounded_without_drawing() -> None:
    kept, latest = {0: 100, 1: 100}, {2: 200}
    assert class_chance(kept, latest) <= class_bound(kept, latest) < 1e-20


def test_many_classes_cost_bounded_memory_and_time() -> None:
    rng = np.random.default_rng(0)
    kept = dict(enumerate(rng.multinomial(300, np.full(256, 1 / 256)).tolist()))
    moved = dict(enumerate(rng.multinomial(200, np.r_[np.full(128, 1 / 128), np.zeros(128)]).tolist()))
    tracemalloc.start()
    assert class_chance(kept, moved, least=1e-9) < 1e-3
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()


def test_the_e_value_has_the_mean_one_over_all_ways_to_draw() -> None:
    """Every split of the counts (3, 2, 1) into 2 latest and 4 baseline ones, by its chance."""
    both, window, total = (3, 2, 1), 2, 6
    mean = 0.0
    for a in range(3):
        for b in range(3 - a):
            split = (a, b, window - a - b)
            if any(x > m for x, m in zip(split, both, strict=True)):
                continue
            ways = math.prod(math.comb(m, x) for m, x in zip(both, split, strict=True))
            latest = dict(enumerate(split))
            kept = {index: m - x for index, (m, x) in enumerate(zip(both, split, strict=True))}
            mean += ways / math.comb(total, window) / class_bound(kept, latest)
    assert 1.0 <= mean < 1.2, (
        "chances are cut off at 1, so the mean of their inverses is a little more than 1"
    )


def test_other_classes_are_beyond_chance() -> None:
    kept = {0: 30, 1: 25, 2: 20, 3: 15, 4: 10}
    assert class_chance(kept, {0: 60, 1: 50, 2: 40, 3: 30, 4: 20}) > 0.5
    assert class_chance(kept, {0: 110, 1: 90}) < 1e-8
    assert class_chance(kept, {9: 50}) < 1e-8
    assert class_chance(kept, {}) == class_chance({}, kept) == 1.0


def test_an_answer_that_sticks_and_one_that_flickers_are_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    even = SwitchTest({0: 50, 1: 50}, window=200)
    assert 0.3 < even.share < 0.7
    assert even.look([0] * 200) < 1e-6
    assert even.look([0, 1] * 100) < 1e-6
    assert even.look(rng.integers(0, 2, 200).tolist()) > 1e-3
    assert switch_share([1, 1, 2, 2]) == pytest.approx(1 / 3)
    assert switch_share([1]) == 0.0


def test_the_stability_index_is_the_textbooks() -> None:
    assert stability_index([50, 50], [75, 25]) == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
    assert stability_index([5, 5], [0, 0]) == stability_index([3, 1], [3, 1]) == 0.0
    assert class_index({1: 50, 2: 50}, {1: 10, 7: 10}) > 1
    assert histogram_index(Histogram((0.0, 1.0, 2.0), (5, 5)), [0.5, 1.5, 0.2, 1.9]) == 0.0


def test_a_window_keeps_the_latest_in_order_and_survives_json() -> None:
    from edgewise_agent.drift import Observation

    window = Window(("a", "b"), 3)
    for number in range(5):
        window.add(Observation({"a": float(number)}, number if number != 3 else None))
    assert window.values(2)[:, 0].tolist() == [3.0, 4.0] and window.filled == 3
    assert np.isnan(window.values(3)[:, 1]).all()
    assert window.answers(3) == [2, 4]
    again = Window(("a", "b"), 3)
    again.restore(window.state())
    assert again.values(3)[:, 0].tolist() == [2.0, 3.0, 4.0] and again.answers(3) == [2, 4]
    with pytest.raises(ValueError, match="other statistics"):
        Window(("a",), 3).restore(window.state())
