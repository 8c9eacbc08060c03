"""What integers cannot hold beside each other: an attention mask and the scores it is added to, above all.

In a sum with something a hundred times larger, an operand is less than a few steps of int8. Before a softmax the
large one only says what to leave out, and the small one is all that counts. What is next to minus infinity has no
place in any range.
"""

import numpy as np

from edgewise_converters.quantize.calibrate import FILL, Calibration
from edgewise_converters.quantize.rules import SAME_SCALE
from edgewise_converters.quantize.widths import Width
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_SUMS = frozenset({"ADD", "SUB"})
_NEXT_TO_NOTHING = 0.01
"""Of the range of the sum: two or three steps of int8."""
_MAXIMA = frozenset({"MAXIMUM", "MAX_POOL_2D", "PADV2", "REDUCE_MAX"})
"""Here the lowest integer does for minus infinity."""


def swamped(graph: Graph, calibration: Calibration) -> dict[int, Width]:
    """By id of every operator in which something would be lost so: float32."""
    found: dict[int, Width] = {}
    consumers = graph.consumers()
    for operator in graph.operators:
        if operator.kind in _MAXIMA:
            continue
        tensors = [t for t in operator.inputs if t is not None and t.is_float]
        filled = any(_is_filled(tensor, calibration) for tensor in (*tensors, *operator.outputs))
        if not filled and (operator.kind not in _SUMS or not _meets_softmax(operator.output, consumers)):
            continue
        if filled or _is_lost(tensors, operator.output, calibration):
            found[id(operator)] = Width.FLOAT
    return found


def _meets_softmax(tensor: Tensor, consumers: dict[int, list[Operator]]) -> bool:
    """Whether a softmax reads it, if behind operators that only move values."""
    readers = consumers.get(id(tensor), [])
    return any(
        reader.kind == "SOFTMAX" or (reader.kind in SAME_SCALE and _meets_softmax(reader.output, consumers))
        for reader in readers
    )


def _is_lost(operands: list[Tensor], result: Tensor, calibration: Calibration) -> bool:
    reach = [_reach(tensor, calibration) for tensor in operands]
    return bool(reach) and 0 < min(reach) < _NEXT_TO_NOTHING * _reach(result, calibration)


def _is_filled(tensor: Tensor, calibration: Calibration) -> bool:
    if tensor.data is not None:
        return tensor.is_float and bool((tensor.data <= FILL).any())
    seen = calibration.by_tensor.get(id(tensor))
    return seen is not None and seen.is_filled


def _reach(tensor: Tensor, calibration: Calibration) -> float:
    """The largest magnitude that was seen."""
    if tensor.data is not None:
        return float(np.abs(tensor.data).max(initial=0.0))
    seen = calibration.by_tensor.get(id(tensor))
    return max(-seen.minimum, seen.maximum) if seen is not None else 0.0
