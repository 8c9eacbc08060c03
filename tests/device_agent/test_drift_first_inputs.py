"""The device's own first inputs, which join the baseline. Seeds are fixed."""

import json

import numpy as np
import pytest
from device_agent.drift_parts import changes, joined_inputs, observations, reference

from edgewise_agent.drift import DriftMonitor
from edgewise_agent.drift.first_inputs import MOST, FirstInputs
from edgewise_agent.drift.monitor import LONGEST
from edgewise_agent.drift.rows import Rows
from edgewise_agent.drift.tails import Mark, TailTest

MIXED = np.array([0.15, 0.2, 0.23, 0.22, 0.12, 0.08])
"""Other shares of the classes, too near to the usual ones for a hundred samples."""


def monitor_of(seed: int) -> tuple[DriftMonitor, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return DriftMonitor(reference(observations(rng, 100))), rng


def test_with_them_a_mix_is_seen_that_the_card_alone_is_too_small_for() -> None:
    seen = {"from the start": 0, "after the first inputs": 0}
    for seed in range(10, 20):
        for case, before in (("from the start", 0), ("after the first inputs", LONGEST + MOST)):
            monitor, rng = monitor_of(seed)
            assert changes(monitor, observations(rng, before)) == []
            seen[case] += bool(changes(monitor, observations(rng, 300, shares=MIXED)))
    assert seen["after the first inputs"] >= seen["from the start"] + 3, seen


def test_what_leaves_the_window_joins_and_then_no_more_does() -> None:
    monitor, rng = monitor_of(0)
    changes(monitor, observations(rng, LONGEST))
    assert joined_inputs(monitor) == 0
    changes(monitor, observations(rng, 1))
    assert joined_inputs(monitor) == 1 and not monitor.is_settled
    changes(monitor, observations(rng, MOST))
    assert joined_inputs(monitor) == MOST and monitor.is_settled


def test_inputs_of_a_drift_never_join() -> None:
    """Nor those that were in the window when it ended."""
    monitor, rng = monitor_of(1)
    changes(monitor, observations(rng, LONGEST))
    (start,) = changes(monitor, observations(rng, 150, darker=60.0))
    assert start.is_start
    joined = joined_inputs(monitor)
    while monitor.moved:
        changes(monitor, observations(rng, 20))
    assert joined_inputs(monitor) == joined < 150
    changes(monitor, observations(rng, 2 * LONGEST))
    assert joined_inputs(monitor) > joined
    beyond = np.array(monitor.state()["first_inputs"]["beyond"][0])
    clean, rng = monitor_of(1)
    changes(clean, observations(rng, LONGEST + joined_inputs(monitor)))
    assert np.abs(beyond - clean.state()["first_inputs"]["beyond"][0]).max() < 30


def test_a_slow_change_after_them_is_still_seen() -> None:
    monitor, rng = monitor_of(5)
    assert changes(monitor, observations(rng, LONGEST + MOST)) == []
    told = [changes(monitor, observations(rng, 100, darker=step)) for step in range(0, 30, 1)]
    assert any(told)


def test_marks_hold_with_the_counts_of_both() -> None:
    """Under no shift the chance told is at most its level as often: the law of k + x of n + m."""
    rng = np.random.default_rng(3)
    below = {0.05: 0, 0.01: 0}
    for _ in range(4000):
        card, own, live = np.sort(rng.normal(size=100)), rng.normal(size=300), rng.normal(size=50)
        test = TailTest((Mark(float(card[30]), True, 30),), samples=100, window=50)
        test.extend(np.array([(own < card[30]).sum()]), 300)
        chance = test.look(live).chance
        for level in below:
            below[level] += chance <= level
    assert below[0.05] <= 0.05 * 4000 + 3 * (0.05 * 4000) ** 0.5
    assert below[0.01] <= 0.01 * 4000 + 3 * (0.01 * 4000) ** 0.5
    assert below[0.05] >= 0.02 * 4000, "and it is no empty bound"


def test_they_outlive_a_restart() -> None:
    monitor, rng = monitor_of(4)
    changes(monitor, observations(rng, LONGEST + 57))
    again, _ = monitor_of(4)
    again.restore(json.loads(json.dumps(monitor.state())))
    assert again.state() == monitor.state()
    changes(again, observations(rng, 10))
    assert joined_inputs(again) == 67


def test_a_device_that_is_turned_off_every_few_inputs_settles_all_the_same() -> None:
    monitor, rng = monitor_of(6)
    for _ in range((LONGEST + MOST) // 20):
        changes(monitor, observations(rng, 20))
        kept = json.loads(json.dumps(monitor.state()))
        monitor, _ = monitor_of(6)
        monitor.restore(kept)
    assert monitor.is_settled


def test_an_end_just_before_a_restart_is_still_known() -> None:
    monitor, rng = monitor_of(1)
    changes(monitor, observations(rng, LONGEST))
    changes(monitor, observations(rng, 160, darker=60.0))
    while monitor.moved:
        changes(monitor, observations(rng, 20))
    joined = joined_inputs(monitor)
    again, _ = monitor_of(1)
    again.restore(json.loads(json.dumps(monitor.state())))
    changes(again, observations(rng, LONGEST))
    assert joined_inputs(again) == joined
    changes(again, observations(rng, 5))
    assert joined_inputs(again) == joined + 5


@pytest.mark.parametrize(
    "damage",
    [
        {"beyond": [[1, 2, 3]]},
        {"beyond": [[-1]]},
        {"beyond": [[9]]},
        {"totals": []},
        {"rows": {"values": [[0.5]], "classes": [[2, 0, -1, -1, -1]], "probabilities": []}},
        {
            "rows": {
                "values": [[0.5]],
                "classes": [[-2, 0, -1, -1, -1]],
                "probabilities": [[0.9, 0.1, 0, 0, 0]],
            }
        },
        {"rows": {"values": [[0.5]], "classes": [[2, 0, -1, -1, -1]], "probabilities": [[0.9, -1, 0, 0, 0]]}},
        {"rows": {"values": [], "classes": [], "probabilities": []}},
        {"rows": 3},
        {"classes": [[0, -4]]},
        {"classes": 3},
    ],
)
def test_a_damaged_state_is_refused_and_nothing_of_it_taken(damage: dict[str, object]) -> None:
    marks = [(Mark(1.0, True, 10),)]
    first = FirstInputs(marks)
    row = Rows.empty(1, 1)
    row.put(0, [0.5], (2, 0), (0.9, 0.1))
    first.add(row, 2)
    before = first.state()
    whole = {"values": [[0.5]], "classes": [[2, 0, -1, -1, -1]], "probabilities": [[0.9, 0.1, 0, 0, 0]]}
    assert before == {"rows": whole, "totals": [1], "beyond": [[1]], "classes": [[2, 1]]}
    with pytest.raises((ValueError, KeyError, TypeError)):
        first.restore({**before, **damage})
    assert first.state() == before
