"""The monitor on streams whose distribution is known. Seeds are fixed: what is counted here is always the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
from device_agent.drift_parts import (
    LABELS,
    SHARES,
    baseline_of,
    changes,
    observations,
    reference,
    tenths_of,
)

from edgewise.drift_baseline import DriftBaseline, EmbeddingBaseline, Histogram, TensorBaseline
from edgewise_agent.drift import DriftMonitor, Observation, Reference, message_of, reference_of
from edgewise_agent.drift.monitor import HOLD_INPUTS, LONGEST
from edgewise_agent.drift.observation import EMBEDDING_DISTANCE, INPUT_DEVIATION, INPUT_MEAN

SEEN_WITHIN = 200


def monitor_of(seed: int, samples: int = 100) -> tuple[DriftMonitor, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return DriftMonitor(reference(observations(rng, samples))), rng


def test_without_a_shift_there_is_at_most_one_alarm_in_ten_thousand_inputs() -> None:
    """Over twenty baselines of a hundred samples: the error of such a baseline is not taken for drift."""
    alarms = inputs = 0
    for seed in range(20):
        monitor, rng = monitor_of(seed)
        alarms += sum(change.is_start for change in changes(monitor, observations(rng, 2500)))
        inputs += 2500
    assert alarms <= inputs / 10_000


@pytest.mark.parametrize(
    ("shift", "name"),
    [
        ({"darker": 30.0}, "brightness"),
        ({"darker": -30.0}, "brightness"),
        ({"sharper": -0.05}, "sharpness"),
        ({"surer": 0.25}, "confidence"),
        ({"shares": np.array([0.0, 0.0, 0.4, 0.3, 0.2, 0.1])}, "classes"),
    ],
)
def test_a_shift_is_seen_within_two_hundred_inputs_and_by_its_name(shift: dict, name: str) -> None:
    for seed in range(5):
        monitor, rng = monitor_of(seed)
        assert changes(monitor, observations(rng, LONGEST)) == []
        (start,) = changes(monitor, observations(rng, SEEN_WITHIN, **shift))
        assert start.is_start and name in [one.name for one in start.moved]


def test_a_baseline_of_other_photos_is_not_needed_to_see_a_shift_from_the_first_input_on() -> None:
    monitor, rng = monitor_of(1)
    (start,) = changes(monitor, observations(rng, 60, darker=60))
    assert start.inputs <= 60


def test_a_drift_starts_once_is_held_and_ends_once() -> None:
    monitor, rng = monitor_of(2)
    said = changes(monitor, observations(rng, 1000, darker=40))
    assert [change.is_start for change in said] == [True]
    assert monitor.moved and monitor.readings()["drift.moved"] >= 1
    back = observations(rng, 2 * LONGEST)
    at = [place for place, one in enumerate(back) if monitor.add(one)]
    assert len(at) == 1 and at[0] >= HOLD_INPUTS, (
        "it is over when nothing has exceeded the lower level for a while"
    )
    assert monitor.moved == () and monitor.readings()["drift.moved"] == 0


def test_what_lies_between_both_levels_starts_nothing_and_ends_nothing() -> None:
    little = 11.0
    quiet, rng = monitor_of(4)
    assert changes(quiet, observations(rng, 200, darker=little)) == []
    moved, rng = monitor_of(4)
    changes(moved, observations(rng, 400, darker=40))
    assert changes(moved, observations(rng, 500, darker=20)) == [] and moved.moved


def test_the_message_says_what_moved_and_by_how_much() -> None:
    monitor, rng = monitor_of(0)
    (start,) = changes(monitor, observations(rng, 60, darker=60))
    assert message_of(start, monitor).startswith("pictures are darker than at conversion: mean brightness 5")
    assert " against 120" in message_of(start, monitor)
    monitor, rng = monitor_of(0)
    none_of_two = np.array([0.0, 0.0, 0.5, 0.3, 0.1, 0.1])
    stream = iter(observations(rng, 400, shares=none_of_two))
    start = next(change for one in stream if (change := monitor.add(one)))
    said = message_of(start, monitor)
    assert "answers are of other classes than at conversion: fewer of bee (0% against" in said
    assert "and more of cat (" in said


def test_a_wider_spread_with_the_same_mean_is_told_by_its_share() -> None:
    rng = np.random.default_rng(0)
    samples = observations(rng, 200)
    monitor = DriftMonitor(reference(samples))
    wild = observations(rng, 400)
    for place, one in enumerate(wild):  # half of them much too bright, half of them too dark by a little more
        one.statistics["brightness"] = 165.0 if place % 2 else 60.0  # type: ignore[index]
    start = next(change for one in wild if (change := monitor.add(one)))
    assert "brightness" in [one.name for one in start.moved]
    sentences = message_of(start, monitor)
    assert "against" in sentences and "than at conversion" in sentences


def test_an_ended_drift_says_what_had_moved() -> None:
    monitor, rng = monitor_of(2)
    changes(monitor, observations(rng, 300, darker=40))
    end = next(change for one in observations(rng, 600) if (change := monitor.add(one)))
    assert message_of(end, monitor).startswith("as at conversion again after ")
    assert "brightness" in message_of(end, monitor)


def test_a_restart_goes_on_with_the_drift_and_the_window() -> None:
    monitor, rng = monitor_of(3)
    changes(monitor, observations(rng, 310, darker=40))
    again = DriftMonitor(monitor.reference)
    again.restore(json.loads(json.dumps(monitor.state())))
    assert [one.name for one in again.moved] == [one.name for one in monitor.moved]
    assert again.readings() == monitor.readings()
    assert changes(again, observations(rng, 200, darker=40)) == [], "it is the same drift, and it still is"
    (end,) = changes(again, observations(rng, 600))
    assert not end.is_start
    with pytest.raises((KeyError, TypeError, ValueError)):
        again.restore({"window": {"names": []}})


def test_readings_are_few_and_small() -> None:
    monitor, rng = monitor_of(0)
    changes(monitor, observations(rng, 20))
    assert monitor.readings() == {"drift.moved": 0}, "indices of a few inputs would say nothing"
    changes(monitor, observations(rng, 400))
    readings = monitor.readings()
    assert set(readings) == {
        "drift.moved", "drift.psi_inputs", "drift.psi_confidence", "drift.psi_margin", "drift.psi_classes",
        "drift.switch_rate",
    }  # fmt: skip
    assert all(0 <= value < 1 for value in readings.values())
    assert len(json.dumps(readings)) < 200


@pytest.mark.parametrize("samples", [20, 5000])
def test_small_and_large_baselines_are_both_compared_with(samples: int) -> None:
    monitor, rng = monitor_of(0, samples)
    assert changes(monitor, observations(rng, 400)) == []
    assert len(changes(monitor, observations(rng, 200, darker=80))) == 1


def test_without_a_baseline_there_is_a_reason() -> None:
    rng = np.random.default_rng(0)
    assert reference_of(None) == "the model's card has no baseline; convert it with --samples"
    few = reference_of(baseline_of(observations(rng, 19)))
    assert few == "the card's baseline has 19 samples, at least 20 are needed"
    empty = replace(baseline_of(observations(rng, 30)), answers=None, pictures=None, rows=None)
    assert reference_of(empty) == "the card's baseline says nothing about pictures or answers"


def test_a_card_of_an_earlier_version_is_compared_by_its_input_tensor() -> None:
    rng = np.random.default_rng(0)
    means = Histogram((0.0, 0.4, 0.5, 0.6, 1.0), (10, 40, 40, 10))
    tensor = TensorBaseline("x", 0.5, 0.2, 0.0, 1.0, means, means, means)
    old = replace(baseline_of(observations(rng, 100)), pictures=None, rows=None, inputs=(tensor,))
    found = reference_of(old, LABELS)
    assert isinstance(found, Reference) and not found.measures_pictures
    assert [scalar.name for scalar in found.scalars][:2] == [INPUT_MEAN, INPUT_DEVIATION]
    monitor = DriftMonitor(found)
    stream = observations(rng, 60, shares=SHARES)
    for one in stream:
        one.statistics.update({INPUT_MEAN: 1.5, INPUT_DEVIATION: 0.5})  # type: ignore[attr-defined]
    start = next(change for one in stream if (change := monitor.add(one)))
    assert "inputs are higher than at conversion: mean 1.5 against 0.5" in message_of(start, monitor)


def test_embeddings_that_turn_away_are_seen_and_those_that_stay_are_not() -> None:
    rng = np.random.default_rng(4)
    distances = rng.beta(2, 20, 100)
    embedding = EmbeddingBaseline((1.0, 0.0), float(distances.mean()), tenths_of(distances.tolist()))
    made = reference_of(DriftBaseline(samples=100, measured_on="photos/", inputs=(), embedding=embedding))
    assert isinstance(made, Reference) and made.direction == (1.0, 0.0)
    monitor = DriftMonitor(made)

    def stream(count: int, further: float) -> list[Observation]:
        return [Observation({EMBEDDING_DISTANCE: float(x) + further}) for x in rng.beta(2, 20, count)]

    assert changes(monitor, stream(1000, 0.0)) == []
    for one in stream(SEEN_WITHIN, 0.15):
        change = monitor.add(one)
        if change is not None:
            break
    assert change is not None and change.is_start
    assert message_of(change, monitor).startswith(
        "embeddings are less alike than at conversion: mean distance"
    )
    assert changes(monitor, stream(LONGEST, 0.15)) == []
    assert monitor.readings()["drift.psi_embedding"] > 0.25
