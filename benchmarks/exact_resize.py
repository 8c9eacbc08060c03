"""The antialiased bilinear resize in float64 and without rounding: what the others are held against.

The filter is a triangle as wide as two output pixels, sampled at the centres of the input's pixels and normalised,
as Pillow (Resample.c) and torchvision (``antialias=True``) define it.
"""

import numpy as np
from numpy.typing import NDArray

from edgewise.tensors import Array

Weights = NDArray[np.float64]


def triangle_weights(length: int, wanted: int) -> Weights:
    """(wanted, length): the share of each input pixel in each output pixel; rows sum to 1."""
    scale = length / wanted
    reach = max(scale, 1.0)
    centres = (np.arange(wanted)[:, np.newaxis] + 0.5) * scale
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(length) + 0.5 - centres) / reach)
    normalised: Weights = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def exact_resize(image_hwc: Array, size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """uint8 (height, width, channels) to float64 of ``size_wh``, 0 to 255."""
    height, width, channels = image_hwc.shape
    rows = triangle_weights(height, size_wh[1]) @ image_hwc.reshape(height, -1).astype(np.float64)
    across = (
        rows.reshape(size_wh[1], width, channels).transpose(0, 2, 1) @ triangle_weights(width, size_wh[0]).T
    )
    return across.transpose(0, 2, 1)
