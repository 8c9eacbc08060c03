"""Dense layers, however they are written: their constant weights, bias and data."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.graph_edit import constant, only_user, replace


@dataclass(frozen=True)
class Dense:
    """One product of data with a constant matrix."""

    node: ir.Node
    data: ir.Value
    weights: Array
    """Inputs by outputs, float32 [K, N]."""
    bias: Array | None
    """Float32 [N]."""


def dense_of(node: ir.Node) -> Dense | None:
    """The dense layer that a MatMul or Gemm with constant float32 weights is, else None."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("MatMul", "Gemm"):
        return None
    data, weights = node.inputs[0], constant(node.inputs[1])
    if data is None or weights is None or constant(data) is not None:
        return None
    if weights.ndim != 2 or weights.dtype != np.float32:
        return None
    if node.op_type == "MatMul":
        return Dense(node, data, weights, None) if data.shape is not None and len(data.shape) > 1 else None
    return _gemm(node, data, weights)


def _gemm(node: ir.Node, data: ir.Value, weights: Array) -> Dense | None:
    numbers = {
        name: node.attributes[name].as_float() for name in ("alpha", "beta") if name in node.attributes
    }
    flags = {name: node.attributes[name].as_int() for name in ("transA", "transB") if name in node.attributes}
    if any(number != 1.0 for number in numbers.values()) or flags.get("transA"):
        return None
    matrix = weights.T if flags.get("transB") else weights
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    bias = constant(node.inputs[2]) if has_bias else None
    if has_bias and (bias is None or bias.size not in (1, matrix.shape[1]) or bias.ndim > 2):
        return None
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), (matrix.shape[1],)).astype(np.float32)
    return Dense(node, data, matrix, bias)


def products_with_bias(model: ir.Model) -> bool:
    """MatMul and Add become Gemm where the data are a matrix; returns whether there was any.

    Needs: constant weights and bias. Exact. A Gemm's bias is an integer beside its integer weights; that of an Add
    would be rounded on its own.
    """
    changed = False
    for node in list(model.graph):
        dense = dense_of(node) if node.graph is not None and node.op_type == "MatMul" else None
        add = only_user(node.outputs[0]) if dense is not None else None
        if dense is None or add is None or add.op_type != "Add" or len(dense.data.shape or ()) != 2:
            continue
        bias = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
        array = constant(bias)
        if array is None or array.shape not in ((dense.weights.shape[1],), (1, dense.weights.shape[1])):
            continue
        replace(model.graph, [node, add], "Gemm", [dense.data, node.inputs[1], bias], add.outputs[0])
        changed = True
    return changed
