"""A line of text as a picture of its own: cut out, straightened, of a given height."""

import math

import numpy as np
from PIL import Image

from edgewise.tensors import Array, FloatArray

_TALL = 1.5
"""A cut-out at least this many times as high as wide is a line on its side (PaddleOCR, tools/infer/utility.py)."""
_GAP_SHARE = 0.35
"""A piece may end this share of its width early, to end in a gap."""
_SPACE_PER_HEIGHT = 0.2
"""A gap this wide is a space; in common fonts a space is 0.2 to 0.3 of the line's height, and letters stand closer."""
_INK_SHARE = 0.25
"""Columns whose contrast is below this share of the line's strongest are gaps."""


def cut_out(picture: Image.Image, quad_xy: FloatArray) -> Image.Image:
    """The quad [4, 2] of an RGB picture, straightened; one on its side is turned left to be read."""
    top, right, bottom, left = np.hypot(*(np.roll(quad_xy, -1, axis=0) - quad_xy).T)
    width, height = max(1, round(max(top, bottom))), max(1, round(max(left, right)))
    line = picture.transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        perspective_to((width, height), quad_xy).tolist(),
        Image.Resampling.BICUBIC,
    )
    return line.transpose(Image.Transpose.ROTATE_90) if height >= _TALL * width else line


def perspective_to(size_wh: tuple[int, int], quad_xy: FloatArray) -> Array:
    """Pillow's eight numbers that take a rectangle from 0, 0 to ``size_wh`` to a quad.

    x' = (a x + b y + c) / (g x + h y + 1) and y' = (d x + e y + f) / (g x + h y + 1), as ImageTransform has it.
    """
    width, height = size_wh
    equations, values = [], []
    for (x, y), (to_x, to_y) in zip(
        ((0, 0), (width, 0), (width, height), (0, height)), quad_xy.tolist(), strict=True
    ):
        equations += [[x, y, 1, 0, 0, 0, -x * to_x, -y * to_x], [0, 0, 0, x, y, 1, -x * to_y, -y * to_y]]
        values += [to_x, to_y]
    return np.linalg.lstsq(np.array(equations, np.float64), np.array(values, np.float64), rcond=None)[0]


def at_height(line: Image.Image, height: int) -> Image.Image:
    """The line resized to this height, its width in proportion."""
    width = max(1, math.ceil(line.width * height / line.height))
    return line.resize((width, height), Image.Resampling.BILINEAR)


def padded(line: Image.Image, size_wh: tuple[int, int], fill: int) -> Image.Image:
    """The line at the left of a wider picture; squeezed where it is too wide."""
    if line.width > size_wh[0]:
        return line.resize(size_wh, Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", size_wh, (fill,) * 3)
    canvas.paste(line, (0, 0))
    return canvas


def pieces(line: Image.Image, width: int) -> list[tuple[Image.Image, bool]]:
    """The line in pieces of at most ``width``, cut in gaps between letters; each with whether a space follows it."""
    if line.width <= width:
        return [(line, False)]
    grey = np.asarray(line.convert("L"), np.int16)
    contrast = grey.max(axis=0) - grey.min(axis=0)
    is_gap = contrast <= max(_INK_SHARE * float(contrast.max()), 1.0)
    found = []
    start = 0
    while line.width - start > width:
        first = start + math.ceil(width * (1 - _GAP_SHARE))
        cut, gap = _widest_gap(is_gap, first, start + width)
        if not gap:
            cut = first + int(contrast[first : start + width].argmin())
        found.append((line.crop((start, 0, cut, line.height)), gap >= _SPACE_PER_HEIGHT * line.height))
        start = cut
    found.append((line.crop((start, 0, line.width, line.height)), False))
    return found


def _widest_gap(is_gap: Array, first: int, end: int) -> tuple[int, int]:
    """The middle and the width of the widest run of gap columns in this range; width 0 when there is none."""
    steps = np.flatnonzero(np.diff(is_gap[first:end].astype(np.int8), prepend=0, append=0))
    if not len(steps):
        return end, 0
    starts, ends = steps[0::2], steps[1::2]
    widest = int((ends - starts).argmax())
    return first + int(starts[widest] + ends[widest]) // 2, int(ends[widest] - starts[widest])
