"""Which old pixels make a new one when an axis is resized, and by how much (ONNX Resize)."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array


@dataclass(frozen=True)
class AxisResize:
    """One axis of ``size`` pixels that becomes ``result`` pixels, ``scale`` times as many before rounding."""

    size: int
    result: int
    scale: float
    convention: str
    """coordinate_transformation_mode."""
    start: float = 0.0
    end: float = 1.0
    """The region of interest, as shares of the axis; for tf_crop_and_resize only."""

    def positions(self) -> Array:
        """float32 [result]: where each new pixel lies among the old ones, as onnxruntime computes it."""
        new = np.arange(self.result, dtype=np.float32)
        scale, span = np.float32(self.scale), np.float32(self.size - 1)
        if self.convention == "asymmetric":
            return np.asarray(new / scale)
        if self.convention == "align_corners":
            return new * span / np.float32(max(self.result - 1, 1))
        if self.convention == "tf_crop_and_resize":
            start, end = np.float32(self.start), np.float32(self.end)
            if self.result == 1:
                return np.array([0.5 * (start + end) * span], np.float32)
            return start * span + new * (end - start) * span / np.float32(self.result - 1)
        centred = (new + np.float32(0.5)) / scale - np.float32(0.5)
        if self.convention == "pytorch_half_pixel":
            return centred if self.result > 1 else np.zeros(1, np.float32)
        if self.convention == "half_pixel_symmetric":
            adjustment = np.float32(self.result) / (scale * np.float32(self.size))
            return centred + np.float32(self.size / 2) * (1 - adjustment)
        return centred

    def outside(self) -> Array:
        """bool [result]: new pixels that lie beyond the old ones, which tf_crop_and_resize fills with a number."""
        if self.convention != "tf_crop_and_resize":
            return np.zeros(self.result, bool)
        positions = self.positions()
        return np.asarray((positions < 0) | (positions > self.size - 1))


def nearest(axis: AxisResize, rounding: str) -> Array:
    """int32 [result]: the old pixel that each new one shows."""
    positions = axis.positions()
    half = np.float32(0.5)
    if rounding.startswith("round"):
        rounded = np.floor(positions + half) if rounding == "round_prefer_ceil" else np.ceil(positions - half)
    else:
        rounded = np.floor(positions) if rounding == "floor" else np.ceil(positions)
    return np.asarray(np.clip(rounded, 0, axis.size - 1), np.int32)


@dataclass(frozen=True)
class Kernel:
    """How much a pixel counts by its distance."""

    cubic: bool
    coefficient: float = -0.75
    """Of the cubic (Keys, 1981, where it is a)."""
    antialias: bool = False
    exclude_outside: bool = False

    def __call__(self, distance: Array) -> Array:
        x, a = np.abs(distance), self.coefficient
        if not self.cubic:
            return np.asarray(np.maximum(1 - x, 0))
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def matrix(axis: AxisResize, kernel: Kernel) -> Array:
    """float64 [result, size]: the new pixels as sums of the old; rows of pixels outside are zero."""
    stretch = min(axis.scale, 1.0) if kernel.antialias else 1.0
    positions = axis.positions().astype(np.float64)
    reach = int(np.ceil((2 if kernel.cubic else 1) / stretch)) + 1
    near = np.floor(positions).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)[None, :]
    weights = kernel((near - positions[:, None]) * stretch)
    if kernel.exclude_outside:
        weights = np.where((near < 0) | (near >= axis.size), 0.0, weights)
    if kernel.exclude_outside or kernel.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    result = np.zeros((axis.result, axis.size))
    rows = np.broadcast_to(np.arange(axis.result)[:, None], near.shape)
    np.add.at(result, (rows, np.clip(near, 0, axis.size - 1)), weights)
    result[axis.outside()] = 0.0
    return result
