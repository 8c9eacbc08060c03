"""Weights stored as float16 behind a DEQUANTIZE, which every runtime runs (once, at load)."""

import numpy as np

from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_SMALLEST = 64
_LIMIT = float(np.finfo(np.float16).max)


def store_float16(graph: Graph) -> Graph:
    """The twin of a float graph with float16 constants; ``graph`` is left as it is."""
    result = Graph(graph.name, graph.inputs, graph.outputs)
    restored: dict[int, Tensor] = {}
    for operator in graph.operators:
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
        if np.abs(tensor.data).max() > _LIMIT:
            return tensor
        half = Tensor.constant(f"{tensor.name}/float16", tensor.data.astype(np.float16))
        restored[id(tensor)] = Tensor(tensor.name, tensor.shape, tensor.dtype)
        result.operators.append(Operator("DEQUANTIZE", [half], [restored[id(tensor)]]))
    return restored[id(tensor)]
