"""Sound cut into frames that overlap, from chunks of any length, and the windows they are weighed with."""

from collections.abc import Iterator

import numpy as np

from edgewise.audio_card import WINDOWS
from edgewise.errors import InvalidInput
from edgewise.preprocess.samples import Samples
from edgewise.tensors import Array

_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08), "rectangular": (1.0,)}
"""a0 - a1 cos(x) + a2 cos(2 x). Harris, "On the use of windows for harmonic analysis with the discrete Fourier
transform", Proc. IEEE 66 (1978), equations 27 (Hann), 30 (Hamming, rounded) and 32 (Blackman, rounded)."""


def make_window(kind: str, size: int, *, is_periodic: bool = True) -> Samples:
    """A window of ``size`` samples, float64: hann, hamming, blackman or rectangular.

    A periodic one is a symmetric one of one sample more without its last. Raises InvalidInput.
    """
    if kind not in WINDOWS:
        raise InvalidInput(f"window: got {kind!r}, expected one of {', '.join(map(repr, WINDOWS))}")
    if size < 2:
        raise InvalidInput(f"window: got {size} samples, expected at least 2")
    angle = 2 * np.pi * np.arange(size) / (size if is_periodic else size - 1)
    window = np.zeros(size)
    for order, factor in enumerate(_COSINES[kind]):
        window += (-1) ** order * factor * np.cos(order * angle)
    return window


class Framer:
    """Cuts chunks into frames of ``window`` samples every ``hop``; holds one frame, however long the stream.

    ``before`` and ``after`` are how many samples are put around the clip, ``pad`` zeros or reflect: the clip
    mirrored without its first or last sample (numpy.pad's words). With ``channels`` a sample is a row of them, and
    a frame (window, channels).
    """

    def __init__(
        self,
        window: int,
        hop: int,
        *,
        before: int = 0,
        after: int = 0,
        pad: str = "zeros",
        channels: int | None = None,
    ) -> None:
        """Raises InvalidInput when there is nothing to cut or to step by."""
        if window < 1 or hop < 1 or min(before, after) < 0:
            raise InvalidInput(
                f"frames: got window {window}, hop {hop}, padding {before} and {after}, "
                "expected a positive window and hop, and no negative padding"
            )
        self.window, self.hop = window, hop
        self._before, self._after, self._reflects = before, after, pad == "reflect"
        self._row = () if channels is None else (channels,)
        self._frame = np.zeros((window, *self._row))
        self._mirror = np.zeros((max(before, after) + 1 if self._reflects else 0, *self._row))
        self.reset()

    def reset(self) -> None:
        """Begin another clip."""
        self._filled, self._skip, self._seen = 0, 0, 0
        if not self._reflects:
            self._begin(np.zeros((self._before, *self._row)))

    def count(self, samples: int) -> int:
        """How many frames the next ``samples`` complete, those of the padding at the end aside."""
        if self._reflects and self._seen <= self._before:
            if self._seen + samples <= self._before:
                return 0
            samples += self._seen + self._before
        return max(0, (self._filled - self._skip + samples - self.window) // self.hop + 1)

    def push(self, samples: Array) -> Iterator[Samples]:
        """The frames that become complete, each (window,) and valid until the next is asked for; ask for all."""
        if not self._reflects:
            yield from self._cut(samples)
            return
        short = self._before + 1 - self._seen
        if short > 0:  # the beginning waits until there is enough to mirror
            self._remember(samples[:short])
            samples = samples[short:]
            if self._seen <= self._before:
                return
            beginning = self._mirror[-self._before - 1 :].copy()
            yield from self._cut(beginning[:0:-1])
            yield from self._cut(beginning)
        self._remember(samples)
        yield from self._cut(samples)

    def flush(self) -> Iterator[Samples]:
        """The frames that reach into the padding behind the clip; then `reset`.

        Raises InvalidInput when a clip is too short to be mirrored.
        """
        if not self._reflects:
            yield from self._cut(np.zeros((self._after, *self._row)))
        elif self._seen < len(self._mirror):
            raise InvalidInput(
                f"samples: got a clip of {self._seen}, expected at least {len(self._mirror)} to mirror its ends; "
                "use pad='zeros'"
            )
        else:
            yield from self._cut(self._mirror[-2 : -self._after - 2 : -1].copy())
        self.reset()

    def _begin(self, zeros: Array) -> None:
        """Padding shorter than a frame completes none."""
        for _ in self._cut(zeros):
            raise InvalidInput(f"frames: got padding {self._before}, expected less than window {self.window}")

    def _remember(self, samples: Array) -> None:
        """The newest samples, as many as the end mirrors."""
        self._seen += len(samples)
        kept = min(len(samples), len(self._mirror))
        if kept:
            self._mirror[:-kept] = self._mirror[kept:].copy()
            self._mirror[-kept:] = samples[-kept:]

    def _cut(self, samples: Array) -> Iterator[Samples]:
        at = min(self._skip, len(samples))
        self._skip -= at
        while at < len(samples):
            taken = min(self.window - self._filled, len(samples) - at)
            self._frame[self._filled : self._filled + taken] = samples[at : at + taken]
            self._filled += taken
            at += taken
            if self._filled < self.window:
                return
            yield self._frame
            kept = max(0, self.window - self.hop)
            self._frame[:kept] = self._frame[self.window - kept :].copy()
            self._filled = kept
            skipped = min(max(0, self.hop - self.window), len(samples) - at)
            at += skipped
            self._skip = max(0, self.hop - self.window) - skipped
