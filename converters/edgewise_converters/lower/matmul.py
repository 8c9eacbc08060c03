"""Gemm and MatMul."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import constant_input, float_of, input_of, int_of
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor


@lowers("Gemm")
def lower_gemm(low: Lowering, node: ir.Node) -> None:
    """alpha * A B + beta * C; with constant B as FULLY_CONNECTED, whose weights are [outputs, inputs]."""
    left, right, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert left is not None and right is not None
    name = str(result.name)
    data = low.read(left)
    if int_of(node, "transA", 0):
        data = low.transpose(data, [1, 0], f"{name}/a")
    alpha, beta = float_of(node, "alpha", 1.0), float_of(node, "beta", 1.0)
    weights, addend = constant_input(node, 1), constant_input(node, 2)
    if weights is None:
        _computed_gemm(low, node, data, alpha, beta)
        return
    weights = (weights if int_of(node, "transB", 0) else weights.T) * np.float32(alpha)
    bias = _bias(addend, beta, weights.shape[0])
    zeros = np.zeros(weights.shape[0])
    tensor = fully_connected(low, data, weights, zeros if bias is None else bias, low.shape(result), name)
    extra = input_of(node, 2)
    if extra is not None and bias is None:
        tensor = _add_scaled(low, tensor, low.read(extra), beta, name)
    low.bind(result, tensor)


def _bias(addend: Array | None, beta: float, outputs: int) -> Array | None:
    """The addend as one number per output, or None where it is not that."""
    if addend is None or addend.size not in (1, outputs) or (addend.ndim == 2 and addend.shape[0] != 1):
        return None
    return np.broadcast_to(addend.reshape(-1) * np.float32(beta), outputs)


def fully_connected(
    low: Lowering, data: Tensor, weights: Array, bias: Array, shape: tuple[int, ...], name: str
) -> Tensor:
    """FULLY_CONNECTED over the last axis; ``weights`` are [outputs, inputs], ``bias`` [outputs]."""
    inputs = [data, low.floats(weights, f"{name}/weights"), low.floats(bias, f"{name}/bias")]
    return low.emit("FULLY_CONNECTED", inputs, shape, name, options={"keepNumDims": len(data.shape) > 2})


def _computed_gemm(low: Lowering, node: ir.Node, data: Tensor, alpha: float, beta: float) -> None:
    right, result = node.inputs[1], node.outputs[0]
    assert right is not None
    name, shape = str(result.name), low.shape(result)
    tensor = low.emit(
        "BATCH_MATMUL",
        [data, low.read(right)],
        shape,
        name,
        options={"adjY": bool(int_of(node, "transB", 0))},
    )
    if alpha != 1.0:
        tensor = low.emit("MUL", [tensor, low.floats(alpha, f"{name}/alpha")], shape, name)
    extra = input_of(node, 2)
    if extra is not None:
        tensor = _add_scaled(low, tensor, low.read(extra), beta, name)
    low.bind(result, tensor)


def _add_scaled(low: Lowering, tensor: Tensor, addend: Tensor, beta: float, name: str) -> Tensor:
    if beta != 1.0:
        addend = low.emit("MUL", [addend, low.floats(beta, f"{name}/beta")], addend.shape, f"{name}/scaled")
    return low.emit("ADD", [tensor, addend], tensor.shape, name)


@lowers("MatMul")
def lower_matmul(low: Lowering, node: ir.Node) -> None:
    """MatMul with a constant matrix on the right to FULLY_CONNECTED, else to BATCH_MATMUL."""
    left, right, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert left is not None and right is not None
    name, shape = str(result.name), low.shape(result)
    data, weights = low.read(left), constant_input(node, 1)
    if weights is not None and weights.ndim == 2 and not data.is_constant and len(data.shape) > 1:
        low.bind(result, fully_connected(low, data, weights.T, np.zeros(weights.shape[1]), shape, name))
        return
    other = low.read(right)
    ranks = len(data.shape), len(other.shape)
    if min(ranks) < 2:  # a vector is a row on the left and a column on the right
        data = low.reshape(data, (1, *data.shape) if ranks[0] == 1 else data.shape, f"{name}/row")
        other = low.reshape(other, (*other.shape, 1) if ranks[1] == 1 else other.shape, f"{name}/column")
    full = (*np.broadcast_shapes(data.shape[:-2], other.shape[:-2]), data.shape[-2], other.shape[-1])
    low.bind(result, low.reshape(low.emit("BATCH_MATMUL", [data, other], full, name), shape, name))
