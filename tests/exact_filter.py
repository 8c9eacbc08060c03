"""The antialiased triangle filter in float64, which resized pictures are held against."""

import numpy as np

from edgewise.tensors import Array


def triangle(length: int, low: float, high: float, count: int) -> Array:
    """(count, length): shares of ``length`` pixels in ``count`` from ``low`` to ``high``; each row adds up to 1."""
    scale = (high - low) / count
    at, centres = np.arange(length) + 0.5, low + (np.arange(count) + 0.5) * scale
    table = np.maximum(0.0, 1 - np.abs(at - centres[:, np.newaxis]) / max(scale, 1.0))
    normalised: Array = table / table.sum(axis=1, keepdims=True)
    return normalised


def exact(image: Array, box: tuple[float, float, float, float], size_wh: tuple[int, int]) -> Array:
    """``box``, left, top, right and bottom, of (height, width, channels) as float64 (height, width, channels)."""
    left, top, right, bottom = box
    down = triangle(image.shape[0], top, bottom, size_wh[1])
    across = triangle(image.shape[1], left, right, size_wh[0])
    made: Array = np.einsum("yh,hwc,xw->yxc", down, image.astype(np.float64), across, optimize=True)
    return made
