"""Where somebody speaks: a model with carried state, such as silero-vad, over a stream of sound."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.errors import CardError, InvalidInput
from edgewise.model import Model
from edgewise.preprocess.framing import Framer
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tensors import Array, TensorSpec


@dataclass(frozen=True)
class SpeechSegment:
    """A stretch of speech, in seconds since the beginning of the stream."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class VoiceActivityOptions:
    """When speech begins and ends. The numbers by default are those of silero-vad's get_speech_timestamps."""

    start_threshold: float = 0.5
    """Speech begins with a probability of at least this."""
    end_threshold: float = 0.35
    """It may end with one below this."""
    min_speech_s: float = 0.25
    """What is shorter is left out."""
    min_silence_s: float = 0.1
    """A shorter pause ends nothing."""

    def __post_init__(self) -> None:
        if not 0 < self.end_threshold <= self.start_threshold <= 1:
            raise CardError(
                f"voice activity: got end_threshold {self.end_threshold} and start_threshold "
                f"{self.start_threshold}, expected 0 < end_threshold <= start_threshold <= 1"
            )
        if not (self.min_speech_s >= 0 and self.min_silence_s >= 0):
            raise CardError(
                f"voice activity: got min_speech_s {self.min_speech_s} and min_silence_s "
                f"{self.min_silence_s}, expected 0 or more"
            )


class SpeechSegmenter:
    """From one probability per chunk to segments, by hysteresis; knows nothing of models."""

    def __init__(self, options: VoiceActivityOptions) -> None:
        self._options = options
        self.reset()

    def reset(self) -> None:
        """Begin another stream."""
        self._start_s: float | None = None
        self._silent_s: float | None = None
        """When the probability fell below the end threshold, without having been at the start one since."""

    @property
    def start_s(self) -> float | None:
        """Where the speech that is going on began; None in silence."""
        return self._start_s

    def push(self, probability: float, start_s: float, end_s: float) -> SpeechSegment | None:
        """The segment that the chunk from ``start_s`` to ``end_s`` closes, if any."""
        if probability >= self._options.start_threshold:
            self._silent_s = None
            if self._start_s is None:
                self._start_s = start_s
        elif self._start_s is not None and self._silent_s is None:
            self._silent_s = start_s if probability < self._options.end_threshold else None
        if self._silent_s is None or not _reaches(end_s - self._silent_s, self._options.min_silence_s):
            return None
        return self.close(self._silent_s)

    def close(self, end_s: float) -> SpeechSegment | None:
        """End what is going on, where its last pause began or at ``end_s``; None if it is too short."""
        start_s, end_s = self._start_s, end_s if self._silent_s is None else self._silent_s
        self.reset()
        if start_s is None or not _reaches(end_s - start_s, self._options.min_speech_s):
            return None
        return SpeechSegment(start_s, end_s)


