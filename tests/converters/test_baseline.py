"""What the drift baseline adds up, against NumPy on everything at once."""

import numpy as np
import pytest

from edgewise.drift_baseline import MOST_ROWS
from edgewise.model_card import ImagePreprocess, TensorCard
from edgewise_converters.baseline import BaselineObserver, TensorObserver, by_tenths

FLOAT32 = 1e-5
"""Sums of a hundred thousand float32 values keep five digits."""


SIX_DIGITS = 1e-6
"""What a card rounds numbers below 1 to."""


def test_statistics_are_those_of_all_values_together() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(1000 + i, 2, (1, 50, 50, 3)).astype(np.float32) for i in range(20)]
    observer = TensorObserver("x")
    for sample in samples:
        observer.add(sample)
    found = observer.result()
    every = np.stack(samples).astype(np.float64)
    assert found is not None
    assert found.mean == pytest.approx(every.mean(), rel=FLOAT32)
    assert found.deviation == pytest.approx(every.std(), rel=1e-3)
    assert (found.minimum, found.maximum) == (
        pytest.approx(every.min(), rel=FLOAT32),
        pytest.approx(every.max(), rel=FLOAT32),
    )
    assert found.sample_means.total == 20 and max(found.sample_means.counts) == 2
    deviations = [sample.std(dtype=np.float64) for sample in samples]
    assert found.sample_deviations.edges[0] == pytest.approx(min(deviations), rel=1e-4)


def test_what_is_not_finite_is_left_out() -> None:
    observer = TensorObserver("x")
    observer.add(np.array([np.nan, 1, np.inf, 3], np.float32))
    observer.add(np.array([np.nan], np.float32))
    found = observer.result()
    assert found is not None and (found.mean, found.minimum, found.maximum) == (2, 1, 3)
    assert TensorObserver("x").result() is None


def test_bins_hold_about_equally_many_and_a_constant_has_one_bin() -> None:
    assert by_tenths(np.arange(100.0)).counts == (10,) * 10
    constant = by_tenths(np.full(7, 3.0))
    assert constant.counts == (7,) and constant.edges[0] < 3 < constant.edges[-1]
    halves = by_tenths(np.array([0.0] * 50 + list(range(1, 51))))
    assert halves.total == 100 and halves.edges[0] == 0


@pytest.mark.parametrize("activation", ["logits", "probabilities"])
def test_answers_are_counted_as_probabilities(activation: str) -> None:
    observer = BaselineObserver(classifies=True, activation=activation)
    probabilities = np.array([[0.75, 0.15, 0.1]], np.float32)
    scores = np.log(probabilities) + 5 if activation == "logits" else probabilities
    observer.add({"x": np.ones(4)}, {"y": scores})
    found = observer.result("one sample").answers
    assert found is not None
    assert found.confidences.counts[7] == 1 and found.margins.counts[5] + found.margins.counts[6] == 1
    assert found.margins.total == found.confidences.total == 1
    assert [(entry.index, entry.count) for entry in found.classes] == [(0, 1)]


def test_identifiers_of_64_bits_have_a_deviation() -> None:
    observer = TensorObserver("x")
    values = np.array([-(2**63), 2**63 - 1, 2**62, 0] * 20, np.int64)
    observer.add(values)
    found = observer.result()
    assert found is not None
    assert found.deviation == pytest.approx(values.astype(np.float64).std(), rel=FLOAT32)


def test_pictures_are_measured_where_the_only_input_is_one() -> None:
    picture = TensorCard("x", (1, 3, 8, 8), "float32", "nchw", image=ImagePreprocess((8, 8), std=(255.0,)))
    observer = BaselineObserver(classifies=False, inputs=(picture,))
    for brightness in (0.2, 0.4, 0.6):
        observer.add({"x": np.full((1, 3, 8, 8), brightness, np.float32)}, {"y": np.ones(2)})
    found = {one.name: one for one in observer.result("three").pictures or ()}
    assert found["brightness"].mean == pytest.approx(102, rel=1e-5)
    assert found["brightness"].values.total == 3 and found["saturation"].mean == 0
    assert BaselineObserver(classifies=False, inputs=(picture, picture)).result("").pictures is None
    assert BaselineObserver(classifies=False).result("").pictures is None


def test_embeddings_are_told_by_their_mean_direction_and_each_ones_distance_from_that_of_the_others() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 0.3, (50, 16)) + np.eye(16)[0]
    observer = BaselineObserver(classifies=False, embeds=True)
    for vector in vectors:
        observer.add({"x": np.ones(2)}, {"y": 7 * vector[np.newaxis]})
    observer.add({"x": np.ones(2)}, {"y": np.zeros((1, 16))})
    found = observer.result("").embedding
    assert found is not None
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = units.mean(axis=0)
    assert found.direction == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    others = np.delete(units, 3, axis=0).mean(axis=0)
    fourth = 1 - units[3] @ others / np.linalg.norm(others)
    assert found.distances.total == 50
    assert (
        found.distances.edges[0] <= fourth + SIX_DIGITS and fourth - SIX_DIGITS <= found.distances.edges[-1]
    )
    fresh = rng.normal(0, 0.3, (5000, 16)) + np.eye(16)[0]
    far = 1 - fresh @ np.array(found.direction) / np.linalg.norm(fresh, axis=1)
    # A standard error of the mean of 50; leaving the sample itself in would bring 0.01 of 0.5 here.
    assert found.mean_distance == pytest.approx(far.mean(), abs=3 * far.std() / 50**0.5)
    assert BaselineObserver(classifies=False, embeds=True).result("").embedding is None


def test_samples_are_kept_whole_and_at_most_so_many() -> None:
    picture = TensorCard("x", (1, 3, 8, 8), "float32", "nchw", image=ImagePreprocess((8, 8), std=(255.0,)))
    observer = BaselineObserver(classifies=True, activation="probabilities", inputs=(picture,))
    for number in range(300):
        scores = np.array([0.7, 0.2, 0.1] if number % 2 else [0.1, 0.2, 0.7], np.float32)
        pixels = np.full((1, 3, 8, 8), (number % 2 + 1) / 4, np.float32)
        observer.add({"x": pixels}, {"y": scores[np.newaxis]})
    observer.add({"x": pixels}, {"y": np.full((1, 3), np.nan)})  # no answer
    observer.add({"x": pixels}, {"y": np.array([[5.0, 1.0, 0.0]])})  # no probabilities
    observer.add({"x": np.full_like(pixels, np.nan)}, {"y": scores[np.newaxis]})
    found = observer.result("photos/").rows
    assert found is not None and len(found.statistics) == MOST_ROWS
    kept = {
        (round(row[0]), classes, chances)
        for row, classes, chances in zip(found.statistics, found.classes, found.probabilities, strict=True)
    }
    assert kept == {(64, (2, 1, 0), (0.7, 0.2, 0.1)), (128, (0, 1, 2), (0.7, 0.2, 0.1))}
    assert BaselineObserver(classifies=True).result("").rows is None
