"""4-bit integers: NumPy has none of its own, and a .tflite file holds two in each byte."""

import ml_dtypes
import numpy as np

from edgewise.tensors import Array

INT4 = np.dtype(ml_dtypes.int4)
"""-8 to 7; in memory each takes a byte."""


def as_int4(integers: Array) -> Array:
    """Integers from -8 to 7 with the dtype that says so."""
    return integers.astype(np.int8).astype(INT4)


def packed(data: Array) -> Array:
    """uint8, two of ``data`` in each, the first in the low half (LiteRT's UnpackDenseInt4IntoInt8 reads it so)."""
    nibbles = data.astype(np.int8).reshape(-1).view(np.uint8) & 0x0F
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    return np.asarray(nibbles[0::2] | nibbles[1::2] << 4, np.uint8)
