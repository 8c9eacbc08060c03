"""`Model.predict` for sound: samples or a WAV file of any rate and length to categories."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import CardError, InvalidInput, SourceError
from edgewise.preprocess.resample import resample
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tasks.audio_classification import AudioClassification
from edgewise.tasks.classification import TOP, ScoreReader
from edgewise.tasks.sound_input import SoundInput, windows_at
from edgewise.tasks.window_timer import WindowTimer

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel

DEFAULT_RATE_HZ = 16_000
"""Of models that take samples and whose card says no rate: what speech models take."""
MAX_CLIP_S = 3600
"""A longer recording is read in pieces, by model.stream: an hour of 16 kHz is half a gigabyte in float64."""


@dataclass(frozen=True)
class SoundReading:
    """One window at once where the clip is one; shorter clips end in silence, longer ones are the mean of windows."""

    input: SoundInput
    scores: ScoreReader
    guessed_task: str = ""

    def predict(
        self, opened: "OpenedModel", given: Any, *, top: int | None, rate_hz: int | None
    ) -> AudioClassification:
        """``given`` is a path of a WAV file, or samples (time,) at ``rate_hz``, by default the model's rate."""
        timer = WindowTimer()
        clip = self._clip(given, rate_hz)
        size = self.input.samples
        rows = []
        for start in windows_at(len(clip), size):
            begin = max(0, min(start, len(clip) - size))
            window = clip[begin : begin + size]
            tensor = self.input.tensor(np.pad(window, (0, size - len(window))))
            outputs = timer.run(opened, tensor)
            rows.append(self.scores.scores(outputs[opened.outputs[0].name]))
        mean = rows[0] if len(rows) == 1 else np.mean(rows, axis=0, dtype=np.float32)
        return AudioClassification(self.scores.best(mean, TOP if top is None else top), timer.timings())

    def _clip(self, given: Any, rate_hz: int | None) -> Samples:
        if isinstance(given, str | os.PathLike):
            if rate_hz is not None:
                raise InvalidInput(
                    f"rate_hz: got {rate_hz} for {os.fspath(given)}, a WAV file says its own; leave it out"
                )
            samples, rate_hz = read_wav(Path(given))
        else:
            samples = as_samples(given)
        if not len(samples):
            raise InvalidInput("samples: got none, expected some sound")
        if rate_hz is None or rate_hz == self.input.rate_hz:
            return samples
        if rate_hz < 1:
            raise InvalidInput(f"rate_hz: got {rate_hz}, expected at least 1")
        return as_samples(resample(samples.astype(np.float32), rate_hz, self.input.rate_hz))


def read_wav(path: Path) -> tuple[Samples, int]:
    """A whole WAV file of integers as (time,), the mean of its channels, and its rate. Raises InvalidInput."""
    from edgewise.streams.sound import WavSource  # sources are needed by few

    parts, rate_hz, count = [], 0, 0
    try:
        with WavSource(path, block_samples=1 << 16, is_filled_up=False) as source:
            for block in source:
                rate_hz, count = block.sample_rate_hz, count + len(block.samples)
                if count > MAX_CLIP_S * rate_hz:
                    raise InvalidInput(
                        f"{path}: got more than {MAX_CLIP_S} s, expected a clip; model.stream() reads it in pieces"
                    )
                parts.append(block.samples)
    except SourceError as error:
        raise InvalidInput(str(error)) from error
    if not parts:
        raise InvalidInput(f"{path}: got a WAV file without samples, expected some sound")
    return as_samples(np.concatenate(parts)), rate_hz


def open_sound(opened: "OpenedModel", preprocess: Any, labels: tuple[str, ...]) -> SoundReading:
    """Raises CardError for a model of other inputs."""
    card = opened.file.card
    if preprocess is None and card is not None:
        preprocess = card.inputs[0].audio
    if len(opened.inputs) != 1:
        raise CardError(f"got {len(opened.inputs)} inputs, expected one of sound; use run()")
    activation = card.outputs[0].activation if card else ""
    scores = ScoreReader(opened.outputs[0], labels=labels, activation=activation)
    return SoundReading(SoundInput(opened.inputs[0], preprocess, DEFAULT_RATE_HZ), scores)
