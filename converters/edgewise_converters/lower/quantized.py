"""ONNX's quantized operators by exact arithmetic on whole numbers: float32 products of up to 2^24, int32 sums."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import input_of, int_of, normal_axes
from edgewise_converters.lower.convolution import convolve
from edgewise_converters.lower.layout import Layout, channels_last, identity
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.stated import bind_dequantized, bind_quantized
from edgewise_converters.lower.windows import plan_window
from edgewise_converters.tflite.graph import Tensor

_MAX_EXACT_PRODUCTS = (1 << 24) // (255 * 255)
"""How many products of 8-bit numbers float32 sums without rounding."""


def _limits(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    information = np.iinfo(dtype.name)
    return float(information.min), float(information.max)


def _saturate(f: Algebra, tensor: Tensor, zero_point: Tensor | None, dtype: np.dtype[np.generic]) -> Tensor:
    """round(tensor) + zero point, held within ``dtype``."""
    rounded = f.apply("ROUND", tensor)
    shifted = rounded if zero_point is None else f.add(rounded, zero_point)
    return f.cast(f.clip(shifted, *_limits(dtype)), dtype)


def _operand(low: Lowering, f: Algebra, node: ir.Node, index: int, layout: Layout) -> Tensor | None:
    """A scale or zero point as float32 that broadcasts in ``layout``: a number, one per entry of an axis, or blocks."""
    value = input_of(node, index)
    if value is None:
        return None
    shape, rank = low.shape(value), len(layout)
    tensor = f.cast(low.read(value), np.float32)
    if int(np.prod(shape)) == 1:
        return f.reshape(tensor, ()) if tensor.data is None else f.constant(tensor.data.reshape(()))
    axis = normal_axes([int_of(node, "axis", 1)], rank)[0]
    if len(shape) == 1:
        wide = [1] * rank
        wide[layout.index(axis)] = shape[0]
        return f.reshape(tensor, wide) if tensor.data is None else f.constant(tensor.data.reshape(wide))
    if tensor.data is None:
        raise low.refuse(node, "its scales per block are computed, expected constants")
    data = node.inputs[0]
    assert data is not None
    blocks = np.repeat(tensor.data, int_of(node, "block_size", 1), axis=axis)
    length = low.shape(data)[axis]
    return f.constant(blocks.take(range(length), axis=axis).transpose(layout))


@lowers("DequantizeLinear", in_float=True)
def lower_dequantize(low: Lowering, node: ir.Node) -> None:
    """(x - zero point) * scale."""
    if low.keeps_quantization and bind_dequantized(low, node):
        return
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place, f = low.stored(data), Algebra(low, str(result.name))
    scale, zero_point = (_operand(low, f, node, index, place.layout) for index in (1, 2))
    assert scale is not None
    tensor = f.cast(place.tensor, np.float32)
    if zero_point is not None and (zero_point.data is None or zero_point.data.any()):
        tensor = f.sub(tensor, zero_point)
    low.bind(result, f.mul(tensor, scale), place.layout)


@lowers("QuantizeLinear", in_float=True)
def lower_quantize(low: Lowering, node: ir.Node) -> None:
    """saturate(round(x / scale) + zero point)."""
    if low.keeps_quantization and bind_quantized(low, node):
        return
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place, f = low.stored(data), Algebra(low, str(result.name))
    scale, zero_point = (_operand(low, f, node, index, place.layout) for index in (1, 2))
    assert scale is not None
    low.bind(result, _saturate(f, f.div(place.tensor, scale), zero_point, _dtype(low, node)), place.layout)


def _dtype(low: Lowering, node: ir.Node) -> np.dtype[np.generic]:
    result = node.outputs[0]
    dtype = np.dtype(result.dtype.numpy() if result.dtype is not None else np.uint8)
    if dtype not in (np.int8, np.uint8, np.int16):
        raise low.refuse(node, f"it quantizes to {dtype}, expected int8, uint8 or int16")
    return dtype


@lowers("DynamicQuantizeLinear", in_float=True)
def lower_dynamic_quantize(low: Lowering, node: ir.Node) -> None:
    """To uint8 by the range of the data itself, which always holds zero."""
    data = node.inputs[0]
    assert data is not None
    place, f = low.stored(data), Algebra(low, str(node.outputs[0].name))
    axes = range(len(place.tensor.shape))
    most = f.apply("MAXIMUM", f.reduce("REDUCE_MAX", place.tensor, axes, keep=False), 0.0)
    least = f.apply("MINIMUM", f.reduce("REDUCE_MIN", place.tensor, axes, keep=False), 0.0)
    span = f.div(f.sub(most, least), 255.0)
    scale = f.where(f.apply("GREATER", span, 0.0), span, 1.0)
    zero_point = f.clip(f.apply("ROUND", f.div(f.sub(0.0, least), scale)), 0.0, 255.0)
    byte = np.dtype(np.uint8)
    low.bind(node.outputs[0], _saturate(f, f.div(place.tensor, scale), zero_point, byte), place.layout)
    low.bind(node.outputs[1], scale)
    low.bind(node.outputs[2], f.cast(zero_point, byte))


@dataclass(frozen=True)
class _Positions:
    """Which inputs of a node are what."""

    left: int
    right: int
    left_zero: int
    right_zero: int
    scales: tuple[int, int, int] | None = None
    """Of left, right and output."""
    output_zero: int = -1
    bias: int = -1


_INTEGER = _Positions(0, 1, 2, 3)
_LINEAR = _Positions(0, 3, 2, 5, (1, 4, 6), 7, 8)


def _centred(
    low: Lowering, f: Algebra, node: ir.Node, index: int, zero: int, layout: Layout, axis: int
) -> Tensor:
    """An 8-bit input minus its zero point, as float32; a vector of zero points lies along the ONNX axis ``axis``."""
    value, zero_point = node.inputs[index], input_of(node, zero)
    assert value is not None
    tensor = f.cast(low.read(value, layout), np.float32)
    if zero_point is None:
        return tensor
    offset = f.cast(low.read(zero_point), np.float32)
    shape = [1] * len(layout)
    shape[layout.index(axis)] = int(np.prod(offset.shape))
    if offset.data is None:
        return f.sub(tensor, f.reshape(offset, shape))
    offset = f.constant(offset.data.reshape(shape))
    if tensor.data is not None and offset.data is not None:
        return f.constant(tensor.data - offset.data)
    return f.sub(tensor, offset)


def _summed(f: Algebra, count: int, each: int, product: Callable[[int, int], Tensor]) -> Tensor:
    """int32: the sum of ``product(begin, end)`` over parts of ``count`` terms, small enough to be exact."""
    total: Tensor | None = None
    for begin in range(0, count, each):
        part = f.cast(product(begin, min(begin + each, count)), np.int32)
        total = part if total is None else f.add(total, part)
    assert total is not None
    return total


def _requantized(
    low: Lowering, f: Algebra, node: ir.Node, total: Tensor, where: _Positions, axis: int
) -> Tensor:
    """The int32 sums as the output's integers; scales per channel lie along the stored ``axis``."""
    assert where.scales is not None
    scales = [low.constant(node.inputs[index]) for index in where.scales]
    if any(scale is None for scale in scales):
        raise low.refuse(node, "its scales are computed, expected constants")
    left, right, output = (np.float32(scale).reshape(-1) for scale in scales if scale is not None)
    multiplier = left * right / output
    shape = [1] * len(total.shape)
    shape[axis] = multiplier.size
    scaled = f.mul(f.cast(total, np.float32), multiplier.reshape(shape))
    zero_point = low.constant(input_of(node, where.output_zero))
    if input_of(node, where.output_zero) is not None and zero_point is None:
        raise low.refuse(node, "its output's zero point is computed, expected a constant")
    shift = None if zero_point is None else f.constant(zero_point.reshape(-1)[0])
    return _saturate(f, scaled, shift, _dtype(low, node))


