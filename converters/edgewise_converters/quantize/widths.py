"""How many bits an operator computes with."""

from collections.abc import Mapping
from enum import Enum

import numpy as np


class Width(Enum):
    """What the activations of one operator are; the value is its name for people."""

    FLOAT = "float32"
    HYBRID = "dynamic"
    """int8 weights; the input is rounded to int8 with the range it has at run time, the output stays float32."""
    INT8 = "int8"
    INT16 = "int16x8"
    """int16 activations with int8 weights."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the operator's activations."""
        return np.dtype({Width.INT8: np.int8, Width.INT16: np.int16}.get(self, np.float32))

    @property
    def is_integer(self) -> bool:
        """Whether activations are integers."""
        return self in (Width.INT8, Width.INT16)


Widths = Mapping[int, Width]
"""By id of operator."""
