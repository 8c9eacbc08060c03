"""Scales and shifts per channel move into the scales of the integer weights before them, and into the bias.

Needs: a model whose quantization is kept. Leaves: no BatchNormalization, Mul or Add with a constant per channel
directly behind a Conv or Gemm whose weights are a DequantizeLinear of centred integers. Exact but for float32 rounding
and for a -128 under a negative scale, which becomes -127 when its sign is turned. (Networks that were trained with
quantization in mind come so: their batch norms stand between the convolution and the next QuantizeLinear.)
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes import keep_quantization
from edgewise_converters.passes.fold_affine import affine_of
from edgewise_converters.passes.graph_edit import add_constant, constant, only_user, replace
from edgewise_converters.passes.quantized_values import Grid, dequantize, stated_grid


def apply(model: ir.Model) -> bool:
    """Fold every one that can be; returns whether there was any."""
    changed = False
    if not keep_quantization.is_marked(model):
        return False
    for node in list(model.graph):
        affine = None if node.graph is None or node.outputs[0].shape is None else affine_of(node)
        layer = None if affine is None else affine[0].producer()
        if affine is not None and layer is not None and only_user(affine[0]) is not None:
            changed |= _fold(model.graph, layer, node, affine[1], affine[2])
    return changed


def _fold(graph: ir.Graph, layer: ir.Node, node: ir.Node, scale: Array, shift: Array) -> bool:
    axis = _output_axis(layer)
    source = layer.inputs[1] if axis is not None else None
    restored = None if source is None else source.producer()
    if axis is None or restored is None or restored.op_type != "DequantizeLinear":
        return False
    integers, grid = constant(restored.inputs[0]), stated_grid(restored)
    given = layer.inputs[2] if len(layer.inputs) > 2 else None
    bias = constant(given)
    if integers is None or grid is None or integers.dtype != np.int8 or grid.zero_points.any():
        return False
    if (grid.scales.size > 1 and grid.axis % integers.ndim != axis) or (given is not None and bias is None):
        return False
    if not scale.all():
        return False
    shape = [1] * integers.ndim
    shape[axis] = -1
    turned = np.clip(integers * np.sign(scale).astype(np.int16).reshape(shape), -127, 127).astype(np.int8)
    name = str(layer.name)
    stored = add_constant(graph, f"{name}/turned", turned)
    scales = np.abs(scale) * np.broadcast_to(grid.scales, scale.shape)
    weights = dequantize(layer, stored, Grid(scales.astype(np.float32), np.zeros(1, np.int64), axis))
    weights.shape, weights.type = ir.Shape(integers.shape), ir.TensorType(ir.DataType.FLOAT)
    moved = shift if bias is None else bias.astype(np.float64).reshape(-1) * scale + shift
    new_bias = add_constant(graph, f"{name}/bias", moved.astype(np.float32))
    attributes = {key: attribute.value for key, attribute in layer.attributes.items()}
    inputs = [layer.inputs[0], weights, new_bias]
    replace(graph, [layer, node], layer.op_type, inputs, node.outputs[0], **attributes)
    return True


def _output_axis(layer: ir.Node) -> int | None:
    """The axis of the outputs in a layer's weights; None for what is no plain layer."""
    if layer.domain not in ("", "ai.onnx"):
        return None
    if layer.op_type == "Conv":
        return 0
    numbers = {key: attribute.value for key, attribute in layer.attributes.items()}
    plain = numbers.get("alpha", 1.0) == 1.0 and numbers.get("beta", 1.0) == 1.0
    if layer.op_type != "Gemm" or not plain:
        return None
    return 0 if numbers.get("transB") else 1
