"""What a model met and answered where it was made, so that a device can tell when it meets something else.

Histograms are kept with their edges, so that live values can be counted in the same bins and the two compared
(population stability index: the sum over bins of (p - q) ln(p / q)).
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edgewise import typed_json
from edgewise.errors import CardError
from edgewise.tensors import FloatArray

MOST_ROWS = 200
"""Single samples in a card: some 20 kB."""
LIKELIEST = 5
"""Classes kept of one answer."""


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; what lies outside of them is in the first or the last bin."""

    edges: tuple[float, ...]
    """Rising, one more than there are bins. A bin holds its lower edge and not its upper one."""
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or len(self.edges) < 2:
            raise CardError(f"histogram: got {len(self.edges)} edges for {len(self.counts)} bins")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise CardError(f"histogram: got edges {self.edges[:4]}..., expected rising ones")
        if min(self.counts) < 0:
            raise CardError(f"histogram: got a count of {min(self.counts)}, expected none below 0")

    @classmethod
    def of(cls, values: Iterable[float], edges: tuple[float, ...]) -> "Histogram":
        """Count finite ``values`` between ``edges``; NaN is counted nowhere."""
        counts = [0] * (len(edges) - 1)
        for value in values:
            if not math.isnan(value):
                counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
        return cls(edges, tuple(counts))

    @property
    def total(self) -> int:
        """All that was counted."""
        return sum(self.counts)


@dataclass(frozen=True)
class TensorBaseline:
    """One input or output as real numbers (dequantized), over all samples."""

    name: str
    mean: float
    deviation: float
    minimum: float
    maximum: float
    values: Histogram
    """Of single elements; of large samples a seeded choice of them."""
    sample_means: Histogram
    """Of each sample's mean over all its elements: brightness, for pictures."""
    sample_deviations: Histogram
    """Of each sample's standard deviation: contrast, for pictures."""


@dataclass(frozen=True)
class PictureBaseline:
    """One statistic of pictures by `edgewise.preprocess.picture_statistics`, over all samples."""

    name: str
    mean: float
    values: Histogram


@dataclass(frozen=True)
class ClassCount:
    """How often a class was the first answer."""

    index: int
    count: int


@dataclass(frozen=True)
class AnswerBaseline:
    """A classifier's answers, as probabilities."""

    confidences: Histogram
    """The first answer's probability."""
    margins: Histogram
    """The first answer's probability less the second's."""
    classes: tuple[ClassCount, ...]
    """The most frequent first answers, by falling count."""
    other_classes: int = 0
    """First answers that ``classes`` leaves out."""


@dataclass(frozen=True)
class SampleRows:
    """Single samples, chosen by chance among all: what each was like, and what was answered to it."""

    statistics: tuple[tuple[float, ...], ...]
    """[samples, statistics]: each in the order of the baseline's ``pictures``."""
    classes: tuple[tuple[int, ...], ...] = ()
    """[samples, at most `LIKELIEST`], the likeliest first; empty for models that do not classify."""
    probabilities: tuple[tuple[float, ...], ...] = ()
    """Of the same classes."""

    def __post_init__(self) -> None:
        count = len(self.statistics)
        if count > MOST_ROWS:
            raise CardError(f"rows: got {count} samples, expected at most {MOST_ROWS}")
        if any(len(row) != len(self.statistics[0]) for row in self.statistics):
            raise CardError("rows: got statistics of different lengths")
        if len(self.classes) != len(self.probabilities) or len(self.classes) not in (0, count):
            raise CardError(
                f"rows: got {len(self.classes)} answers with {len(self.probabilities)} probabilities "
                f"for {count} samples"
            )
        for classes, probabilities in zip(self.classes, self.probabilities, strict=True):
            if not 1 <= len(classes) == len(probabilities) <= LIKELIEST or len({*classes}) < len(classes):
                raise CardError(f"rows: got classes {classes} with probabilities {probabilities}")
            if min(classes) < 0 or min(probabilities) < 0 or max(probabilities) > 1:
                raise CardError(f"rows: got classes {classes} with probabilities {probabilities}")


def likeliest(probabilities: FloatArray) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The `LIKELIEST` classes of one answer, [classes], the likeliest first; their probabilities to a thousandth."""
    most = min(LIKELIEST, probabilities.size)
    found = np.argpartition(probabilities, -most)[-most:]
    found = found[np.argsort(-probabilities[found], kind="stable")]
    return tuple(found.tolist()), tuple(round(chance, 3) for chance in probabilities[found].tolist())


@dataclass(frozen=True)
class EmbeddingBaseline:
    """Where embeddings lie: their mean direction, and how far from it they are."""

    direction: tuple[float, ...]
    """Of length 1 (L2)."""
    mean_distance: float
    distances: Histogram
    """Of each sample, 1 less its cosine to the mean direction of all others, so that a new one is as far by chance."""


@dataclass(frozen=True)
class DriftBaseline:
    """What this very file met and answered on the samples it was made with."""

    samples: int
    measured_on: str
    inputs: tuple[TensorBaseline, ...]
    outputs: tuple[TensorBaseline, ...] = ()
    """Of models that do not classify."""
    answers: AnswerBaseline | None = None
    """Of classifiers."""
    pictures: tuple[PictureBaseline, ...] | None = field(
        default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True}
    )
    """Of models whose one input is a picture; cards of earlier versions have none."""
    embedding: EmbeddingBaseline | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """Of models whose answer is an embedding."""
    rows: SampleRows | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """Of models whose one input is a picture; cards of earlier versions have none."""

    def __post_init__(self) -> None:
        if self.rows is not None and self.rows.statistics:
            got, expected = len(self.rows.statistics[0]), len(self.pictures or ())
            if got != expected:
                raise CardError(f"rows: got {got} statistics, expected {expected}, one for each of pictures")
