"""How a window of sound becomes a model's input."""

import numpy as np

from edgewise.audio_card import AudioPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.audio import log_mel
from edgewise.preprocess.samples import Samples
from edgewise.tensors import FloatArray, TensorSpec


class SoundInput:
    """Makes samples or log-mel rows fit an input; ``preprocess`` says how rows are made, None for samples."""

    def __init__(self, spec: TensorSpec, preprocess: AudioPreprocess | None, rate_hz: int) -> None:
        """``rate_hz`` counts where there is no ``preprocess``. Raises CardError for an input of another shape."""
        self.preprocess = preprocess
        self.rate_hz = preprocess.rate_hz if preprocess else rate_hz
        if self.rate_hz < 1:
            raise CardError(f"rate_hz: got {self.rate_hz}, expected at least 1")
        self._spec = spec
        self._is_turned = False
        self.samples = self._samples()
        """How many samples a window has."""

    @property
    def window_s(self) -> float:
        """How long a window is."""
        return self.samples / self.rate_hz

    def tensor(self, sound: Samples) -> FloatArray:
        """The input of one window (`samples`,). Raises InvalidInput for another length."""
        if len(sound) != self.samples:
            raise InvalidInput(
                f"samples: got {len(sound)}, expected {self.samples} ({self.window_s:.3f} s at {self.rate_hz} Hz); "
                "cut the clip or fill it up with zeros"
            )
        shape = tuple(abs(size) for size in self._spec.shape)
        if self.preprocess is None:
            return sound.astype(np.float32).reshape(shape)
        rows = log_mel(sound, self.preprocess)
        return np.ascontiguousarray(rows.T if self._is_turned else rows).reshape(shape)

    def _samples(self) -> int:
        """The window's length by the input's shape, dimensions of 1 aside: (samples,) or (rows, width)."""
        preprocess = self.preprocess
        sizes = tuple(size for size in self._spec.shape if size != 1)
        fixed = all(size > 0 for size in sizes)
        if preprocess is None and fixed and len(sizes) == 1:
            return sizes[0]
        if preprocess and fixed and len(sizes) == 2 and preprocess.width in sizes:
            self._is_turned = sizes[1] != preprocess.width
            return preprocess.samples_for(sizes[1] if self._is_turned else sizes[0])
        wanted = f"one of rows of {preprocess.width}" if preprocess else "samples, or an AudioPreprocess"
        raise CardError(f"input '{self._spec.name}': got shape {self._spec.shape}, expected {wanted}")


def windows_at(length: int, window: int) -> range:
    """Where windows begin that cover a clip of this length by half a window's steps, the last one at its end.

    A clip that is no longer than a window is one, which begins at 0.
    """
    step = max(1, window // 2)
    return range(0, max(length - window, 0) + step, step)
