"""Words in a stream of sound: a classifier on a window that slides, smoothed, one event for each utterance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.errors import CardError
from edgewise.preprocess.framing import Framer
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tasks.audio_classification import AudioClassifier
from edgewise.tasks.smoothing import EventGate, ScoreSmoother

NOT_WORDS = ("_silence_", "_unknown_", "silence", "unknown", "_background_noise_")
"""Labels of no word, as in TensorFlow's speech_commands example."""
_WHAT = "keyword spotting"


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

    Scores are averaged over the last ``smooth`` windows (see `ScoreSmoother`). The best word at or above
    ``threshold`` is an event; no other follows within ``refractory_s``, nor the same word until its mean has been
    below the threshold.
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
        if not 1 <= self._step <= classifier.samples:
            raise CardError(f"{_WHAT}: step_s: got {step_s}, expected a sample to a window")
        self._smoother = ScoreSmoother(smooth, what=_WHAT)
        self._gate = EventGate(threshold, refractory_s, what=_WHAT)
        self._classifier = classifier
        self._labels = classifier.model.labels
        self._ignored = np.array([label in ignore for label in self._labels], bool)
        self._framer = Framer(classifier.samples, self._step)
        self.reset()

    def reset(self) -> None:
        """Begin another stream at 0 s."""
        self._framer.reset()
        self._smoother.reset()
        self._gate.reset()
        self._windows = 0

    def push(self, samples: Any) -> list[Keyword]:
        """The words that these samples complete. (time,), any length, int16 or floats from -1 to 1.

        Raises InvalidInput; after one about the samples the stream is as it was.
        """
        found = []
        for window in self._framer.push(as_samples(samples)):
            means = self._smoother.push(self._classifier.scores(window).astype(np.float64))
            self._windows += 1
            word = self._word(means)
            if word:
                found.append(word)
        return found

    def _word(self, means: Samples) -> Keyword | None:
        time_s = ((self._windows - 1) * self._step + self._classifier.samples) / self._classifier.rate_hz
        index = self._gate.push(means, time_s, self._ignored)
        if index is None:
            return None
        label = self._labels[index] if self._labels else ""
        return Keyword(index, label, float(means[index]), time_s)
