"""Scores of windows that follow each other: their running mean, and when it is news."""

import numpy as np

from edgewise.errors import CardError
from edgewise.preprocess.samples import Samples


class ScoreSmoother:
    """The mean of the last ``size`` rows of scores, or of those that there are (Chen, Parada, Heigold, "Small-footprint
    keyword spotting using deep neural networks", ICASSP 2014, equation 1). Its memory does not grow.
    """

    def __init__(self, size: int, *, what: str) -> None:
        """``what`` begins the message. Raises CardError for less than one row."""
        if size < 1:
            raise CardError(f"{what}: smooth: got {size}, expected at least 1")
        self._recent: Samples = np.zeros((size, 0))
        self.reset()

    def reset(self) -> None:
        """Begin another stream."""
        self._rows = 0

    def push(self, scores: Samples) -> Samples:
        """The means, with this row."""
        if self._recent.shape[1] != len(scores):
            self._recent = np.zeros((len(self._recent), len(scores)))
        self._recent[self._rows % len(self._recent)] = scores
        self._rows += 1
        return np.asarray(self._recent[: self._rows].mean(axis=0))


class EventGate:
    """Lets through what begins: the best class at or above ``threshold``.

    No other follows within ``refractory_s``, nor the same class until its mean has been below the threshold.
    """

    def __init__(self, threshold: float, refractory_s: float, *, what: str) -> None:
        """``what`` begins the message. Raises CardError for numbers out of range."""
        for name, value, fits, wanted in (
            ("threshold", threshold, 0 < threshold <= 1, "more than 0, at most 1"),
            ("refractory_s", refractory_s, refractory_s >= 0, "0 or more"),
        ):
            if not fits:
                raise CardError(f"{what}: {name}: got {value}, expected {wanted}")
        self._threshold, self._refractory_s = threshold, refractory_s
        self.reset()

    def reset(self) -> None:
        """Begin another stream at 0 s."""
        self._last_s = -np.inf
        self._begun = -1
        """The index of the class that has not ended; -1 for none."""

    def push(self, means: Samples, time_s: float, ignored: Samples | None = None) -> int | None:
        """The index of the class that begins now; None for none. ``ignored`` is bool, by class."""
        if self._begun >= 0 and means[self._begun] < self._threshold:
            self._begun = -1
        if ignored is not None and len(ignored):
            means = np.where(ignored, -np.inf, means)
        best = int(means.argmax())
        too_soon = time_s - self._last_s < self._refractory_s
        if means[best] < self._threshold or best == self._begun or too_soon:
            return None
        self._last_s, self._begun = time_s, best
        return best
