"""What one input and its answer tell, at next to no cost beside the inference."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.drift_baseline import likeliest
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.picture_statistics import picture_statistics, some_rows
from edgewise.tensors import Array, FloatArray, TensorSpec

CONFIDENCE, MARGIN = "confidence", "margin"
INPUT_MEAN, INPUT_DEVIATION = "input mean", "input deviation"
"""Of cards made before pictures were measured."""
EMBEDDING_DISTANCE = "embedding distance"
"""1 less the cosine to the mean direction of the baseline's embeddings."""


@dataclass(frozen=True)
class Observation:
    """The statistics of one input by name, and the class that came first."""

    statistics: Mapping[str, float]
    answer: int | None = None
    likeliest: tuple[tuple[int, ...], tuple[float, ...]] = ((), ())
    """Classes and their probabilities, by `edgewise.drift_baseline.likeliest`."""


class Observer:
    """Measures inputs as the baseline was measured."""

    def __init__(
        self,
        image: ImagePreprocess,
        spec: TensorSpec,
        *,
        measures_pictures: bool,
        direction: tuple[float, ...] = (),
    ) -> None:
        """``spec`` is of the model's input. Without ``measures_pictures`` the tensor's mean and deviation are taken.

        ``direction`` is the mean one of the baseline's embeddings, of length 1.
        """
        self._image, self._spec, self._measures_pictures = image, spec, measures_pictures
        self._direction = np.array(direction, np.float32)

    def observe(
        self, tensor: Array, scores: FloatArray | None, embedding: FloatArray | None = None
    ) -> Observation:
        """``tensor`` is a picture as the model takes it, ``scores`` are a classifier's probabilities, [classes].

        ``embedding`` is the answer of a model of embeddings, real numbers of any length.
        """
        found = self._of_picture(tensor) if self._measures_pictures else self._of_tensor(tensor)
        if embedding is not None and embedding.size == self._direction.size:
            norm = float(np.linalg.norm(embedding))
            if 0 < norm < np.inf:
                found[EMBEDDING_DISTANCE] = 1 - float(embedding.ravel() @ self._direction) / norm
        if scores is None or scores.size < 2:
            return Observation(found)
        second, first = np.partition(scores, -2)[-2:]
        answer = int(np.argmax(scores))
        if not 0.0 <= second <= first <= 1.0:  # a foreign file may give raw scores
            return Observation(found, answer)
        found[CONFIDENCE], found[MARGIN] = float(first), float(first - second)
        return Observation(found, answer, likeliest(scores))

    def _of_picture(self, tensor: Array) -> dict[str, float]:
        rows = some_rows(tensor, channels_first=self._spec.layout == "nchw")
        return picture_statistics(self._spec.dequantized(rows), self._image)

    def _of_tensor(self, tensor: Array) -> dict[str, float]:
        real = self._spec.dequantized(tensor)
        return {INPUT_MEAN: float(real.mean()), INPUT_DEVIATION: float(real.std())}
