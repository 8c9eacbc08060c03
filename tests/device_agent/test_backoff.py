import math
from collections import Counter

import pytest

from edgewise_agent.connection.backoff import Backoff, phase


def test_waits_stay_below_a_doubling_ceiling_and_below_the_longest() -> None:
    backoff = Backoff("device", longest_s=20.0)
    waits = [backoff.next_wait_s() for _ in range(40)]
    assert all(0 < wait <= max(min(20.0, 2.0**number), 0.1) for number, wait in enumerate(waits))
    assert max(waits) > 10, "the later waits must spread over the whole range"


def test_devices_do_not_wait_in_step() -> None:
    waits = [Backoff(f"device-{number}", longest_s=60.0).next_wait_s() for number in range(50)]
    assert len({round(wait, 4) for wait in waits}) > 40


def test_only_a_stable_connection_shortens_the_waits_again() -> None:
    backoff = Backoff("device", longest_s=3600.0, stable_s=60.0)
    for _ in range(12):
        backoff.next_wait_s()
    backoff.connection_ended(59.9)
    assert max(backoff.next_wait_s() for _ in range(5)) > 2
    backoff.connection_ended(60.0)
    assert backoff.next_wait_s() <= 1.0


@pytest.mark.parametrize("away_s", [0.0, 4.0, 25.0, 200.0])
def test_a_fleet_that_lost_its_broker_never_comes_back_faster_than_its_spread_allows(away_s: float) -> None:
    """A thousand devices, by the clock of the test. A round of attempts is half as dense as the one before, so
    all rounds together stay below twice the first, and those that are let in below the first alone.
    """
    devices, spread_s = 1000, 10.0
    attempts: Counter[int] = Counter()
    let_in: list[float] = []
    for number in range(devices):
        name = f"device-{number}"
        backoff = Backoff(f"{name} boot", longest_s=60.0, spread_s=spread_s, place=phase(name, 1.0))
        at_s = backoff.next_wait_s()
        while at_s < away_s:
            attempts[int(at_s)] += 1
            at_s += backoff.next_wait_s()
        attempts[int(at_s)] += 1
        let_in.append(at_s)
    mean = devices / spread_s
    assert max(attempts.values()) < 2 * mean
    let_in_each_second = Counter(int(at_s) for at_s in let_in)
    assert max(let_in_each_second.values()) < mean + 5 * math.sqrt(mean), "a Poisson count, or less"
    assert max(let_in) < max(away_s, spread_s) + 60.0, "and nobody stays away longer than the longest wait"


def test_a_device_has_the_same_place_in_an_interval_every_time() -> None:
    places = [phase(f"device-{number}", 10.0) for number in range(100)]
    assert places == [phase(f"device-{number}", 10.0) for number in range(100)]
    assert all(0 <= place < 10 for place in places)
    assert min(places) < 2 and max(places) > 8
