"""Windows against the same numbers worked out from all values."""

import math
import random
from typing import Any

import msgspec
import pytest

from edgewise_agent.rules import WindowSettings
from edgewise_agent.rules.windows import BUCKETS, Window

SUMS_IN_ANOTHER_ORDER = 1e-9
REFERENCE = {
    "count": lambda values: sum(value != 0 for value in values),
    "sum": math.fsum,
    "mean": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "any": any,
    "all": all,
}


def settings(**values: Any) -> WindowSettings:
    return msgspec.convert({"value": "score", **values}, WindowSettings)


@pytest.mark.parametrize("of", sorted(REFERENCE))
def test_a_window_of_inputs_is_what_all_its_values_give(of: str) -> None:
    chance = random.Random(1)
    values = [chance.choice([0.0, 1.0, chance.uniform(-1, 1)]) for _ in range(200)]
    window = Window(settings(of=of, last_inputs=7))
    for place, value in enumerate(values):
        window.add(value, mono_s=place)
        latest = values[max(place - 6, 0) : place + 1]
        assert window.value() == pytest.approx(REFERENCE[of](latest), abs=SUMS_IN_ANOTHER_ORDER)


@pytest.mark.parametrize("of", sorted(REFERENCE))
def test_a_window_of_seconds_is_what_all_its_values_give_at_a_slow_rate(of: str) -> None:
    chance = random.Random(2)
    times_s = [0.0]
    while len(times_s) < 200:
        times_s.append(times_s[-1] + chance.uniform(0.2, 9.0))  # no two of them in one bucket
    values = [chance.choice([0.0, 1.0, chance.uniform(-1, 1)]) for _ in times_s]
    window = Window(settings(of=of, last_s=30.0))
    for place, (time_s, value) in enumerate(zip(times_s, values, strict=True)):
        window.add(value, mono_s=time_s)
        latest = [values[one] for one in range(place + 1) if times_s[one] > time_s - 30.0]
        assert window.value() == pytest.approx(REFERENCE[of](latest), abs=SUMS_IN_ANOTHER_ORDER)


def test_at_a_high_rate_a_window_of_seconds_stays_small_and_is_right_to_a_bucket() -> None:
    window = Window(settings(of="count", last_s=10.0))
    for place in range(20_000):
        window.add(1.0, mono_s=place * 0.001)
    assert 10_000 * (1 - 1 / BUCKETS) - 1 <= window.value() <= 10_000
    assert len(window._buckets) <= BUCKETS + 1


@pytest.mark.parametrize(("of", "nothing"), [("any", False), ("all", False), ("mean", 0.0), ("min", 0.0)])
def test_a_window_over_nothing_is_nothing(of: str, nothing: object) -> None:
    assert Window(settings(of=of, last_s=1.0)).value() == nothing
