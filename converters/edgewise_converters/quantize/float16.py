"""Weights stored as float16 behind a DEQUANTIZE, which every runtime runs (once, at load)."""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.calibrate import Calibration
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_SMALLEST = 64
_LIMIT = float(np.finfo(np.float16).max)
_NORMAL = float(np.finfo(np.float16).tiny)
"""Smaller numbers lose bits of their mantissa, down to nothing."""
_MOST_LOST = 1e-3
"""Part of a tensor's power that float16 may drop; its own rounding drops 1e-7."""
_ROOM = 8.0
"""Activations seen on samples must stay this far below float16's limit where it is to be computed in."""
METADATA_NAME = "reduced_precision_support"
METADATA = b"fp16accfp16"
"""What TensorFlow Lite's converter writes for float16 inference with float16 sums
(tensorflow/lite/tools/optimize/reduced_precision_support.h); XNNPACK heeds it where the processor has float16."""


def store_float16(graph: Graph) -> Graph:
    """The twin of a float graph with float16 constants; ``graph`` is left as it is."""
    result = Graph(graph.name, graph.inputs, graph.outputs)
    restored: dict[int, Tensor] = {}
    for each in graph.operators:
        operator = each.with_graphs(store_float16)
        inputs = [
            None if tensor is None else _restored(tensor, restored, result) for tensor in operator.inputs
        ]
        result.operators.append(Operator(operator.kind, inputs, operator.outputs, operator.options))
    return result


def _restored(tensor: Tensor, restored: dict[int, Tensor], result: Graph) -> Tensor:
    """The tensor to read instead of a float constant: one restored from its float16 twin."""
    if tensor.data is None or not tensor.is_float or tensor.data.size < _SMALLEST:
        return tensor
    if id(tensor) not in restored:
        if not _fits(tensor.data):
            return tensor
        half = Tensor.constant(f"{tensor.name}/float16", tensor.data.astype(np.float16))
        restored[id(tensor)] = Tensor(tensor.name, tensor.shape, tensor.dtype)
        result.operators.append(Operator("DEQUANTIZE", [half], [restored[id(tensor)]]))
    return restored[id(tensor)]


def _fits(data: Array) -> bool:
    """Whether float16 holds these numbers: none beyond its range, and little lost among the very small."""
    size = np.abs(data)
    if not np.all(size <= _LIMIT):
        return False
    lost = np.square(
        data - data.astype(np.float16).astype(np.float32), where=size < _NORMAL, out=np.zeros_like(data)
    )
    return float(lost.sum(dtype=np.float64)) <= _MOST_LOST * float(np.square(data, dtype=np.float64).sum())


def with_float_constants(graph: Graph) -> Graph:
    """The twin of an fp16 graph that holds its constants as float32, with float16's rounding; for looking inside.

    XNNPACK restores constants by itself, and what it leaves in a DEQUANTIZE's output is no value.
    """
    twin = graph.copy()
    kept: list[Operator] = []
    for operator in twin.operators:
        source = operator.inputs[0] if operator.kind == "DEQUANTIZE" else None
        if source is None or source.data is None:
            kept.append(operator)
        else:
            operator.output.data = source.data.astype(np.float32)
    twin.operators = kept
    return twin


def may_compute_in_float16(calibration: Calibration) -> bool:
    """Whether all activations that were seen leave room below float16's largest number."""
    extremes = (max(-s.minimum, s.maximum) for s in calibration.by_tensor.values())
    return max(extremes, default=0.0) * _ROOM <= _LIMIT
