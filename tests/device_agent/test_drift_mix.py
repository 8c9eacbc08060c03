"""Inputs compared whole: the chance is a bound, and sees what no statistic by itself shows. Seeds are fixed."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from device_agent.drift_parts import baseline_of, changes, observations, reference

from edgewise.drift_baseline import SampleRows
from edgewise_agent.drift import DriftMonitor, Observation, Reference, message_of, mix, reference_of
from edgewise_agent.drift.draws import sequential_chance
from edgewise_agent.drift.mix import mix_chance
from edgewise_agent.drift.monitor import LONGEST, MIX
from edgewise_agent.drift.rows import Rows

REPEATS = 400
LEAST = 0.01


def rows(rng: np.random.Generator, count: int, *, together: float = 0.8, classes: int = 4) -> Rows:
    """Two statistics that go together, and an answer that goes with the first one."""
    first = rng.normal(size=count)
    second = together * first + (1 - together**2) ** 0.5 * rng.normal(size=count)
    found = Rows.empty(count, 2)
    for place in range(count):
        best = int(np.clip(first[place] * 2 + classes / 2, 0, classes - 1))
        sure = float(rng.uniform(0.5, 1))
        found.put(place, (float(first[place]), float(second[place])), (best, classes), (sure, 1 - sure))
    return found


@pytest.mark.parametrize("level", [0.05, 0.25])
@pytest.mark.parametrize("kept", [20, 150])
def test_without_a_shift_a_level_is_exceeded_as_often_as_it_says(level: float, kept: int) -> None:
    """Within three standard errors, with ties and inputs that lack something as well."""
    rng = np.random.default_rng(kept)
    exceeded = 0
    for seed in range(REPEATS):
        both = [rows(rng, count) for count in (kept, 50)]
        for one in both:
            one.values[:, 1] = one.values[:, 1].round()
            one.values[rng.random(len(one)) < 0.1, 0] = np.nan
            for place in np.flatnonzero(rng.random(len(one)) < 0.1):
                one.put(place, one.values[place], (), ())
        exceeded += mix_chance(*both, least=LEAST, seed=seed) <= level
    assert exceeded / REPEATS <= level + 3 * (level * (1 - level) / REPEATS) ** 0.5
    assert exceeded / REPEATS >= level - 4 * (level * (1 - level) / REPEATS) ** 0.5, (
        "and it is no empty bound"
    )


def test_the_factor_is_lapacks_also_for_inputs_that_repeat() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(75, 4)), 2, axis=0)
    landmarks = rng.permutation(len(points))[:100]
    kernel = np.exp(-np.square(points[:, np.newaxis] - points[landmarks]).sum(axis=2))
    square = kernel[landmarks] + mix._RIDGE * np.eye(100)
    expected = np.linalg.solve(np.linalg.cholesky(square), kernel.T).T
    assert np.allclose(mix._factor(kernel, landmarks), expected, atol=1e-9)


def test_what_goes_together_otherwise_is_seen_though_each_statistic_is_as_it_was() -> None:
    rng = np.random.default_rng(1)
    assert mix_chance(rows(rng, 100), rows(rng, 200, together=-0.8), least=1e-4, seed=0) < 1e-3
    swapped = rows(rng, 200)
    answers = rng.permutation(len(swapped))
    swapped.classes[:], swapped.probabilities[:] = swapped.classes[answers], swapped.probabilities[answers]
    assert mix_chance(rows(rng, 100), swapped, least=1e-4, seed=0) < 1e-3


def test_inputs_that_are_all_alike_and_such_without_statistics_or_answers_are_no_trouble() -> None:
    rng = np.random.default_rng(2)
    alike, usual = Rows.empty(50, 2), rows(rng, 100)
    alike.values[:] = 0.0
    assert mix_chance(alike, alike, least=LEAST, seed=0) > 0.1
    assert mix_chance(usual, alike, least=LEAST, seed=0) <= LEAST
    nothing = Rows.empty(50, 2)
    assert mix_chance(nothing, nothing, least=LEAST, seed=0) > 0.1
    only_answers = [replace(rows(rng, count), values=np.empty((count, 0))) for count in (100, 50)]
    assert mix_chance(*only_answers, least=LEAST, seed=0) > LEAST
    other = replace(only_answers[1], classes=only_answers[1].classes + 100)
    assert mix_chance(only_answers[0], other, least=LEAST, seed=0) <= LEAST


@pytest.mark.parametrize(
    "is_told", [False, True], ids=["every answer of its own classes", "draws until the end"]
)
def test_it_costs_bounded_memory(is_told: bool) -> None:
    rng = np.random.default_rng(3)
    many = rows(rng, 700)
    if is_told:
        many.values[500:] += 3
    else:
        many.classes[:] = rng.permutation(len(many) * 5).reshape(-1, 5)
    tracemalloc.start()
    chance = mix_chance(many.take(slice(500)), many.take(slice(500, 700)), least=1e-2, seed=0)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert (chance < 1e-3) == is_told


def test_chances_by_draws_are_ten_by_how_many_they_took() -> None:
    fifth = iter(range(10_000))
    assert sequential_chance(
        lambda size: np.array([next(fifth) % 5 == 4 for _ in range(size)]), most=1000, at_once=100
    ) == (10 / 50, True)
    assert sequential_chance(lambda size: np.zeros(size, bool), most=999, at_once=100) == (1 / 1000, False)


def test_a_mix_is_told_by_its_name_and_says_of_what() -> None:
    rng = np.random.default_rng(4)
    samples = observations(rng, 100)
    monitor = DriftMonitor(reference(samples))
    assert changes(monitor, observations(rng, LONGEST)) == []
    # As bright and answered with the same classes as ever, but now the class goes with the brightness.
    stream = observations(rng, 2000)
    bright = iter(sorted(one.statistics["brightness"] for one in stream))
    for one in sorted(stream, key=lambda one: one.answer or 0):
        one.statistics["brightness"] = next(bright)  # type: ignore[index]
    rng.shuffle(stream)  # type: ignore[arg-type]
    start = next(change for one in stream if (change := monitor.add(one)))
    assert start.moved[0].name == MIX
    said = message_of(start, monitor)
    assert said.startswith("inputs are another mix than at conversion: ") and "% against" in said


def test_a_mix_of_pictures_without_answers_is_told_by_the_statistic_that_moved_most() -> None:
    rng = np.random.default_rng(5)

    def pictures(count: int, sign: float) -> list[Observation]:
        bright = rng.normal(0, 20, count)
        sharp = sign * bright / 200 + rng.normal(0, 0.01, count)
        return [
            Observation({"brightness": 118 + b, "sharpness": 0.5 + s})
            for b, s in zip(bright.tolist(), sharp.tolist(), strict=True)
        ]

    samples = pictures(100, 1.0)
    whole = tuple((one.statistics["brightness"], one.statistics["sharpness"]) for one in samples)
    with_answers = observations(rng, 100)
    for one, (brightness, sharpness) in zip(with_answers, whole, strict=True):
        one.statistics.update({"brightness": brightness, "sharpness": sharpness})  # type: ignore[attr-defined]
    made = reference_of(replace(baseline_of(with_answers), answers=None, rows=SampleRows(whole)))
    assert isinstance(made, Reference) and made.rows is not None
    monitor = DriftMonitor(made)
    assert changes(monitor, pictures(LONGEST, 1.0)) == []
    start = next(change for one in pictures(400, -1.0) if (change := monitor.add(one)))
    said = message_of(start, monitor)
    assert said.startswith("inputs are another mix than at conversion: mean ") and " against " in said


def test_a_card_without_rows_is_watched_without() -> None:
    rng = np.random.default_rng(6)
    made = reference_of(replace(baseline_of(observations(rng, 100)), rows=None))
    assert isinstance(made, Reference) and made.rows is None
    monitor = DriftMonitor(made)
    assert changes(monitor, observations(rng, 1000)) == []
    (start,) = changes(monitor, observations(rng, 200, darker=60))
    assert MIX not in [one.name for one in start.moved]
