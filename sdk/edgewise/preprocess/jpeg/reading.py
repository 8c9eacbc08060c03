"""JPEG files straight to small pictures, by `_jpeg.c` where it was compiled: when, and in how many threads.

It is optional: Pillow reads every file, at a fraction of its size where that is enough, more slowly. So whatever is
unusual about a file, or wrong, is left to Pillow.
"""

from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import numpy as np

from edgewise.preprocess.compiled import JPEG
from edgewise.preprocess.geometry import Fit
from edgewise.preprocess.jpeg import weights
from edgewise.preprocess.jpeg.headers import JpegFile, read_headers
from edgewise.tensors import Array, FloatArray

_LEAST_FOR_ONE, _MOST_FOR_ONE = 2.0, 60.0
"""Pixels for one, down and across, for which it is faster than decoding and resizing."""
_MOST_PIXELS, _MOST_BYTES = 64_000_000, 1 << 26
"""Beyond these, what is decoded would take much memory; the second is the C code's limit, too."""
_PART_BYTES = 50_000
"""No smaller a part of a file is worth a thread's way to it."""
_PARTS_FOR_EACH = 3
"""Parts for each thread: one that is late, or held up by something else, leaves more to the others."""
_MOST_PARTS, _MOST_THREADS = 16, 16
"""The C code's limits."""

_Axes: TypeAlias = list[tuple[weights.Down, weights.Across]]


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
    if axes is None:
        return None
    threads = max(1, min(threads, len(content) // _PART_BYTES, _MOST_THREADS))
    return _carried_out(content, jpeg, axes, fit, colour=colour, as_bytes=as_bytes, threads=threads)


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


def _carried_out(
    content: bytes,
    jpeg: JpegFile,
    axes: _Axes,
    fit: Fit,
    *,
    colour: str,
    as_bytes: bool,
    threads: int,
) -> SmallPicture | None:
    assert JPEG is not None, "read_small() sees to that"
    keep, arrays = [], []
    for component, (down, across) in zip(jpeg.components, axes, strict=False):
        keep.append(weights.needed(down, across))
        arrays += [down.weights, down.firsts, down.lasts, across.starts, across.weights]
        arrays.append(component.quantization)
    keep += [bytes(64)] * (len(jpeg.components) - len(axes))
    width, height = fit.inner_wh
    planes: FloatArray = np.empty((len(axes), height, width), np.float32)
    pixels = np.empty((height, width, 3), np.uint8) if as_bytes and len(axes) == 3 else None
    columns, rows = jpeg.groups_wh
    parts = 1 if threads == 1 else min(threads * _PARTS_FOR_EACH, len(content) // _PART_BYTES, _MOST_PARTS)
    is_read = JPEG.read(
        content,
        jpeg.scan_start,
        rows,
        columns,
        jpeg.restart_interval,
        bytes(number for one in jpeg.components for number in (one.across, one.down, *one.tables)),
        b"".join(keep),
        jpeg.codes,
        parts,
        threads,
        planes,
        pixels,
        colour == "bgr",
        tuple(arrays),
    )
    if not is_read:
        return None
    if len(planes) == 1 and colour != "grey":
        planes = np.repeat(planes, 3, axis=0)
    return SmallPicture(planes, pixels)
