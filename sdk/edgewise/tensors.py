"""Shape, dtype, and scale and zero point of one tensor."""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import CardError

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.float32]

LAYOUTS = ("", "nhwc", "nchw")


@dataclass(frozen=True)
class Quantization:
    """How integers stand for real numbers: ``real = scale * (integer - zero_point)``.

    One scale and zero point for the whole tensor, or one of each per index along ``axis``
    (TensorFlow Lite 8-bit quantization specification, "Specification summary").
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    def __post_init__(self) -> None:
        if not self.scales or len(self.scales) != len(self.zero_points):
            raise CardError(
                f"quantization: got {len(self.scales)} scales and {len(self.zero_points)} zero points, "
                "expected one of each, or one of each per channel"
            )
        if not (min(self.scales) > 0 and math.isfinite(sum(self.scales))):
            raise CardError(f"quantization: got scales {self.scales[:4]}, expected positive finite numbers")
        if max(self.zero_points) >= 1 << 31 or min(self.zero_points) <= -(1 << 31):
            raise CardError(f"quantization: got zero points {self.zero_points[:4]}, expected 32-bit numbers")

    @property
    def is_per_tensor(self) -> bool:
        """Whether one scale holds for every element."""
        return len(self.scales) == 1

    @property
    def scale(self) -> float:
        """The only scale; raises CardError for per-channel quantization."""
        self._require_per_tensor()
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The only zero point; raises CardError for per-channel quantization."""
        self._require_per_tensor()
        return self.zero_points[0]

    def quantize(self, real: Array, dtype: str = "int8") -> Array:
        """Real numbers to integers of ``dtype``: nearest, ties to even, out of range clipped."""
        scales, zero_points = self._broadcast(real.ndim)
        limits = np.iinfo(dtype)
        steps = np.rint(np.asarray(real, np.float32) / scales) + zero_points
        integers: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
        return integers

    def dequantize(self, integers: Array) -> FloatArray:
        """Integers to real numbers, float32."""
        scales, zero_points = self._broadcast(integers.ndim)
        return (integers.astype(np.float32) - zero_points) * scales

    def _broadcast(self, rank: int) -> tuple[FloatArray, FloatArray]:
        shape = [1] * rank
        if not self.is_per_tensor:
            shape[self.axis] = len(self.scales)
        return (
            np.array(self.scales, np.float32).reshape(shape),
            np.array(self.zero_points, np.float32).reshape(shape),
        )

    def _require_per_tensor(self) -> None:
        if not self.is_per_tensor:
            raise CardError(f"quantization: got {len(self.scales)} scales, expected one for the whole tensor")


@dataclass(frozen=True)
class TensorSpec:
    """What one input or output of a model looks like."""

    name: str
    shape: tuple[int, ...]
    """A dimension that the caller chooses is -1."""
    dtype: str
    """A numpy name: float32, int8, uint8, int64, bool ..."""
    layout: str = ""
    """nhwc, nchw, or "" for what is not an image."""
    quantization: Quantization | None = None

    @property
    def is_dynamic(self) -> bool:
        """Whether some dimension is the caller's to choose."""
        return any(size < 0 for size in self.shape)

    def dequantized(self, array: Array) -> Array:
        """An array of this tensor as real numbers; the same array when it is not quantized."""
        return self.quantization.dequantize(array) if self.quantization else array

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits."""
        if shape == self.shape:
            return True
        return len(shape) == len(self.shape) and all(
            want < 0 or want == got for want, got in zip(self.shape, shape, strict=True)
        )
