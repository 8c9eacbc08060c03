"""JPEG files straight to small pictures, by `_jpeg.c` where it was compiled: when, and in how many threads.

It is optional: Pillow reads every file, at a fraction of its size where that is enough, more slowly. So whatever is
unusual about a file, or wrong, is left to Pillow.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from operator import itemgetter
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from edgewise.preprocess.compiled import JPEG
from edgewise.preprocess.geometry import Fit
from edgewise.preprocess.jpeg import weights
from edgewise.preprocess.jpeg.headers import JpegFile, read_headers
from edgewise.tensors import Array, FloatArray
from edgewise.threads import MAX_THREADS

_LEAST_FOR_ONE, _MOST_FOR_ONE = 2.0, 60.0
"""Pixels for one, down and across, for which it is faster than decoding and resizing."""
_MOST_PIXELS, _MOST_BYTES = 64_000_000, 1 << 26
"""Beyond these, what is decoded would take much memory; the second is the C code's limit, too."""
THREAD_NAME = "edgewise-jpeg"
"""Of the threads that stay for the next file."""
_PART_BYTES, _MOST_PARTS = 100_000, 16
"""No smaller a part of a file is worth another thread, and no more parts does the C code take."""

_Axes: TypeAlias = list[tuple[weights.Down, weights.Across]]
_Call: TypeAlias = Callable[[], Any]
_Done: TypeAlias = tuple[int, Any, Exception | None]


@dataclass(frozen=True, eq=False)
class SmallPicture:
    """What was read, already resized."""

    planes: FloatArray
    """float32 (channels, height, width), 0 to 255, not rounded: grey, or red, green and blue."""
    pixels: Array | None = None
    """The same as uint8 (height, width, 3), rounded, in the order of colours that was asked for."""


def read_small(
    file: BinaryIO,
    picture_wh: tuple[int, int],
    fit: Fit,
    *,
    colour: str,
    resample: str = "bilinear",
    as_bytes: bool = False,
    threads: int = 1,
) -> SmallPicture | None:
    """What ``fit`` says of the picture, resized; ``colour`` is rgb, bgr or grey.

    None where the file, or what is asked of it, is not what the C code is for; the file may have been read from then.
    The same whatever the number of ``threads``.
    """
    if JPEG is None or resample not in weights.FILTERS or not _is_worth_it(fit, picture_wh):
        return None
    file.seek(0)
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        return None
    jpeg = read_headers(content)
    if jpeg is None or jpeg.size_wh != picture_wh:
        return None
    axes = _axes_of(fit, jpeg, resample, grey=colour == "grey")
    threads = max(1, min(threads, len(content) // _PART_BYTES, _MOST_PARTS))
    joined = None if axes is None else _decoded(content, jpeg, axes, threads)
    return (
        None
        if axes is None or joined is None
        else _gathered(joined, jpeg, axes, fit, colour, as_bytes, threads)
    )


def _is_worth_it(fit: Fit, picture_wh: tuple[int, int]) -> bool:
    left, top, right, bottom = fit.box_xyxy
    across, down = (right - left) / fit.inner_wh[0], (bottom - top) / fit.inner_wh[1]
    is_in_range = min(across, down) >= _LEAST_FOR_ONE and max(across, down) <= _MOST_FOR_ONE
    return is_in_range and picture_wh[0] * picture_wh[1] <= _MOST_PIXELS


def _axes_of(fit: Fit, jpeg: JpegFile, resample: str, *, grey: bool) -> _Axes | None:
    left, top, right, bottom = fit.box_xyxy
    luma, (columns, rows) = jpeg.components[0], jpeg.groups_wh
    found: _Axes = []
    for one in jpeg.components[: 1 if grey else None]:
        pixels_for_sample = luma.across // one.across, luma.down // one.down
        down = weights.down(
            jpeg.size_wh[1], top, bottom, fit.inner_wh[1], pixels_for_sample[1], rows * one.down, resample
        )
        if down is None:
            return None
        across = weights.across(
            jpeg.size_wh[0],
            left,
            right,
            fit.inner_wh[0],
            pixels_for_sample[0],
            columns * one.across,
            resample,
        )
        found.append((down, across))
    return found


def _decoded(content: bytes, jpeg: JpegFile, axes: _Axes, threads: int) -> Any:
    """The C code's own object, None for a file that it leaves alone."""
    assert JPEG is not None, "read_small() sees to that"
    keep = [weights.needed(*one) for one in axes]
    keep += [bytes(64)] * (len(jpeg.components) - len(axes))
    described = bytes(number for one in jpeg.components for number in (one.across, one.down, *one.tables))
    (columns, rows), interval = jpeg.groups_wh, jpeg.restart_interval
    start = jpeg.scan_start
    scan = JPEG.scan(content, start, rows, columns, interval, described, b"".join(keep), *jpeg.codes)
    if scan is None:
        return None
    count = 1 if interval else threads
    parts = _side_by_side([partial(JPEG.decode, scan, part, count) for part in range(count)])
    return JPEG.join(scan, tuple(parts))


def _gathered(
    joined: Any, jpeg: JpegFile, axes: _Axes, fit: Fit, colour: str, as_bytes: bool, threads: int
) -> SmallPicture:
    assert JPEG is not None, "read_small() sees to that"
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
    width, height = fit.inner_wh
    planes: FloatArray = np.empty((len(axes), height, width), np.float32)
    pixels = np.empty((height, width, 3), np.uint8) if as_bytes and len(axes) == 3 else None
    bands = -(-height // weights.LANES)
    edges = [min(bands * part // threads * weights.LANES, height) for part in range(threads + 1)]
    _side_by_side(
        [
            partial(JPEG.gather, joined, planes, low, high, tuple(arrays), pixels, colour == "bgr")
            for low, high in pairwise(edges)
            if low < high
        ]
    )
    if len(planes) == 1 and colour != "grey":
        planes = np.repeat(planes, 3, axis=0)
    return SmallPicture(planes, pixels)


class _Pool:
    """Threads for whoever reads a picture, made when they are first needed. Plain queues: futures take 0.1 ms more."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """For a forked process: the threads of its parent are not in it."""
        self._lock = Lock()
        self._threads = 0
        self._work: SimpleQueue[tuple[int, _Call, SimpleQueue[_Done]]] = SimpleQueue()

    def run(self, calls: Sequence[_Call]) -> list[Any]:
        """The results of all calls, the last of which is made by the calling thread; raises what one of them raises."""
        done: SimpleQueue[_Done] = SimpleQueue()
        with self._lock:
            while self._threads < min(len(calls) - 1, MAX_THREADS):
                Thread(target=self._serve, args=(self._work,), name=THREAD_NAME, daemon=True).start()
                self._threads += 1
        for index, call in enumerate(calls[:-1]):
            self._work.put((index, call, done))
        _carry_out(len(calls) - 1, calls[-1], done)
        results = sorted((done.get() for _ in calls), key=itemgetter(0))
        for _, _, error in results:
            if error is not None:
                raise error
        return [result for _, result, _ in results]

    @staticmethod
    def _serve(work: "SimpleQueue[tuple[int, _Call, SimpleQueue[_Done]]]") -> None:
        while True:
            _carry_out(*work.get())


def _carry_out(index: int, call: _Call, done: "SimpleQueue[_Done]") -> None:
    try:
        done.put((index, call(), None))
    except Exception as error:  # raised again by the thread that waits
        done.put((index, None, error))


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.forget)


def _side_by_side(calls: Sequence[_Call]) -> list[Any]:
    return [calls[0]()] if len(calls) == 1 else _POOL.run(calls)
