"""The card's baseline as the monitor compares with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.drift_baseline import AnswerBaseline, DriftBaseline, EmbeddingBaseline, Histogram
from edgewise_agent.drift.classes import OTHER
from edgewise_agent.drift.observation import (
    CONFIDENCE,
    EMBEDDING_DISTANCE,
    INPUT_DEVIATION,
    INPUT_MEAN,
    MARGIN,
)
from edgewise_agent.drift.rows import Rows

FEWEST_SAMPLES = 20
"""With fewer no test that is held to one false alarm in thousands of inputs could see anything."""


@dataclass(frozen=True)
class ScalarReference:
    """One statistic of single inputs."""

    name: str
    mean: float
    histogram: Histogram
    has_outer: bool
    """Whether the outermost edges are the smallest and the largest value, and no fixed grid."""


@dataclass(frozen=True)
class Reference:
    """What is compared with."""

    samples: int
    measured_on: str
    scalars: tuple[ScalarReference, ...]
    classes: Mapping[int, int]
    """First answers by class, `classes.OTHER` for those that the card lumps together; empty without a classifier."""
    labels: tuple[str, ...] = ()
    direction: tuple[float, ...] = ()
    """The mean one of embeddings, where the model makes them."""
    rows: Rows | None = None
    """Samples taken whole: the first statistics of ``scalars``, those of pictures, and the answers."""

    @property
    def measures_pictures(self) -> bool:
        """Whether the baseline holds statistics of pictures, and not only of the tensor."""
        return all(scalar.name != INPUT_MEAN for scalar in self.scalars)


def reference_of(baseline: DriftBaseline | None, labels: tuple[str, ...] = ()) -> Reference | str:
    """The reference, or why there is none, for people."""
    if baseline is None:
        return "the model's card has no baseline; convert it with --samples"
    if baseline.samples < FEWEST_SAMPLES:
        return f"the card's baseline has {baseline.samples} samples, at least {FEWEST_SAMPLES} are needed"
    embedding = baseline.embedding
    scalars = [*_of_inputs(baseline), *_of_answers(baseline.answers), *_of_embeddings(embedding)]
    if not scalars:
        return "the card's baseline says nothing about pictures or answers"
    return Reference(
        samples=baseline.samples,
        measured_on=baseline.measured_on,
        scalars=tuple(scalars),
        classes=_classes(baseline.answers),
        labels=labels,
        direction=embedding.direction if embedding else (),
        rows=_rows(baseline),
    )


def _of_inputs(baseline: DriftBaseline) -> list[ScalarReference]:
    if baseline.pictures is not None:
        return [ScalarReference(one.name, one.mean, one.values, True) for one in baseline.pictures]
    if len(baseline.inputs) != 1:
        return []
    tensor = baseline.inputs[0]
    return [
        ScalarReference(INPUT_MEAN, _mean(tensor.sample_means), tensor.sample_means, True),
        ScalarReference(INPUT_DEVIATION, _mean(tensor.sample_deviations), tensor.sample_deviations, True),
    ]


def _of_answers(answers: AnswerBaseline | None) -> list[ScalarReference]:
    if answers is None or not answers.confidences.total:
        return []
    return [
        ScalarReference(CONFIDENCE, _mean(answers.confidences), answers.confidences, False),
        ScalarReference(MARGIN, _mean(answers.margins), answers.margins, False),
    ]


def _of_embeddings(embedding: EmbeddingBaseline | None) -> list[ScalarReference]:
    if embedding is None:
        return []
    return [ScalarReference(EMBEDDING_DISTANCE, embedding.mean_distance, embedding.distances, True)]


def _rows(baseline: DriftBaseline) -> Rows | None:
    """None where a card of an earlier version has none, or so few that no test could see anything."""
    rows = baseline.rows
    return Rows.of(rows) if rows is not None and len(rows.statistics) >= FEWEST_SAMPLES else None


def _classes(answers: AnswerBaseline | None) -> dict[int, int]:
    if answers is None:
        return {}
    counts = {entry.index: entry.count for entry in answers.classes}
    return {**counts, OTHER: answers.other_classes} if answers.other_classes else counts


def _mean(histogram: Histogram) -> float:
    """As near as the bins tell."""
    middles = [(low + high) / 2 for low, high in zip(histogram.edges, histogram.edges[1:], strict=False)]
    return sum(m * c for m, c in zip(middles, histogram.counts, strict=True)) / max(histogram.total, 1)
