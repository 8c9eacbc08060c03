"""Scales and shifts per channel move into the weights and bias before them.

Needs: constant weights. Leaves: no BatchNormalization, Mul or Add with a constant per channel directly behind a
Conv, ConvTranspose or Gemm that nobody else reads; other BatchNormalization nodes as Mul and Add.
Exact but for float32 rounding of the weights (computed in float64).
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.graph_edit import add_constant, constant, only_user, replace

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})
_DEFAULT_EPSILON = 1e-5


def apply(model: ir.Model) -> bool:
    """Fold the first that can be folded of every chain; returns whether anything changed."""
    changed = False
    for node in list(model.graph):
        if node.graph is None or node.outputs[0].shape is None:
            continue
        affine = affine_of(node)
        if affine is None:
            continue
        data, scale, shift = affine
        weighted = data.producer()
        if weighted is not None and _can_take(weighted, data, scale):
            _take(model.graph, weighted, node, scale, shift)
            changed = True
        elif node.op_type == "BatchNormalization":
            _spell_out(model.graph, node, data, scale, shift)
            changed = True
    return changed


def affine_of(node: ir.Node) -> tuple[ir.Value, Array, Array] | None:
    """The data input, scale and shift per channel (float64, [C]) if the node computes data * scale + shift."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "BatchNormalization":
        return _batch_norm(node)
    if node.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    first, second = node.inputs[0], node.inputs[1]
    array, data = constant(second), first
    if array is None and node.op_type in ("Mul", "Add"):
        array, data = constant(first), second
    if array is None or data is None or constant(data) is not None or data.shape is None:
        return None
    vector = _per_channel(array, data)
    if vector is None:
        return None
    one, zero = np.ones_like(vector), np.zeros_like(vector)
    if node.op_type == "Mul":
        return data, vector, zero
    if node.op_type == "Div":
        return None if not vector.all() else (data, one / vector, zero)
    return data, one, vector if node.op_type == "Add" else -vector


def _batch_norm(node: ir.Node) -> tuple[ir.Value, Array, Array] | None:
    arrays = [constant(value) for value in node.inputs[1:5]]
    data = node.inputs[0]
    learns = "training_mode" in node.attributes and node.attributes["training_mode"].as_int()
    if data is None or learns or any(array is None for array in arrays):
        return None
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else _DEFAULT_EPSILON
    scale = gamma / np.sqrt(variance + epsilon)
    return data, scale, beta - mean * scale


def _per_channel(array: Array, data: ir.Value) -> Array | None:
    """``array`` as [C] if it broadcasts along the channel axis 1 only, without enlarging the data."""
    assert data.shape is not None
    shape = [int(dim) if isinstance(dim, int) else 0 for dim in data.shape]
    if len(shape) < 2 or array.ndim > len(shape) or not shape[1]:
        return None
    full = (1,) * (len(shape) - array.ndim) + array.shape
    if any(dim != 1 for axis, dim in enumerate(full) if axis != 1) or full[1] not in (1, shape[1]):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (shape[1],))


def _can_take(weighted: ir.Node, data: ir.Value, scale: Array) -> bool:
    if weighted.op_type not in _WEIGHTED or weighted.domain not in ("", "ai.onnx") or only_user(data) is None:
        return False
    bias = weighted.inputs[2] if len(weighted.inputs) > 2 else None
    if constant(weighted.inputs[1]) is None or (bias is not None and constant(bias) is None):
        return False
    if weighted.op_type == "Gemm":
        plain = all(
            weighted.attributes[k].as_float() == 1.0 for k in ("alpha", "beta") if k in weighted.attributes
        )
        addend = None if bias is None else constant(bias)
        return plain and (addend is None or (addend.size == scale.size == addend.shape[-1]))
    return True


def _take(graph: ir.Graph, weighted: ir.Node, node: ir.Node, scale: Array, shift: Array) -> None:
    weights = constant(weighted.inputs[1])
    bias = (
        constant(weighted.inputs[2]) if len(weighted.inputs) > 2 and weighted.inputs[2] is not None else None
    )
    assert weights is not None
    scaled = (weights * _along_outputs(weighted, weights, scale)).astype(weights.dtype)
    moved = shift if bias is None else bias.astype(np.float64).reshape(-1) * scale + shift
    source = weighted.inputs[1]
    assert source is not None
    name = str(source.name)
    new_weights = add_constant(graph, f"{name}/scaled", scaled) if np.any(scale != 1) else source
    new_bias = add_constant(graph, f"{name}/bias", moved.astype(weights.dtype))
    result = node.outputs[0]
    attributes = {key: attribute.value for key, attribute in weighted.attributes.items()}
    old = [weighted, node]
    replace(graph, old, weighted.op_type, [weighted.inputs[0], new_weights, new_bias], result, **attributes)


def _along_outputs(weighted: ir.Node, weights: Array, scale: Array) -> Array:
    """``scale`` [C_out] shaped to multiply the weights along their output channels."""
    if weighted.op_type == "Conv":
        return scale.reshape((-1,) + (1,) * (weights.ndim - 1))
    if weighted.op_type == "Gemm":
        transposed = "transB" in weighted.attributes and weighted.attributes["transB"].as_int()
        return scale.reshape(-1, 1) if transposed else scale.reshape(1, -1)
    group = weighted.attributes["group"].as_int() if "group" in weighted.attributes else 1
    # ConvTranspose weights are [C_in, C_out / group, ...]: the g-th block of inputs feeds the g-th block of outputs.
    rows = np.repeat(scale.reshape(group, -1), weights.shape[0] // group, axis=0)
    return rows.reshape(rows.shape + (1,) * (weights.ndim - 2))


def _spell_out(graph: ir.Graph, node: ir.Node, data: ir.Value, scale: Array, shift: Array) -> None:
    assert data.shape is not None
    rank = len(data.shape)
    shape = (1, -1) + (1,) * (rank - 2)
    multiplier = add_constant(graph, f"{node.name}/scale", scale.astype(np.float32).reshape(shape))
    addend = add_constant(graph, f"{node.name}/shift", shift.astype(np.float32).reshape(shape))
    product = ir.Value(
        name=f"{node.outputs[0].name}/scaled", shape=node.outputs[0].shape, type=node.outputs[0].type
    )
    multiply = ir.Node("", "Mul", [data, multiplier], outputs=[product], name=f"{node.name}/scale")
    graph.insert_before(node, multiply)
    replace(graph, [node], "Add", [product, addend], node.outputs[0])
