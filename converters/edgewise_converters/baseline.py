"""Gathers the drift baseline of a written file: what it meets and answers, sample by sample."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from edgewise.drift_baseline import (
    MOST_ROWS,
    AnswerBaseline,
    ClassCount,
    DriftBaseline,
    EmbeddingBaseline,
    Histogram,
    PictureBaseline,
    SampleRows,
    TensorBaseline,
    likeliest,
)
from edgewise.model_card import TensorCard
from edgewise.preprocess.picture_statistics import picture_statistics, some_rows
from edgewise.tasks.classification import softmax
from edgewise.tensors import Array

MOST_TENSORS = 4
"""Inputs or outputs described; a card stays a few kilobytes."""
MOST_CLASSES = 256
"""As many as a device can compare one by one; the rarer ones of a larger set are lumped together."""
_BINS = 10
_KEPT_OF_SAMPLE = 2048
"""Elements of one sample that go into the histogram of values."""
_PROBABILITY_EDGES = tuple(round(i / _BINS, 1) for i in range(_BINS + 1))
_DIGITS = 6


class TensorObserver:
    """Adds up one tensor over samples."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rng = np.random.default_rng(0)
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._minimum, self._maximum = np.inf, -np.inf
        self._values: list[Array] = []
        self._means: list[float] = []
        self._deviations: list[float] = []

    def add(self, array: Array) -> None:
        """One sample, real numbers. What is not finite is left out."""
        flat = np.asarray(array, np.float32).reshape(-1)
        total = float(flat.sum(dtype=np.float64))
        if not np.isfinite(total):
            flat = flat[np.isfinite(flat)]
            total = float(flat.sum(dtype=np.float64))
        if not flat.size:
            return
        mean = total / flat.size
        away = flat - np.float32(mean)
        with np.errstate(over="ignore"):
            squares = float(away @ away)  # about the mean: squares of the values themselves would cancel
        if not np.isfinite(squares):  # identifiers of 64 bits
            squares = float(np.square(away, dtype=np.float64).sum())
        self._count += flat.size
        self._sum += total
        self._squares += squares + flat.size * mean * mean
        self._minimum = min(self._minimum, float(flat.min()))
        self._maximum = max(self._maximum, float(flat.max()))
        self._means.append(mean)
        self._deviations.append(float(np.sqrt(squares / flat.size)))
        many = flat.size > _KEPT_OF_SAMPLE
        self._values.append(flat[self._rng.integers(0, flat.size, _KEPT_OF_SAMPLE)] if many else flat)

    def result(self) -> TensorBaseline | None:
        """What was seen; None for a tensor without a finite element."""
        if not self._count:
            return None
        mean = self._sum / self._count
        deviation = float(np.sqrt(max(self._squares / self._count - mean * mean, 0.0)))
        return TensorBaseline(
            name=self._name,
            mean=_short(mean),
            deviation=_short(deviation),
            minimum=_short(self._minimum),
            maximum=_short(self._maximum),
            values=by_tenths(np.concatenate(self._values)),
            sample_means=by_tenths(np.array(self._means)),
            sample_deviations=by_tenths(np.array(self._deviations)),
        )


class PictureObserver:
    """Adds up the statistics of pictures over samples."""

    def __init__(self, card: TensorCard) -> None:
        """``card`` is of an input that pictures become."""
        assert card.image is not None
        self._spec, self._channels_first = card.image, card.layout == "nchw"
        self._values: dict[str, list[float]] = {}

    def add(self, array: Array) -> tuple[float, ...]:
        """One sample, real numbers; gives its statistics. What is not finite is left out."""
        rows = some_rows(array, channels_first=self._channels_first)
        found = picture_statistics(rows, self._spec)
        for name, value in found.items():
            if np.isfinite(value):
                self._values.setdefault(name, []).append(value)
        return tuple(_short(value) for value in found.values())

    def result(self) -> tuple[PictureBaseline, ...]:
        """What was seen."""
        return tuple(
            PictureBaseline(name, _short(float(np.mean(values))), by_tenths(np.array(values)))
            for name, values in self._values.items()
        )


class RowObserver:
    """Keeps samples whole: their statistics, and the classes answered. What is not finite is left out."""

    def __init__(self, *, classifies: bool) -> None:
        self._classifies = classifies
        self._rows: list[tuple[tuple[float, ...], tuple[int, ...], tuple[float, ...]]] = []

    def add(self, statistics: tuple[float, ...], probabilities: Array | None) -> None:
        """One sample; ``probabilities`` [classes], None where the answer was none."""
        if not np.isfinite(statistics).all() or (self._classifies and probabilities is None):
            return
        classes, chances = likeliest(probabilities) if probabilities is not None else ((), ())
        self._rows.append((statistics, classes, chances))

    def result(self) -> SampleRows | None:
        """A seeded choice of them."""
        if not self._rows:
            return None
        most = min(MOST_ROWS, len(self._rows))
        chosen = sorted(np.random.default_rng(0).choice(len(self._rows), most, replace=False))
        statistics, classes, chances = zip(*(self._rows[place] for place in chosen), strict=True)
        return SampleRows(statistics, classes, chances) if self._classifies else SampleRows(statistics)


