"""Where operators keep the weights that are worth storing in fewer bits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewise_converters.tflite.graph import Operator, Tensor

FEWEST_WEIGHTS = 1024
"""Fewer stay float: they save nothing (TFLite's converter draws the same line)."""


@dataclass(frozen=True)
class WeightSlot:
    """The constant weights of one operator."""

    index: int
    """Which input they are."""
    axis: int
    """Along it each index has a scale of its own: output channels, or rows of a table."""
    tensor: Tensor


def _matrix_axis(operator: Operator, index: int) -> int:
    """The axis of a constant matrix that the product keeps."""
    matrix = operator.inputs[index]
    assert matrix is not None
    last, before = len(matrix.shape) - 1, len(matrix.shape) - 2
    if index == 1:
        return before if operator.options.get("adjY") else last
    return last if operator.options.get("adjX") else before


_AXES: dict[str, dict[int, int | Callable[[Operator, int], int]]] = {
    "CONV_2D": {1: 0},
    "DEPTHWISE_CONV_2D": {1: 3},
    "FULLY_CONNECTED": {1: 0},
    "TRANSPOSE_CONV": {1: 0},
    "CONV_3D": {1: 4},
    "CONV_3D_TRANSPOSE": {1: 3},
    "BATCH_MATMUL": {0: _matrix_axis, 1: _matrix_axis},
    "GATHER": {0: lambda operator, _: int(operator.options.get("axis", 0))},  # type: ignore[arg-type]  # an option's type is its operator's matter
}
"""By kind of operator, which input may be weights, and their axis (schema.fbs and the kernels' filter shapes)."""


def weight_slot(operator: Operator, *, fewest: int = FEWEST_WEIGHTS) -> WeightSlot | None:
    """The weights of an operator; None where it has none, few, or is part of a formula that needs them exact."""
    if operator.in_float:
        return None
    for index, axis in _AXES.get(operator.kind, {}).items():
        tensor = operator.inputs[index] if index < len(operator.inputs) else None
        if tensor is None or tensor.data is None or not tensor.is_float or tensor.data.size < fewest:
            continue
        if not np.isfinite(tensor.data).all():
            continue  # no grid holds infinity
        return WeightSlot(index, axis(operator, index) if callable(axis) else axis, tensor)
    return None
