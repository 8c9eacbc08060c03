"""The antialiased filters in float64, which resized pictures are held against."""

from collections.abc import Callable

import numpy as np

from edgewise.tensors import Array


def triangle(length: int, low: float, high: float, count: int) -> Array:
    """(count, length): shares of ``length`` pixels in ``count`` from ``low`` to ``high``; each row adds up to 1."""
    scale = (high - low) / count
    at, centres = np.arange(length) + 0.5, low + (np.arange(count) + 0.5) * scale
    table = np.maximum(0.0, 1 - np.abs(at - centres[:, np.newaxis]) / max(scale, 1.0))
    normalised: Array = table / table.sum(axis=1, keepdims=True)
    return normalised


def cubic(length: int, low: float, high: float, count: int) -> Array:
    """The same of Keys' kernel with a = -0.5, by its two polynomials as they are printed."""
    scale, a = (high - low) / count, -0.5
    at, centres = np.arange(length) + 0.5, low + (np.arange(count) + 0.5) * scale
    x = np.abs(at - centres[:, np.newaxis]) / max(scale, 1.0)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    table = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    normalised: Array = table / table.sum(axis=1, keepdims=True)
    return normalised


def exact(
    image: Array,
    box: tuple[float, float, float, float],
    size_wh: tuple[int, int],
    weights: Callable[[int, float, float, int], Array] = triangle,
) -> Array:
    """``box``, left, top, right and bottom, of (height, width, channels) as float64 (height, width, channels)."""
    left, top, right, bottom = box
    down = weights(image.shape[0], top, bottom, size_wh[1])
    across = weights(image.shape[1], left, right, size_wh[0])
    made: Array = np.einsum("yh,hwc,xw->yxc", down, image.astype(np.float64), across, optimize=True)
    return made
