"""What a piece of sound is: scores to categories."""

from dataclasses import dataclass
from typing import Any

from edgewise.audio_card import AudioPreprocess
from edgewise.errors import CardError
from edgewise.model import Model
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tasks.classification import Classification, ScoreReader
from edgewise.tasks.sound_input import SoundInput
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
        self.model = model
        if len(model.inputs) != 1:
            raise CardError(f"{model.path}: got {len(model.inputs)} inputs, expected one of sound; use run()")
        try:
            self._input = SoundInput(model.inputs[0], preprocess, rate_hz)
        except CardError as error:
            raise CardError(f"{model.path}: {error}") from error
        self._scores = ScoreReader(model.outputs[0], labels=model.labels, activation=activation)

    @property
    def preprocess(self) -> AudioPreprocess | None:
        """How rows are made; None where the model takes samples."""
        return self._input.preprocess

    @property
    def rate_hz(self) -> int:
        """Of the samples it takes."""
        return self._input.rate_hz

    @property
    def samples(self) -> int:
        """How many samples a window has."""
        return self._input.samples

    @property
    def window_s(self) -> float:
        """How long a window is."""
        return self._input.window_s

    def classify(self, samples: Any, *, top: int = 5) -> AudioClassification:
        """One window, (`samples`,), int16 or floats from -1 to 1. Raises InvalidInput for another length."""
        watch = Stopwatch()
        tensor = self._input.tensor(as_samples(samples))
        watch.lap()
        outputs = self.model.run(tensor)
        watch.lap()
        categories = self._scores.read(outputs[self.model.outputs[0].name], top)
        return AudioClassification(categories, watch.timings())

    def scores(self, window: Samples) -> FloatArray:
        """All scores of one window by index, (count,), float32. Raises InvalidInput."""
        outputs = self.model.run(self._input.tensor(window))
        return self._scores.scores(outputs[self.model.outputs[0].name])
