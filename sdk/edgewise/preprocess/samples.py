"""Samples as sound cards and files give them, and as models want them."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import InvalidInput
from edgewise.tensors import Array, FloatArray

Samples: TypeAlias = NDArray[np.float64]

INT16_FULL_SCALE = 32768.0
"""The magnitude of the lowest 16-bit sample; dividing by it, as libsndfile and torchaudio do, is exact."""


def to_float(samples: Array) -> FloatArray:
    """int16 to float32 from -1 to just under 1; floats of any size to float32 as they are. Any shape.

    Raises InvalidInput for other dtypes.
    """
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(INT16_FULL_SCALE)
    _require_float(samples)
    return samples.astype(np.float32, copy=False)


def to_int16(samples: Array) -> NDArray[np.int16]:
    """Floats from -1 to 1 to int16: nearest, ties to even; what is louder is clipped. Any shape.

    Raises InvalidInput for other dtypes and for NaN.
    """
    if samples.dtype == np.int16:
        return samples
    _require_float(samples)
    if np.isnan(samples).any():
        raise InvalidInput("samples: got NaN, expected numbers from -1 to 1")
    steps = np.rint(samples.astype(np.float64) * INT16_FULL_SCALE)
    return np.asarray(np.clip(steps, -INT16_FULL_SCALE, INT16_FULL_SCALE - 1), np.int16)


def to_mono(samples: Array) -> Array:
    """(time, channels) to (time,): the mean of the channels in the given dtype, rounded for integers.

    (time,) is given back as it is. Raises InvalidInput for other shapes.
    """
    if samples.ndim == 1:
        return samples
    if samples.ndim != 2 or not samples.shape[1]:
        raise InvalidInput(f"samples: got shape {samples.shape}, expected (time,) or (time, channels)")
    mean = samples.mean(axis=1, dtype=np.float64)
    return np.asarray(np.rint(mean) if samples.dtype.kind == "i" else mean, samples.dtype)


def as_samples(samples: Any) -> Samples:
    """A chunk for arithmetic: (time,) in float64, int16 divided by 32768.

    Raises InvalidInput for other shapes and dtypes, NaN and infinity, so that no stream is poisoned by them.
    """
    array = np.asarray(samples)
    if array.ndim != 1:
        raise InvalidInput(f"samples: got shape {array.shape}, expected (time,); to_mono() mixes channels")
    if array.dtype == np.int16:
        return array.astype(np.float64) / INT16_FULL_SCALE
    _require_float(array)
    if not np.isfinite(array).all():
        raise InvalidInput("samples: got NaN or infinity, expected finite numbers from -1 to 1")
    return array.astype(np.float64, copy=False)


def _require_float(samples: Array) -> None:
    if samples.dtype.kind != "f":
        raise InvalidInput(f"samples: got dtype {samples.dtype}, expected int16, or floats from -1 to 1")
