"""Words in a stream of sound: a classifier on a window that slides, smoothed, one event for each utterance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.errors import CardError
from edgewise.preprocess.framing import Framer
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tasks.audio_classification import AudioClassifier

NOT_WORDS = ("_silence_", "_unknown_", "silence", "unknown", "_background_noise_")
"""Labels of no word, as in TensorFlow's speech_commands example."""


@dataclass(frozen=True)
class Keyword:
    """One utterance of a word."""

    index: int
    label: str
    score: float
    """Mean of the smoothed windows."""
    time_s: float
    """Since the beginning of the stream: the end of the window in which the word was recognised."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class KeywordSpotter:
    """Finds words in one stream; its memory does not grow.

    Scores are averaged over the last ``smooth`` windows (Chen, Parada, Heigold, "Small-footprint keyword spotting
    using deep neural networks", ICASSP 2014, equation 1). The best word at or above ``threshold`` is an event; no
    other follows within ``refractory_s``, nor the same word until its mean has been below the threshold.
    """

    def __init__(
        self,
        classifier: AudioClassifier,
        *,
        step_s: float = 0.1,
        smooth: int = 3,
        threshold: float = 0.6,
        refractory_s: float = 1.0,
        ignore: Sequence[str] = NOT_WORDS,
    ) -> None:
        """``ignore`` are labels that are no events. Raises CardError for numbers out of range."""
        self._step = round(step_s * classifier.rate_hz)
        for what, value, fits, wanted in (
            ("step_s", step_s, 1 <= self._step <= classifier.samples, "a sample to a window"),
            ("smooth", smooth, smooth >= 1, "at least 1"),
            ("threshold", threshold, 0 < threshold <= 1, "more than 0, at most 1"),
            ("refractory_s", refractory_s, refractory_s >= 0, "0 or more"),
        ):
            if not fits:
                raise CardError(f"keyword spotting: {what}: got {value}, expected {wanted}")
        self._classifier, self._threshold, self._refractory_s = classifier, threshold, refractory_s
        self._labels = classifier.model.labels
        self._ignored = np.array([label in ignore for label in self._labels], bool)
        self._framer = Framer(classifier.samples, self._step)
        self._recent: Samples = np.zeros((smooth, 0))
        self.reset()

    def reset(self) -> None:
        """Begin another stream at 0 s."""
        self._framer.reset()
        self._windows = 0
        self._last_s = -np.inf
        self._said = -1
        """The index of the word whose utterance has not ended; -1 for none."""

    def push(self, samples: Any) -> list[Keyword]:
        """The words that these samples complete. (time,), any length, int16 or floats from -1 to 1.

        Raises InvalidInput; after one about the samples the stream is as it was.
        """
        found = []
        for window in self._framer.push(as_samples(samples)):
            word = self._word(self._mean_scores(window))
            if word:
                found.append(word)
        return found

    def _mean_scores(self, window: Samples) -> Samples:
        """Of the last windows, or of those that there are."""
        everything = max(
            1, self._recent.shape[1], len(self._labels), *self._classifier.model.outputs[0].shape
        )
        categories = self._classifier.classify(window, top=everything).categories
        if self._recent.shape[1] != len(categories):
            self._recent = np.zeros((len(self._recent), len(categories)))
        row = self._recent[self._windows % len(self._recent)]
        for one in categories:
            row[one.index] = one.score
        self._windows += 1
        return np.asarray(self._recent[: self._windows].mean(axis=0))

    def _word(self, means: Samples) -> Keyword | None:
        time_s = ((self._windows - 1) * self._step + self._classifier.samples) / self._classifier.rate_hz
        if self._said >= 0 and means[self._said] < self._threshold:
            self._said = -1
        if len(self._ignored):
            means = np.where(self._ignored, -np.inf, means)
        best = int(means.argmax())
        if means[best] < self._threshold or best == self._said or time_s - self._last_s < self._refractory_s:
            return None
        self._last_s, self._said = time_s, best
        label = self._labels[best] if self._labels else ""
        return Keyword(best, label, float(means[best]), time_s)