@lowers("MatMulInteger", "QLinearMatMul", in_float=True)
def lower_matmul_integer(low: Lowering, node: ir.Node) -> None:
    """The product of 8-bit matrices, as int32 or scaled back to 8 bits."""
    where = _INTEGER if node.op_type == "MatMulInteger" else _LINEAR
    left_value, right_value, result = node.inputs[where.left], node.inputs[where.right], node.outputs[0]
    assert left_value is not None and right_value is not None
    ranks = len(low.shape(left_value)), len(low.shape(right_value))
    if min(ranks) < 2:
        raise low.refuse(node, "one of its operands is a vector, expected matrices")
    f = Algebra(low, str(result.name))
    left = _centred(low, f, node, where.left, where.left_zero, identity(ranks[0]), ranks[0] - 2)
    right = _centred(low, f, node, where.right, where.right_zero, identity(ranks[1]), ranks[1] - 1)
    inner = left.shape[-1]

    def product(begin: int, end: int) -> Tensor:
        if (begin, end) == (0, inner):
            return f.product(left, right)
        return f.product(f.part(left, ranks[0] - 1, begin, end), f.part(right, ranks[1] - 2, begin, end))

    total = _summed(f, inner, _MAX_EXACT_PRODUCTS, product)
    if where.scales is not None:
        total = _requantized(low, f, node, total, where, len(total.shape) - 1)
    low.bind(result, total)


@lowers("ConvInteger", "QLinearConv", in_float=True)
def lower_conv_integer(low: Lowering, node: ir.Node) -> None:
    """The convolution of 8-bit numbers, as int32 or scaled back to 8 bits."""
    where = _INTEGER if node.op_type == "ConvInteger" else _LINEAR
    data, kernel, result = node.inputs[where.left], node.inputs[where.right], node.outputs[0]
    assert data is not None and kernel is not None
    shape, kernel_shape = low.shape(data), low.shape(kernel)
    layout, group = channels_last(len(shape)), int_of(node, "group", 1)
    f = Algebra(low, str(result.name))
    each = _MAX_EXACT_PRODUCTS // int(np.prod(kernel_shape[2:]))
    if each == 0 or (group > 1 and kernel_shape[1] > each):
        raise low.refuse(
            node, f"it sums more than {_MAX_EXACT_PRODUCTS} products in a group, which float32 rounds"
        )
    source = _centred(low, f, node, where.left, where.left_zero, layout, 1)
    weights = _centred(low, f, node, where.right, where.right_zero, identity(len(shape)), 0)
    window = plan_window(node, shape[2:], kernel_shape[2:], low.shape(result)[2:])
    last = len(shape) - 1

    def product(begin: int, end: int) -> Tensor:
        some = f.part(source, last, begin, end) if group == 1 else source
        own = weights if group > 1 or end - begin == kernel_shape[1] else _inputs(f, weights, begin, end)
        return convolve(low, some, own, None, window, group, f.name)

    total = _summed(f, kernel_shape[1], each, product)
    bias = input_of(node, where.bias) if where.bias >= 0 else None
    if bias is not None:
        total = f.add(total, low.read(bias))
    if where.scales is not None:
        total = _requantized(low, f, node, total, where, last)
    low.bind(result, total, layout)


def _inputs(f: Algebra, weights: Tensor, begin: int, end: int) -> Tensor:
    """The weights of some input channels."""
    if weights.data is not None:
        return f.constant(weights.data[:, begin:end])
    return f.part(weights, 1, begin, end)
