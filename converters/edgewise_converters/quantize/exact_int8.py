"""Weights that are 8-bit integers times one scale, though they came as float32, are stored as such.

The weights of a quantized source's recurrences become constants of every step before they are lowered; here they are
bytes again. Nothing is rounded: weights that do not lie on a grid stay.
"""

import numpy as np

from edgewise_converters.quantize.weights import quantize_weights
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_SMALLEST = 1024
"""Fewer save nothing."""
_TOLERANCE = 1e-4
"""Part of a step by which float32 may miss the grid: 127 steps of a scale that is rounded to 24 bits."""


def store_exact_int8(graph: Graph) -> Graph:
    """The twin with such weights of dense layers behind a DEQUANTIZE, in bodies too; ``graph`` is left as it is."""
    result = Graph(graph.name, graph.inputs, graph.outputs)
    restored: dict[int, Tensor] = {}
    for each in graph.operators:
        operator = each.with_graphs(store_exact_int8)
        weights = operator.inputs[1] if operator.kind == "FULLY_CONNECTED" else None
        stored = None if weights is None else restored.get(id(weights)) or _stored(weights, result)
        if weights is not None and stored is not None:
            restored[id(weights)] = stored
            inputs = [operator.inputs[0], stored, *operator.inputs[2:]]
            operator = Operator(operator.kind, inputs, operator.outputs, operator.options, operator.in_float)
        result.operators.append(operator)
    return result


def _stored(weights: Tensor, result: Graph) -> Tensor | None:
    """The float32 tensor to read instead, restored from bytes; None where bytes do not hold the weights."""
    if weights.data is None or not weights.is_float or weights.data.size < _SMALLEST:
        return None
    steps, grid = quantize_weights(weights.data, None)
    if np.abs(grid.dequantize(steps) - weights.data).max() > _TOLERANCE * grid.scale:
        return None
    constant = Tensor.constant(f"{weights.name}/int8", steps, grid)
    real = Tensor(weights.name, weights.shape, weights.dtype)
    result.operators.append(Operator("DEQUANTIZE", [constant], [real]))
    return real
