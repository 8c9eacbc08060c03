"""JPEG files straight to small pictures, by `_jpeg.c` where it was compiled: when, and in how many threads.

It is optional: Pillow reads every file, at a fraction of its size where that is enough, more slowly. So whatever is
unusual about a file, or wrong, is left to Pillow.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from edgewise.preprocess import jpeg_weights
from edgewise.preprocess.compiled import JPEG
from edgewise.preprocess.geometry import Fit
from edgewise.preprocess.jpeg_file import JpegFile, read_headers
from edgewise.tensors import FloatArray
from edgewise.threads import MAX_THREADS

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_LEAST_FOR_ONE, _MOST_FOR_ONE = 2.0, 60.0
"""Pixels for one, down and across, for which it is faster than decoding and resizing."""
_MOST_PIXELS, _MOST_BYTES = 64_000_000, 1 << 26
"""Beyond these, what is decoded would take much memory; the second is the C code's limit, too."""
_PART_BYTES = 50_000
"""No smaller a part of a file is worth another thread."""

_Axes: TypeAlias = list[tuple[jpeg_weights.Down, jpeg_weights.Across]]
_Call: TypeAlias = Callable[[], Any]


def read_small(
    file: BinaryIO, picture_wh: tuple[int, int], fit: Fit, *, grey: bool, threads: int
) -> FloatArray | None:
    """What ``fit`` says of the picture, resized: float32 (channels, height, width), 0 to 255, not rounded.

    One channel for ``grey``, else red, green and blue. None where the file, or what is asked of it, is not what the C
    code is for; the file may have been read from then. The same whatever the number of ``threads``.
    """
    if JPEG is None or not _is_worth_it(fit, picture_wh):
        return None
    file.seek(0)
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        return None
    jpeg = read_headers(content)
    if jpeg is None or jpeg.size_wh != picture_wh:
        return None
    axes = _axes_of(fit, jpeg, grey=grey)
    planes = None if axes is None else _planes(content, jpeg, axes, fit.inner_wh, threads)
    return None if planes is None else _colours(planes, grey=grey)


def _is_worth_it(fit: Fit, picture_wh: tuple[int, int]) -> bool:
    left, top, right, bottom = fit.box_xyxy
    across, down = (right - left) / fit.inner_wh[0], (bottom - top) / fit.inner_wh[1]
    is_in_range = min(across, down) >= _LEAST_FOR_ONE and max(across, down) <= _MOST_FOR_ONE
    return is_in_range and picture_wh[0] * picture_wh[1] <= _MOST_PIXELS


def _axes_of(fit: Fit, jpeg: JpegFile, *, grey: bool) -> _Axes | None:
    left, top, right, bottom = fit.box_xyxy
    luma, (columns, rows) = jpeg.components[0], jpeg.groups_wh
    found: _Axes = []
    for one in jpeg.components[: 1 if grey else None]:
        pixels_for_sample = luma.across // one.across, luma.down // one.down
        down = jpeg_weights.down(
            jpeg.size_wh[1], top, bottom, fit.inner_wh[1], pixels_for_sample[1], rows * one.down
        )
        if down is None:
            return None
        across = jpeg_weights.across(
            jpeg.size_wh[0], left, right, fit.inner_wh[0], pixels_for_sample[0], columns * one.across
        )
        found.append((down, across))
    return found


def _planes(
    content: bytes, jpeg: JpegFile, axes: _Axes, size_wh: tuple[int, int], threads: int
) -> FloatArray | None:
    """Each component, resized: float32 (components, height, width), around zero."""
    assert JPEG is not None, "read_small() sees to that"
    keep = [jpeg_weights.needed(*one) for one in axes]
    keep += [bytes(64)] * (len(jpeg.components) - len(axes))
    described = bytes(number for one in jpeg.components for number in (one.across, one.down, *one.tables))
    (columns, rows), interval = jpeg.groups_wh, jpeg.restart_interval
    start = jpeg.scan_start
    scan = JPEG.scan(content, start, rows, columns, interval, described, b"".join(keep), *jpeg.codes)
    if scan is None:
        return None
    count = 1 if interval else max(1, min(threads, (len(content) - start) // _PART_BYTES))
    parts = _side_by_side([partial(JPEG.decode, scan, part, count) for part in range(count)])
    joined = JPEG.join(scan, tuple(parts))
    if joined is None:
        return None
    arrays: list[Any] = []
    for component, (down, across) in zip(jpeg.components, axes, strict=False):
        arrays += (
            down.weights,
            down.firsts,
            down.lasts,
            across.starts,
            across.weights,
            component.quantization,
        )
    planes = np.empty((len(axes), size_wh[1], size_wh[0]), np.float32)
    bands = -(-size_wh[1] // jpeg_weights.LANES)
    edges = [min(bands * part // count * jpeg_weights.LANES, size_wh[1]) for part in range(count + 1)]
    strips = [(low, high) for low, high in pairwise(edges) if low < high]
    _side_by_side([partial(JPEG.gather, joined, planes, *strip, tuple(arrays)) for strip in strips])
    return planes


def _colours(planes: FloatArray, *, grey: bool) -> FloatArray:
    planes[0] += 128
    if len(planes) == 3:
        planes = _to_rgb(*planes)
    np.clip(planes, 0, 255, out=planes)
    return planes if grey or len(planes) == 3 else np.repeat(planes, 3, axis=0)


def _to_rgb(y: FloatArray, cb: FloatArray, cr: FloatArray) -> FloatArray:
    """JFIF 1.02, page 3; ``cb`` and ``cr`` around zero. A product of matrices would depend on the processor."""
    rgb = np.empty((3, *y.shape), np.float32)
    red, green, blue = rgb
    np.multiply(cr, np.float32(1.402), out=red)
    np.multiply(cb, np.float32(1.772), out=blue)
    np.multiply(cb, np.float32(-0.344136), out=green)
    green += cr * np.float32(-0.714136)
    rgb += y
    return rgb


class _Pool:
    """Threads for whoever reads a picture; made when they are first needed, and anew in a forked process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """For a forked process: the threads of its parent are not in it."""
        self._lock = Lock()
        self._executor: ThreadPoolExecutor | None = None

    def run(self, calls: Sequence[_Call]) -> list[Any]:
        """The results of all calls, the last of which is made by the calling thread."""
        from concurrent.futures import ThreadPoolExecutor  # takes its time to import

        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(MAX_THREADS, "edgewise-jpeg")
            futures = [self._executor.submit(call) for call in calls[:-1]]
        last = calls[-1]()
        return [*(future.result() for future in futures), last]


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.forget)


def _side_by_side(calls: Sequence[_Call]) -> list[Any]:
    return [calls[0]()] if len(calls) == 1 else _POOL.run(calls)
