"""Sound at another rate: a windowed sinc, one short filter for each phase of the ratio."""

from math import ceil, gcd
from typing import Any

import numpy as np

from edgewise.errors import InvalidInput
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tensors import FloatArray

ATTENUATION_DB = 80.0
"""What is above half of the lower rate is this much weaker; 16-bit sound has 96 dB."""
_SIDE = 32
"""Samples of the lower rate on each side of an output."""
_BETA = 0.1102 * (ATTENUATION_DB - 8.7)
_TRANSITION = (ATTENUATION_DB - 8) / (2.285 * 2 * _SIDE) / np.pi
"""Kaiser's window. Oppenheim, Schafer, "Discrete-Time Signal Processing", 3rd edition, equations 7.75 and 7.76;
the transition is a part of half the lower rate: what is below 1 - 0.157 of it passes."""
PASSES = 1 - float(_TRANSITION)
"""The part of half the lower rate that passes unchanged."""
_TABLE_LIMIT = 1 << 22
"""Filter values, 32 MB: rates such as 44100, 22050, 11025, 48000, 16000, 8000 need some ten thousand."""
_BLOCK = 512
"""Outputs that are computed at once; keeps the memory of a long clip's products small."""


class Resampler:
    """A stream of samples at another rate. The output is not shifted: sample n is at n / to_hz seconds."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Raises InvalidInput for rates below 1 Hz and ratios with too many phases."""
        if min(from_hz, to_hz) < 1:
            raise InvalidInput(f"rates: got {from_hz} and {to_hz} Hz, expected at least 1")
        divisor = gcd(from_hz, to_hz)
        self.from_hz, self.to_hz = from_hz, to_hz
        self._up, self._down = to_hz // divisor, from_hz // divisor
        self._side = ceil(_SIDE * max(1.0, self._down / self._up))
        if self._up * self._side * 2 > _TABLE_LIMIT:
            raise InvalidInput(
                f"rates: got {from_hz} and {to_hz} Hz, whose ratio {self._up}/{self._down} needs "
                f"{self._up} filters of {self._side * 2}; use rates with a larger common divisor"
            )
        self._filters = _phases(self._up, self._down, self._side)
        self.reset()

    def reset(self) -> None:
        """Begin another clip."""
        self._held: Samples = np.zeros(self._side - 1)
        """The newest inputs; the first of them is at `_start`."""
        self._start = 1 - self._side
        self._next = 0
        """The number of the next output."""

    def push(self, samples: Any) -> FloatArray:
        """The samples that are certain now: (n,), float32, yours; about 32 of the lower rate are held back.

        ``samples`` (time,), int16 or floats from -1 to 1. Raises InvalidInput; the stream is then as it was.
        """
        self._held = np.concatenate([self._held, as_samples(samples)])
        # output n needs the inputs up to floor(n down / up) + side
        last = self._start + len(self._held) - 1 - self._side
        made = self._made(-(-(last + 1) * self._up // self._down))
        first_needed = self._next * self._down // self._up - self._side + 1
        gone = max(0, min(first_needed - self._start, len(self._held)))
        self._held = self._held[gone:].copy()
        self._start += gone
        return made

    def flush(self) -> FloatArray:
        """The rest, with silence behind the clip: ceil(samples * to / from) in all. Then `reset`."""
        seen = self._start + len(self._held)
        self._held = np.concatenate([self._held, np.zeros(self._side)])
        made = self._made(-(-seen * self._up // self._down))
        self.reset()
        return made

    def _made(self, end: int) -> FloatArray:
        """The outputs from the next one to the one before ``end``."""
        made = np.empty(max(0, end - self._next), np.float32)
        if not len(made):
            return made
        inputs = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._side)
        for first in range(0, len(made), _BLOCK):
            count = min(_BLOCK, len(made) - first)
            places = np.arange(self._next, self._next + count, dtype=np.int64) * self._down
            rows = places // self._up - self._side + 1 - self._start
            # products and sums row by row: a row's sum is the same whatever rows are beside it
            made[first : first + count] = (inputs[rows] * self._filters[places % self._up]).sum(axis=1)
            self._next += count
        return made


def resample(samples: Any, from_hz: int, to_hz: int) -> FloatArray:
    """A whole clip (time,) at another rate: (ceil(time * to_hz / from_hz),), float32. Raises InvalidInput."""
    stream = Resampler(from_hz, to_hz)
    return np.concatenate([stream.push(samples), stream.flush()])


def _phases(up: int, down: int, side: int) -> Samples:
    """(up, 2 * side): row p weighs the inputs around a place p / up behind an input; each row's sum is 1.

    The ideal low-pass under Kaiser's window: Oppenheim, Schafer, equations 7.59 and 7.72. The sum makes
    a constant stay what it is.
    """
    lower = min(1.0, up / down)
    cutoff = lower * (1 - _TRANSITION / 2)
    offsets = np.arange(up)[:, np.newaxis] / up + (side - 1 - np.arange(2 * side))
    inside = np.sqrt(np.maximum(0, 1 - (offsets / side) ** 2))
    filters = cutoff * np.sinc(cutoff * offsets) * np.i0(_BETA * inside)
    return np.asarray(filters / filters.sum(axis=1, keepdims=True))
