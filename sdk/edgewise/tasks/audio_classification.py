"""What a piece of sound is: scores to categories."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise.audio_card import AudioPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.model import Model
from edgewise.preprocess.audio import log_mel
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tasks.classification import Classification, ScoreReader
from edgewise.tasks.timings import Stopwatch
from edgewise.tensors import FloatArray


@dataclass(frozen=True)
class AudioClassification(Classification):
    """The most likely categories of one piece of sound, best first."""


class AudioClassifier:
    """Reads windows of sound with a model of one input, samples or log-mel rows, and one row of scores.

    The model stays the caller's, who closes it. ``preprocess`` says how rows are made, by default the card does;
    where neither says it the model takes samples from -1 to 1. ``activation`` of the scores is logits,
    probabilities, or "" for as they are; by default the card's.
    """

    def __init__(
        self,
        model: Model,
        *,
        preprocess: AudioPreprocess | None = None,
        rate_hz: int = 16_000,
        activation: str | None = None,
    ) -> None:
        """``rate_hz`` counts where there is no ``preprocess``. Raises CardError for a model of other inputs."""
        card = model.card
        if card and preprocess is None:
            preprocess = card.inputs[0].audio
        if activation is None:
            activation = card.outputs[0].activation if card else ""
        self.model, self.preprocess = model, preprocess
        self.rate_hz = preprocess.rate_hz if preprocess else rate_hz
        if len(model.inputs) != 1:
            raise CardError(f"{model.path}: got {len(model.inputs)} inputs, expected one of sound; use run()")
        if self.rate_hz < 1:
            raise CardError(f"rate_hz: got {self.rate_hz}, expected at least 1")
        self._spec = model.inputs[0]
        self._sizes = tuple(size for size in self._spec.shape if size != 1)
        self._is_turned = False
        self.samples = self._samples()
        """How many samples a window has."""
        self._scores = ScoreReader(model.outputs[0], labels=model.labels, activation=activation)

    @property
    def window_s(self) -> float:
        """How long a window is."""
        return self.samples / self.rate_hz

    def classify(self, samples: Any, *, top: int = 5) -> AudioClassification:
        """One window, (`samples`,), int16 or floats from -1 to 1. Raises InvalidInput for another length."""
        watch = Stopwatch()
        sound = as_samples(samples)
        if len(sound) != self.samples:
            raise InvalidInput(
                f"samples: got {len(sound)}, expected {self.samples} ({self.window_s:.3f} s at {self.rate_hz} Hz); "
                "cut the clip or fill it up with zeros"
            )
        tensor = self._tensor(sound)
        watch.lap()
        outputs = self.model.run(tensor)
        watch.lap()
        categories = self._scores.read(outputs[self.model.outputs[0].name], top)
        return AudioClassification(categories, watch.timings())

    def _tensor(self, sound: Samples) -> FloatArray:
        shape = tuple(abs(size) for size in self._spec.shape)
        if self.preprocess is None:
            return sound.astype(np.float32).reshape(shape)
        rows = log_mel(sound, self.preprocess)
        return np.ascontiguousarray(rows.T if self._is_turned else rows).reshape(shape)

    def _samples(self) -> int:
        """The window's length by the input's shape, dimensions of 1 aside: (samples,) or (rows, width)."""
        sizes, preprocess = self._sizes, self.preprocess
        fixed = all(size > 0 for size in sizes)
        if preprocess is None and fixed and len(sizes) == 1:
            return sizes[0]
        if preprocess and fixed and len(sizes) == 2 and preprocess.width in sizes:
            self._is_turned = sizes[1] != preprocess.width
            return preprocess.samples_for(sizes[1] if self._is_turned else sizes[0])
        wanted = f"one of rows of {preprocess.width}" if preprocess else "samples, or an AudioPreprocess"
        raise CardError(
            f"{self.model.path}: input '{self._spec.name}': got shape {self._spec.shape}, expected {wanted}"
        )
