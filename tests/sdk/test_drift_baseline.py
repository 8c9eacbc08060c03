"""The drift baseline in the card: what a device needs to notice that it meets something else."""

import math
from dataclasses import replace

import numpy as np
import pytest

from edgewise.baseline_text import baseline_rows
from edgewise.drift_baseline import (
    AnswerBaseline,
    ClassCount,
    DriftBaseline,
    Histogram,
    PictureBaseline,
    SampleRows,
    TensorBaseline,
    likeliest,
)
from edgewise.errors import CardError
from edgewise.model_card import ModelCard, TensorCard

TENTHS = tuple(i / 10 for i in range(11))
PSI_ALARM = 0.25
"""The usual rule of thumb: a population stability index above it means another distribution."""


def baseline() -> DriftBaseline:
    """A classifier's baseline of ten samples."""
    few = Histogram((0.0, 0.5, 1.0), (4, 6))
    return DriftBaseline(
        samples=10,
        measured_on="photos/",
        inputs=(TensorBaseline("x", 0.5, 0.25, 0.0, 1.0, few, few, few),),
        answers=AnswerBaseline(
            Histogram(TENTHS, (0, 0, 0, 0, 0, 1, 1, 2, 2, 4)),
            Histogram(TENTHS, (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
            (ClassCount(1, 8), ClassCount(0, 1)),
            1,
        ),
    )


def card(drift: DriftBaseline) -> ModelCard:
    return ModelCard(
        name="n",
        task="image-classification",
        inputs=(TensorCard("x", (1, 4), "float32"),),
        outputs=(TensorCard("y", (1, 2), "float32"),),
        drift=drift,
    )


def stability_index(kept: Histogram, live: Histogram) -> float:
    """Sum of (p - q) ln(p / q), empty bins counted as half a sample."""
    p, q = (np.maximum(h.counts, 0.5) / np.maximum(h.counts, 0.5).sum() for h in (kept, live))
    return float(np.sum((p - q) * np.log(p / q)))


def test_a_baseline_survives_json() -> None:
    assert ModelCard.from_json(card(baseline()).to_json()).drift == baseline()


def test_live_values_counted_between_the_kept_edges_show_drift_and_only_drift() -> None:
    rng = np.random.default_rng(0)
    kept = Histogram.of(rng.beta(5, 2, 400), TENTHS)
    assert stability_index(kept, Histogram.of(rng.beta(5, 2, 400), kept.edges)) < PSI_ALARM
    assert stability_index(kept, Histogram.of(rng.beta(2, 5, 400), kept.edges)) > PSI_ALARM


def test_values_beyond_the_edges_are_in_the_outer_bins_and_nan_in_none() -> None:
    counted = Histogram.of([-5.0, 0.0, 0.49, 0.5, 1.0, 7.0, math.inf, math.nan], (0.0, 0.5, 1.0))
    assert counted.counts == (3, 4) and counted.total == 7


@pytest.mark.parametrize(
    ("edges", "counts", "said"),
    [
        ((0.0, 1.0), (1, 2), "2 edges for 2 bins"),
        ((1.0, 0.0), (1,), "rising"),
        ((0.0, 1.0), (-1,), "below 0"),
    ],
)
def test_a_histogram_that_cannot_be_is_refused(
    edges: tuple[float, ...], counts: tuple[int, ...], said: str
) -> None:
    with pytest.raises(CardError, match=said):
        Histogram(edges, counts)


def test_a_wrong_baseline_in_a_file_is_named_by_its_path() -> None:
    text = card(baseline()).to_json().replace('"samples":10', '"samples":"ten"')
    with pytest.raises(CardError, match=r"drift\.samples: got 'ten', expected an integer"):
        ModelCard.from_json(text)


def test_the_page_says_it_in_short() -> None:
    rows = baseline_rows(baseline(), ("ant", "bee"))
    assert rows[0] == ("baseline", "10 samples of photos/")
    assert rows[1][1] == "input x: mean 0.5, deviation 0.25, 0 to 1"
    assert rows[2][1].startswith("confidence 0 ") and rows[2][1].count("█") == 11
    assert rows[3][1] == "2 or more classes answered, most often bee 8, ant 1"


def test_a_card_made_before_pictures_were_measured_stays_as_it_was() -> None:
    text = card(baseline()).to_json()
    assert "pictures" not in text and ModelCard.from_json(text).drift.pictures is None
    few = Histogram((0.0, 0.5, 1.0), (4, 6))
    with_pictures = replace(baseline(), pictures=(PictureBaseline("brightness", 0.5, few),))
    assert ModelCard.from_json(card(with_pictures).to_json()).drift == with_pictures


def with_rows(rows: SampleRows) -> DriftBaseline:
    few = Histogram((0.0, 0.5, 1.0), (4, 6))
    return replace(baseline(), pictures=(PictureBaseline("brightness", 0.5, few),), rows=rows)


def test_single_samples_survive_json_and_cards_without_stay_as_they_were() -> None:
    rows = SampleRows(((0.5,), (0.25,)), ((1, 0), (0,)), ((0.75, 0.125), (1.0,)))
    assert ModelCard.from_json(card(with_rows(rows)).to_json()).drift == with_rows(rows)
    assert "rows" not in card(baseline()).to_json()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (((((0.5,),) * 201),), "201 samples, expected at most 200"),
        ((((0.5,), (0.5, 0.6)),), "different lengths"),
        ((((0.5, 0.6),),), "got 2 statistics, expected 1"),
        ((((0.5,),), ((1,),), ()), "1 answers with 0 probabilities"),
        ((((0.5,), (0.5,)), ((1,),), ((1.0,),)), "for 2 samples"),
        ((((0.5,),), ((1, 2),), ((1.0,),)), "got classes"),
        ((((0.5,),), ((1, 1),), ((0.5, 0.5),)), "got classes"),
        ((((0.5,),), ((1,),), ((1.5,),)), "got classes"),
        ((((0.5,),), ((-1,),), ((0.5,),)), "got classes"),
        ((((0.5,),), (tuple(range(6)),), ((0.1,) * 6,)), "got classes"),
        ((((0.5,),), ((),), ((),)), "got classes"),
    ],
)
def test_samples_that_cannot_be_are_refused(rows: tuple, said: str) -> None:
    with pytest.raises(CardError, match=said):
        with_rows(SampleRows(*rows))


def test_the_likeliest_classes_come_first() -> None:
    probabilities = np.array([0.01, 0.3, 0.02, 0.55555, 0.03, 0.04, 0.05], np.float32)
    assert likeliest(probabilities) == ((3, 1, 6, 5, 4), (0.556, 0.3, 0.05, 0.04, 0.03))
    assert likeliest(probabilities[:2]) == ((1, 0), (0.3, 0.01))
