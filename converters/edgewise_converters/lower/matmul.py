"""Gemm and MatMul."""

import math

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import constant_input, float_of, input_of, int_of
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor


@lowers("Gemm")
def lower_gemm(low: Lowering, node: ir.Node) -> None:
    """alpha * A B + beta * C; with constant B as FULLY_CONNECTED, whose weights are [outputs, inputs]."""
    left, right, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert left is not None and right is not None
    _check_float(low, node)
    f = Algebra(low, str(result.name))
    data = low.read(left)
    if int_of(node, "transA", 0):
        data = f.transpose(data, [1, 0])
    alpha, beta = float_of(node, "alpha", 1.0), float_of(node, "beta", 1.0)
    weights, addend = constant_input(node, 1), constant_input(node, 2)
    if weights is None:
        low.bind(result, _computed_gemm(low, f, node, data, alpha, beta))
        return
    weights = (weights if int_of(node, "transB", 0) else weights.T) * np.float32(alpha)
    bias = _bias(addend, beta, weights.shape[0])
    zeros = np.zeros(weights.shape[0])
    tensor = fully_connected(low, data, weights, zeros if bias is None else bias, low.shape(result), f.name)
    extra = input_of(node, 2)
    if extra is not None and bias is None:
        tensor = _add_scaled(f, tensor, low.read(extra), beta)
    low.bind(result, tensor)


def _check_float(low: Lowering, node: ir.Node) -> None:
    value = node.inputs[0]
    if value is not None and value.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        raise low.refuse(
            node, f"it multiplies {value.dtype} matrices, expected float32; put Cast nodes around it"
        )


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


def _computed_gemm(
    low: Lowering, f: Algebra, node: ir.Node, data: Tensor, alpha: float, beta: float
) -> Tensor:
    right = node.inputs[1]
    assert right is not None
    tensor = f.product(data, low.read(right), transpose_right=bool(int_of(node, "transB", 0)))
    if alpha != 1.0:
        tensor = f.mul(tensor, alpha)
    extra = input_of(node, 2)
    return tensor if extra is None else _add_scaled(f, tensor, low.read(extra), beta)


def _add_scaled(f: Algebra, tensor: Tensor, addend: Tensor, beta: float) -> Tensor:
    return f.add(tensor, addend if beta == 1.0 else f.mul(addend, beta))


@lowers("MatMul")
def lower_matmul(low: Lowering, node: ir.Node) -> None:
    """MatMul with a constant matrix on the right to FULLY_CONNECTED, else to BATCH_MATMUL."""
    left, right, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert left is not None and right is not None
    _check_float(low, node)
    name, shape = str(result.name), low.shape(result)
    data, weights = low.read(left), _matrix(constant_input(node, 1), len(low.shape(left)))
    if weights is not None and not data.is_constant and len(data.shape) > 1:
        low.bind(result, fully_connected(low, data, weights.T, np.zeros(weights.shape[1]), shape, name))
        return
    other = low.read(right)
    f = Algebra(low, name)
    if other is data and len(data.shape) > 2:
        # LiteRT 2.3's XNNPACK takes the batch axes from before a TRANSPOSE that makes both sides of a product; a
        # RESHAPE that changes their number stands between.
        batch = (1, data.shape[0]) if len(data.shape) == 3 else (math.prod(data.shape[:-2]),)
        data = other = f.reshape(data, (*batch, *data.shape[-2:]))
    # A vector is a row on the left and a column on the right.
    data = f.reshape(data, (1, *data.shape)) if len(data.shape) == 1 else data
    other = f.reshape(other, (*other.shape, 1)) if len(other.shape) == 1 else other
    low.bind(result, f.reshape(f.product(data, other), shape))


def _matrix(array: Array | None, rank: int) -> Array | None:
    """A constant of two axes, or of more that are one long and add none to the product."""
    if array is None or array.ndim < 2 or array.ndim > rank or any(dim != 1 for dim in array.shape[:-2]):
        return None
    return array.reshape(array.shape[-2:])
