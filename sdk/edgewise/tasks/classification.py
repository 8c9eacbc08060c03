"""What is in the picture: scores to categories."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.geometry import View
from edgewise.tasks.base import Setup
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray, TensorSpec

TOP = 5
"""How many categories an answer has unless asked for."""


@dataclass(frozen=True)
class Category:
    """One answer; ``label`` is "" when the model file names none for this index."""

    index: int
    label: str
    score: float

    def __str__(self) -> str:
        return f"{self.label or f'#{self.index}'} {self.score:.3f}"


@dataclass(frozen=True)
class Classification:
    """The most likely categories of one picture, best first."""

    categories: tuple[Category, ...]
    timings: Timings

    @property
    def top(self) -> Category:
        """The best one."""
        return self.categories[0]

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """One line for a person about each category."""
        return [f"{one.score:.3f}  {one.label or f'#{one.index}'}" for one in self.categories]

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.categories))} ({self.latency_ms:.1f} ms)"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Classifier:
    """The task of naming what is in a picture: the first output holds one score for each category."""

    def __init__(self, setup: Setup) -> None:
        self._output = setup.outputs[0]
        self._scores = ScoreReader(self._output, labels=setup.labels, activation=setup.activation)
        self._near_tie = setup.options.near_tie

    def is_near_tie(self, outputs: Mapping[str, Array]) -> bool:
        """Whether the two best scores are no further apart than the app's ``near_tie``, which is not 0.

        Raises InvalidInput when the output holds NaN.
        """
        if not self._near_tie or outputs[self._output.name].size < 2:
            return False
        second, first = np.partition(self._scores.scores(outputs[self._output.name]), -2)[-2:]
        return bool(first - second <= self._near_tie)

    def answer(
        self, outputs: Mapping[str, Array], view: View, *, top: int | None, watch: Stopwatch
    ) -> Classification:
        """See `Task.answer`; ``top`` is by default 5."""
        categories = self._scores.read(outputs[self._output.name], TOP if top is None else top)
        return Classification(categories, watch.timings())


class ScoreReader:
    """Turns a classifier's output tensor into categories."""

    def __init__(self, output: TensorSpec, *, labels: tuple[str, ...] = (), activation: str = "") -> None:
        """``activation`` is logits, probabilities, or "" when unknown: scores are then given as they are.

        Raises CardError when the labels cannot belong to the output.
        """
        count = output.shape[-1] if output.shape else 0
        if labels and count > 0 and len(labels) != count:
            raise CardError(f"output '{output.name}': got {len(labels)} labels for {count} scores")
        self._output, self._labels, self._activation = output, labels, activation

    def read(self, output: Array, top: int) -> tuple[Category, ...]:
        """The ``top`` best of one picture's scores, best first; among equals the lower index.

        Raises InvalidInput when the output holds NaN, so that no answer is made up.
        """
        return self.best(self.scores(output), top)

    def scores(self, output: Array) -> FloatArray:
        """All of them by index, (count,), float32. Raises InvalidInput when the output holds NaN."""
        quantization = self._output.quantization
        scores: FloatArray = quantization.dequantize(output) if quantization else output.astype(np.float32)
        scores = scores.ravel()
        if np.isnan(scores).any():
            raise InvalidInput(f"output '{self._output.name}': the model gave NaN for this picture")
        return softmax(scores) if self._activation == "logits" else scores

    def best(self, scores: FloatArray, top: int) -> tuple[Category, ...]:
        """The ``top`` best of these scores, best first; among equals the lower index."""
        best = np.argsort(-scores, kind="stable")[: max(top, 1)]
        return tuple(Category(int(index), self._label(index), float(scores[index])) for index in best)

    def _label(self, index: int) -> str:
        return self._labels[index] if index < len(self._labels) else ""


def softmax(logits: FloatArray) -> FloatArray:
    """Logits of one picture to probabilities."""
    exponents = np.exp(logits - logits.max())
    probabilities: FloatArray = exponents / exponents.sum()
    return probabilities