class VoiceActivity:
    """Finds speech in one stream; its memory does not grow. The model stays the caller's, who closes it.

    The model has one input of floats, [1, samples], state inputs that its outputs feed (see `Model.new_state`),
    perhaps an integer input for the rate, and answers one probability. ``chunk`` new samples go in at a time,
    ``context`` old ones before them: silero-vad from version 5 on takes 512 and 64 at 16 kHz, 256 and 32 at 8 kHz.
    """

    def __init__(
        self,
        model: Model,
        *,
        rate_hz: int = 16_000,
        chunk: int = 512,
        context: int = 64,
        options: VoiceActivityOptions | None = None,
    ) -> None:
        """Raises CardError for a model with other inputs, InvalidInput for sizes that it does not take."""
        if rate_hz < 1 or chunk < 1 or context < 0:
            raise InvalidInput(
                f"voice activity: got rate_hz {rate_hz}, chunk {chunk}, context {context}, "
                "expected positive numbers (context 0 or more)"
            )
        self._model, self._rate_hz, self._chunk = model, rate_hz, chunk
        self._state = model.new_state()
        self._audio, self._rate_inputs = _inputs(model, self._state.feedback, rate_hz)
        if not self._audio.accepts((1, chunk + context)):
            raise InvalidInput(
                f"{model.path}: input '{self._audio.name}': got chunk {chunk} and context {context}, "
                f"expected them to fill {self._audio.shape}"
            )
        self._output = _probability_output(model, self._state.feedback)
        self._framer = Framer(context + chunk, chunk, before=context)
        self._segmenter = SpeechSegmenter(options or VoiceActivityOptions())
        self.reset()

    def reset(self) -> None:
        """Begin another stream at 0 s."""
        self._state.reset()
        self._framer.reset()
        self._segmenter.reset()
        self._seen = self._chunks = 0
        self._probability = 0.0

    @property
    def probability(self) -> float:
        """Of speech in the newest complete chunk; 0 before the first."""
        return self._probability

    @property
    def is_speech(self) -> bool:
        """Whether a segment has begun and not ended."""
        return self._segmenter.start_s is not None

    def push(self, samples: Any) -> list[SpeechSegment]:
        """The segments that end in these samples. (time,), any length, int16 or floats from -1 to 1.

        Raises InvalidInput; after one about the samples the stream is as it was.
        """
        chunk = as_samples(samples)
        found = [self._next(window) for window in self._framer.push(chunk)]
        self._seen += len(chunk)
        return [segment for segment in found if segment]

    def flush(self) -> list[SpeechSegment]:
        """The last chunk, filled up with silence, and the segment that is still going on; then `reset`."""
        found = []
        end_s, missing = self._seen / self._rate_hz, -self._seen % self._chunk
        if missing:
            found = self.push(np.zeros(missing))
        last = self._segmenter.close(end_s)
        self.reset()
        return [*found, last] if last else found

    def _next(self, window: Samples) -> SpeechSegment | None:
        audio = window.astype(np.float32)[np.newaxis]
        outputs = self._model.run({self._audio.name: audio, **self._rate_inputs}, state=self._state)
        probability = float(self._output.dequantized(outputs[self._output.name]).ravel()[0])
        if np.isnan(probability):
            raise InvalidInput(f"{self._model.path}: output '{self._output.name}': the model gave NaN")
        self._probability = probability
        self._chunks += 1
        step_s = self._chunk / self._rate_hz
        return self._segmenter.push(probability, (self._chunks - 1) * step_s, self._chunks * step_s)


_ROUNDING_S = 1e-9
"""Times are sums of floats; a length that is reached but for this is reached."""


def _reaches(length_s: float, wanted_s: float) -> bool:
    return length_s >= wanted_s - _ROUNDING_S


def _inputs(model: Model, feedback: dict[str, str], rate_hz: int) -> tuple[TensorSpec, dict[str, Array]]:
    """The input for sound, and the rate for the integer input, where there is one."""
    free = [spec for spec in model.inputs if spec.name not in feedback.values()]
    audio = [spec for spec in free if len(spec.shape) == 2]
    rates = [spec for spec in free if spec not in audio and spec.dtype in ("int32", "int64")]
    if len(audio) != 1 or len(free) != 1 + len(rates) or len(rates) > 1:
        names = ", ".join(f"'{spec.name}' {spec.dtype}{list(spec.shape)}" for spec in free)
        raise CardError(
            f"{model.path}: got inputs {names}, expected [1, samples] of sound and perhaps a rate; use run()"
        )
    return audio[0], {spec.name: np.full([1] * len(spec.shape), rate_hz, spec.dtype) for spec in rates}


def _probability_output(model: Model, feedback: dict[str, str]) -> TensorSpec:
    """The output of one number: what the state does not take."""
    single = [
        spec
        for spec in model.outputs
        if spec.name not in feedback and all(size in (1, -1) for size in spec.shape)
    ]
    if len(single) != 1:
        names = ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in model.outputs)
        raise CardError(f"{model.path}: got outputs {names}, expected one with one probability; use run()")
    return single[0]
