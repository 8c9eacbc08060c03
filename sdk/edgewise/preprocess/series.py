"""From measurements to windows of a series: whole recordings, or streams in pieces of any length."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgewise.errors import InvalidInput
from edgewise.preprocess.framing import Framer
from edgewise.series_card import SeriesPreprocess
from edgewise.tensors import FloatArray


def as_series(values: Any, channels: tuple[str, ...]) -> FloatArray:
    """Rows [time, channels], float32; one channel may come as (time,).

    Raises InvalidInput for other shapes and dtypes, NaN and infinity, so that no stream is poisoned by them.
    """
    array = np.asarray(values)
    if array.ndim == 1 and len(channels) == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != len(channels):
        names = ", ".join(channels[:8]) + (", ..." if len(channels) > 8 else "")
        raise InvalidInput(f"series: got shape {array.shape}, expected (time, {len(channels)}): {names}")
    if array.dtype.kind not in "iuf":
        raise InvalidInput(f"series: got dtype {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        rows: FloatArray = array.astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise InvalidInput(
            "series: got NaN or infinity, expected finite numbers; leave out what was not measured"
        )
    return rows


def to_tensor(window: FloatArray, spec: SeriesPreprocess) -> FloatArray:
    """A window [window, channels], as measured, as the input tensor: normalised, of ``spec.shape``."""
    rows = window
    if spec.normalise == "training":
        rows = (rows - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    elif spec.normalise == "window":
        wide = rows.astype(np.float64)
        rows = ((wide - wide.mean(axis=0)) / np.maximum(wide.std(axis=0), spec.floor)).astype(np.float32)
    turned = rows if spec.layout == "time-channels" else rows.T
    return np.ascontiguousarray(turned[np.newaxis], np.float32)


class SeriesWindower:
    """Cuts a stream into windows [window, channels], float32 as measured; holds one, however long the stream."""

    def __init__(self, spec: SeriesPreprocess, *, stride: int | None = None) -> None:
        """``stride`` wins over the card's. Raises InvalidInput for less than one row."""
        self.spec, self.stride = spec, spec.stride if stride is None else stride
        self._framer = Framer(spec.window, self.stride, channels=len(spec.channels))
        self.reset()

    def reset(self) -> None:
        """Begin another stream."""
        self._framer.reset()
        self._seen = self._made = 0
        self._last: FloatArray = np.zeros((1, len(self.spec.channels)), np.float32)

    @property
    def windows(self) -> int:
        """How many there were in this stream."""
        return self._made

    def push(self, samples: Any) -> Iterator[FloatArray]:
        """The windows that become complete; ask for all of them. Raises InvalidInput, the stream then as it was."""
        rows = as_series(samples, self.spec.channels)
        return self._cut(rows)

    def flush(self) -> Iterator[FloatArray]:
        """The window that the end leaves incomplete, filled up as the card's ``pad`` says; then `reset`."""
        covered = (self._made - 1) * self.stride + self.spec.window if self._made else 0
        if self.spec.pad != "none" and self._seen > covered:
            missing = self._made * self.stride + self.spec.window - self._seen
            filling = np.repeat(self._last, missing, axis=0)
            yield from self._cut(filling if self.spec.pad == "edge" else np.zeros_like(filling))
        self.reset()

    def _cut(self, rows: FloatArray) -> Iterator[FloatArray]:
        self._seen += len(rows)
        if len(rows):
            self._last = rows[-1:].copy()
        for window in self._framer.push(rows):
            self._made += 1
            yield window.astype(np.float32)


def windows_of(recording: Any, spec: SeriesPreprocess) -> list[FloatArray]:
    """All windows of a whole recording. Raises InvalidInput for one of less than a window that nothing fills up."""
    rows = as_series(recording, spec.channels)
    windower = SeriesWindower(spec)
    found = [*windower.push(rows), *windower.flush()]
    if not found:
        raise InvalidInput(
            f"series: got {len(rows)} rows, expected at least {spec.window} ({spec.window_s:.3f} s at "
            f"{spec.rate_hz:g} Hz), or a card whose pad is 'zeros' or 'edge'"
        )
    return found
