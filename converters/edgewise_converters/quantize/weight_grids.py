"""Which real numbers a few bits of weight stand for: symmetric grids, clipped where that costs least."""

import numpy as np

from edgewise.tensors import Array

_FACTORS = np.linspace(1.0, 0.4, 13)
"""Parts of the largest weight that a grid may end at."""
_SMALLEST_HALF = 2.0**-14
"""The smallest normal float16: a block's scale is stored as one."""


def least_error_scales(weights: Array, largest: int, importance: Array | None = None) -> Array:
    """Scales [...] of ``weights`` [..., K] with the least squared error of rounding and clipping together, float32.

    ``importance`` [..., K] weighs the squares: the variance of what each weight is multiplied with. Integers go
    from minus to plus ``largest`` (Banner et al. 2019, arXiv:1810.05723, section 3, by search).
    """
    peaks = np.abs(weights).max(axis=-1)
    # A channel of zeros needs a positive scale all the same.
    peaks = np.where(peaks > 0, peaks, 1.0).astype(np.float32)
    best_error = np.full(peaks.shape, np.inf)
    best = peaks / np.float32(largest)
    for factor in _FACTORS:
        scales = (peaks * np.float32(factor / largest)).astype(np.float32)
        steps = np.clip(np.rint(weights / scales[..., None]), -largest, largest)
        squares = np.square(steps * scales[..., None] - weights, dtype=np.float32)
        error = (squares if importance is None else squares * importance).sum(axis=-1, dtype=np.float64)
        better = error < best_error
        best_error, best = np.where(better, error, best_error), np.where(better, scales, best)
    return np.asarray(best, np.float32)


def as_block_scales(scales: Array) -> Array:
    """The nearest scales that float16 holds and bfloat16 too, float16: files store the one, kernels use the other."""
    bits = np.maximum(scales, _SMALLEST_HALF).astype(np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.minimum(rounded, np.float32(np.finfo(np.float16).max)).astype(np.float16)