class EmbeddingObserver:
    """Gathers embeddings. What has no direction is left out."""

    def __init__(self) -> None:
        self._units: list[Array] = []

    def add(self, vector: Array) -> None:
        """One sample's, real numbers of any length."""
        flat = np.asarray(vector, np.float64).ravel()
        norm = float(np.linalg.norm(flat))
        if 0 < norm < np.inf:
            self._units.append(flat / norm)

    def result(self) -> EmbeddingBaseline | None:
        """None for fewer than two, or for such as have no direction in common."""
        if len(self._units) < 2:
            return None
        units = np.stack(self._units)
        total = units.sum(axis=0)
        others = total - units
        norms = np.linalg.norm(others, axis=1)
        length = float(np.linalg.norm(total))
        if length == 0 or not norms.all():
            return None
        distances = 1 - (units * others).sum(axis=1) / norms
        direction = tuple(_short(value) for value in (total / length).tolist())
        return EmbeddingBaseline(direction, _short(float(distances.mean())), by_tenths(distances))


class BaselineObserver:
    """Adds up a file's inputs and answers."""

    def __init__(
        self,
        *,
        classifies: bool,
        activation: str = "",
        inputs: Sequence[TensorCard] = (),
        embeds: bool = False,
    ) -> None:
        """``activation`` is what the first output of a classifier holds: logits or probabilities.

        ``inputs`` are the card's: whether its only one is a picture. ``embeds`` says that the first output is an
        embedding.
        """
        self._embeddings = EmbeddingObserver() if embeds else None
        self._classifies, self._activation = classifies, activation
        is_picture = len(inputs) == 1 and inputs[0].image is not None
        self._pictures = PictureObserver(inputs[0]) if is_picture else None
        self._rows = RowObserver(classifies=classifies)
        self._samples = 0
        self._inputs: dict[str, TensorObserver] = {}
        self._outputs: dict[str, TensorObserver] = {}
        self._confidences: list[float] = []
        self._margins: list[float] = []
        self._classes: Counter[int] = Counter()

    def add(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """One sample: real numbers by name, of which the first output holds a classifier's scores."""
        self._samples += 1
        _observe(self._inputs, inputs)
        probabilities = None
        if self._classifies:
            probabilities = self._answer(next(iter(outputs.values())))
        else:
            _observe(self._outputs, outputs)
        if self._pictures is not None:
            self._rows.add(self._pictures.add(next(iter(inputs.values()))), probabilities)
        if self._embeddings is not None:
            self._embeddings.add(next(iter(outputs.values())))

    def _answer(self, scores: Array) -> Array | None:
        """Takes it in; the probabilities, None where there are none."""
        scores = np.asarray(scores, np.float64).ravel()
        if scores.size < 2 or np.isnan(scores).any():
            return None
        if self._activation == "logits":
            scores = softmax(scores)  # type: ignore[arg-type]  # float64 keeps more digits than it asks for
        second, first = np.sort(scores)[-2:]
        self._confidences.append(float(first))
        self._margins.append(float(first - second))
        self._classes[int(np.argmax(scores))] += 1
        return scores if 0.0 <= second <= first <= 1.0 else None  # a foreign file may give raw scores

    def result(self, measured_on: str) -> DriftBaseline:
        """What was added."""
        return DriftBaseline(
            samples=self._samples,
            measured_on=measured_on,
            inputs=_results(self._inputs),
            outputs=_results(self._outputs),
            answers=self._answers() if self._classifies else None,
            pictures=self._pictures.result() if self._pictures else None,
            embedding=self._embeddings.result() if self._embeddings else None,
            rows=self._rows.result(),
        )

    def _answers(self) -> AnswerBaseline:
        common = sorted(self._classes.items(), key=lambda item: (-item[1], item[0]))
        return AnswerBaseline(
            Histogram.of(self._confidences, _PROBABILITY_EDGES),
            Histogram.of(self._margins, _PROBABILITY_EDGES),
            tuple(ClassCount(index, count) for index, count in common[:MOST_CLASSES]),
            sum(count for _, count in common[MOST_CLASSES:]),
        )


def by_tenths(values: Array) -> Histogram:
    """A histogram of up to ten bins that hold about equally many, as a stability index wants them."""
    edges = np.unique([_short(edge) for edge in np.quantile(values, np.linspace(0, 1, _BINS + 1))])
    if len(edges) < 2:
        width = max(abs(edges[0]), 1.0)
        edges = np.array([edges[0] - width, edges[0] + width])
    return Histogram.of(map(float, values), tuple(map(float, edges)))


def _observe(observers: dict[str, TensorObserver], tensors: Mapping[str, Array]) -> None:
    for name in list(tensors)[:MOST_TENSORS]:
        observers.setdefault(name, TensorObserver(name)).add(tensors[name])


def _results(observers: Mapping[str, TensorObserver]) -> tuple[TensorBaseline, ...]:
    results = (observer.result() for observer in observers.values())
    return tuple(result for result in results if result is not None)


def _short(number: float) -> float:
    """Six significant digits: enough to count by, and short in a card."""
    return float(f"{number:.{_DIGITS}g}")
