"""Weights of layers stored as int8 that were rounded jointly, the bias making up for what is left of the mean."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.onnx_out.dense import Dense
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.stored import FEWEST_WEIGHTS, store_steps
from edgewise_converters.onnx_out.weighted import weighted_of
from edgewise_converters.passes.graph_edit import add_constant

_NO_INT32_BIAS = 1.0
"""Scale of the data as far as the bias minds it: it stays float32."""


def store_layers(graph: ir.Graph, rounding: LayerRounding) -> int:
    """Store the weights of all float layers of which ``rounding`` knows the inputs; returns how many."""
    count = 0
    for node in list(graph):
        layer = weighted_of(node)
        weights = node.inputs[1] if layer is not None else None
        if layer is None or weights is None or layer.weights.size < FEWEST_WEIGHTS or len(weights.uses()) > 1:
            continue
        name = str(node.outputs[0].name)
        if not rounding.knows(name):
            continue
        rounded = rounding.of(layer, _NO_INT32_BIAS, "gptq")
        integers, axis = rounded.integers, rounded.axis
        if isinstance(layer, Dense) and "transB" in node.attributes and node.attributes["transB"].as_int():
            integers, axis = np.ascontiguousarray(integers.T), 0
        shape = [1] * integers.ndim
        shape[axis] = -1
        store_steps(graph, weights, integers, rounded.scales.reshape(shape))
        _correct(graph, node, name, layer.bias, rounded.shift)
        count += 1
    return count


def _correct(graph: ir.Graph, node: ir.Node, name: str, bias: Array | None, shift: Array) -> None:
    """Take the mean that rounding adds from the bias, where a node has a place for one."""
    if node.op_type == "MatMul":
        return
    corrected = (np.zeros(len(shift)) if bias is None else bias.astype(np.float64)) - shift
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, add_constant(graph, f"{name}/bias/corrected", corrected.astype(np.float32)))
