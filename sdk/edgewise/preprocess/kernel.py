"""The antialiased resize in C (`_resize.c`), where it was compiled: its weights, and what it can be used for.

It is optional: without it `rows.py` and Pillow do the same to within a rounding step, more slowly. The result is
within 0.1 of exact arithmetic in floats, of 255, and rounded once in bytes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.compiled import RESIZE
from edgewise.preprocess.geometry import Fit
from edgewise.preprocess.jpeg.reading import SmallPicture
from edgewise.tensors import Array

_ONE = 65536
"""What the integer weights of an output pixel add up to."""
_MOST_FOR_ONE = 60.0
"""Pixels for one, down or across. The C code takes 126 in a window, and weights of 16 bits become coarse."""
_BAND_BYTES = 4_000_000
"""So much of a picture is copied out of Pillow at a time, lest a large one be in memory twice."""


class CompiledResize:
    """Resizes bytes to bytes or to normalised floats; any number of threads may use one."""

    def __init__(self, spec: ImagePreprocess, *, channels_first: bool) -> None:
        self._spec, self._is_channels_first = spec, channels_first
        self._is_bgr = spec.colour == "bgr"
        std = np.broadcast_to(np.asarray(spec.std, np.float64), spec.channels)
        mean = np.broadcast_to(np.asarray(spec.mean, np.float64), spec.channels)
        order = slice(None, None, -1 if self._is_bgr else 1)  # the C code counts the picture's channels
        self._scale = np.ascontiguousarray((1 / (256 * std))[order], np.float32)
        self._bias = np.ascontiguousarray((-mean / std)[order], np.float32)
        fill: Any = (spec.fill - mean) / std
        self._fill: Array = fill.astype(np.float32)

    def can_do(self, fit: Fit) -> bool:
        """Whether the kernel is there and made for this: a bilinear filter that makes a picture smaller."""
        left, top, right, bottom = fit.box_xyxy
        across, down = (right - left) / fit.inner_wh[0], (bottom - top) / fit.inner_wh[1]
        is_possible = RESIZE is not None and self._spec.resample == "bilinear"
        return is_possible and across * down > 1 and max(across, down) <= _MOST_FOR_ONE

    def resized(
        self, image: Array | Image.Image, fit: Fit, size_wh: tuple[int, int], *, floats: bool
    ) -> Array:
        """(height, width, channels) of ``size_wh`` with the border of a letterbox, in the model's colours.

        ``image`` is what `is_array_for_it` accepts, or a picture in mode RGB or L. uint8, or with ``floats``
        normalised float32. In memory it has the model's layout.
        """
        out = self._canvas(fit, size_wh, floats=floats)
        (width, height), (x, y) = fit.inner_wh, fit.offset_xy
        inner = out[y : y + height, x : x + width]
        inner = inner[:, :, ::-1] if self._is_bgr else inner
        if isinstance(image, Image.Image):
            self._from_picture(image, fit, inner)
        else:
            self._from_array(image, fit, inner)
        return out

    def placed(self, small: SmallPicture, fit: Fit, size_wh: tuple[int, int], *, floats: bool) -> Array:
        """The same from a picture that is resized."""
        if floats:
            planes = small.planes * (256 * self._scale)[:, np.newaxis, np.newaxis]
            planes += self._bias[:, np.newaxis, np.newaxis]
            pixels = (planes[::-1] if self._is_bgr else planes).transpose(1, 2, 0)
        elif small.pixels is not None:
            pixels = small.pixels
        else:
            pixels = np.rint(small.planes).astype(np.uint8).transpose(1, 2, 0)
        if fit.inner_wh == size_wh:
            return pixels
        out = self._canvas(fit, size_wh, floats=floats)
        (width, height), (x, y) = fit.inner_wh, fit.offset_xy
        out[y : y + height, x : x + width] = pixels
        return out

    def _canvas(self, fit: Fit, size_wh: tuple[int, int], *, floats: bool) -> Array:
        width, height = size_wh
        channels = self._spec.channels
        shape = (channels, height, width) if self._is_channels_first else (height, width, channels)
        out = np.empty(shape, np.float32 if floats else np.uint8)
        out = out.transpose(1, 2, 0) if self._is_channels_first else out
        if fit.inner_wh != size_wh:
            out[...] = self._fill if floats else self._spec.fill
        return out

    def _from_picture(self, picture: Image.Image, fit: Fit, out: Array) -> None:
        """In bands, each copied out of Pillow's own pixels."""
        down, across = _windows_of(fit, picture.size)
        channels = self._spec.channels
        line_bytes = (across.last - across.first) * channels
        rows = max(1, _BAND_BYTES * len(out) // ((down.last - down.first) * line_bytes))
        for first in range(0, len(out), rows):
            part = down.part(first, first + rows)
            box = (across.first, part.first, across.last, part.last)
            band = picture if box == (0, 0, *picture.size) else picture.crop(box)
            pixels = np.asarray(band).reshape(band.height, band.width, channels)
            self._call(pixels, out[first : first + rows], part, across)

    def _from_array(self, image: Array, fit: Fit, out: Array) -> None:
        down, across = _windows_of(fit, (image.shape[1], image.shape[0]))
        self._call(image[down.first : down.last, across.first : across.last], out, down, across)

    def _call(self, image: Array, out: Array, down: "Windows", across: "Windows") -> None:
        assert RESIZE is not None, "can_do() says so first"
        axes = (down.starts, down.weights, across.starts, across.weights)
        RESIZE.resize(image, out, *axes, self._scale, self._bias)


@dataclass(frozen=True, eq=False)
class Windows:
    """Which pixels of one axis each output pixel is made of."""

    starts: Array
    """Counted from ``first``: int32 (count,), rising."""
    weights: Array
    """uint16 (count, taps), shares of 65536."""
    first: int
    """The first pixel that is needed."""

    @property
    def last(self) -> int:
        """The pixel after those that are needed."""
        return self.first + int(self.starts[-1]) + self.weights.shape[1]

    def part(self, low: int, high: int) -> "Windows":
        """Those of some output pixels."""
        starts = self.starts[low:high]
        moved = starts - starts[0]
        return Windows(moved, self.weights[low:high], self.first + int(starts[0]))


def is_array_for_it(image: Array, channels: int) -> bool:
    """Whether the kernel reads the array as it is: rows wherever they lie, a row's pixels side by side."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or image.size == 0:
        return False
    return (channels == 1 or image.strides[2] == 1) and channels <= image.strides[1] <= 4


def _windows_of(fit: Fit, picture_wh: tuple[int, int]) -> tuple[Windows, Windows]:
    """Down and across. Pixels beyond the box count where the filter reaches them, as in Pillow."""
    left, top, right, bottom = fit.box_xyxy
    down = windows(picture_wh[1], top, bottom, fit.inner_wh[1])
    return down, windows(picture_wh[0], left, right, fit.inner_wh[0])


@lru_cache(maxsize=16)
def windows(length: int, low: float, high: float, count: int) -> Windows:
    """The triangle of Pillow's precompute_coeffs (Resample.c) over pixels ``low`` to ``high`` of ``length``.

    Rounding the running sum and not each weight keeps the sum, 65536, of which a single weight is one less.
    """
    scale = (high - low) / count
    reach = max(scale, 1.0)
    centres = low + (np.arange(count) + 0.5) * scale
    taps = min(length, int(np.ceil(2 * reach)) + 1)
    starts = np.clip(np.floor(centres - reach + 0.5), 0, length - taps).astype(np.int32)
    positions = starts[:, np.newaxis] + np.arange(taps)
    weights = np.maximum(0.0, 1.0 - np.abs(positions + 0.5 - centres[:, np.newaxis]) / reach)
    running = np.cumsum(weights, axis=1)
    steps = np.diff(np.rint(running / running[:, -1:] * _ONE), axis=1, prepend=0)
    return Windows(starts, np.minimum(steps, _ONE - 1).astype(np.uint16), 0).part(0, count)
