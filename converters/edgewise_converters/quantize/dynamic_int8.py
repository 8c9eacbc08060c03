"""Dynamic-range int8: weights are stored as int8, activations are quantized when the model runs."""

import numpy as np

from edgewise_converters.quantize.weights import channel_axis, quantize_weights
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor

_SMALLEST = 1024
"""Fewer weights than this stay float: they save nothing (TFLite's converter draws the same line)."""
_KINDS = frozenset({"CONV_2D", "FULLY_CONNECTED"})
"""Depthwise weights stay float: they are small, and no fast kernel mixes them with float activations."""


def quantize_dynamic(graph: Graph, *, dense_per_channel: bool) -> Graph:
    """The twin of a float graph with int8 weights; ``graph`` is left as it is.

    ``dense_per_channel`` is for runtimes that know FULLY_CONNECTED version 12; tflite-runtime 2.14 computes
    per-channel dense layers wrongly.
    """
    operators = [_dynamic(operator, dense_per_channel) for operator in graph.operators]
    return Graph(graph.name, graph.inputs, graph.outputs, operators)


def _dynamic(operator: Operator, dense_per_channel: bool) -> Operator:
    weights = operator.inputs[1] if operator.kind in _KINDS and len(operator.inputs) > 1 else None
    first = operator.inputs[0]
    if (
        operator.in_float
        or weights is None
        or weights.data is None
        or weights.data.size < _SMALLEST
        or first is None
        or not first.is_float
    ):
        return operator
    dense = operator.kind == "FULLY_CONNECTED"
    axis = None if dense and not dense_per_channel else channel_axis(operator.kind)
    integers, quantization = quantize_weights(np.asarray(weights.data), axis)
    options: dict[str, Option] = dict(operator.options)
    if dense:
        options["asymmetricQuantizeInputs"] = True
    constant = Tensor.constant(f"{weights.name}/int8", integers, quantization)
    return Operator(operator.kind, [first, constant, *operator.inputs[2:]], operator.outputs, options)
