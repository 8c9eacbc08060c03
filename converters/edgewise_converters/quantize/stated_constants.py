"""Integer constants of a quantized source, as the quantized kernels want them."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.weights import WEIGHT_MAX, quantize_weights
from edgewise_converters.tflite.graph import BlockScales, Operator, Tensor


@dataclass(frozen=True, eq=False)
class SymmetricWeights:
    """int8 within plus and minus 127, with zero points of 0."""

    integers: Array
    quantization: Quantization


def moved_constant(operator: Operator, tensor: Tensor) -> Tensor | None:
    """What a RESHAPE or TRANSPOSE makes of a quantized constant; None where its scales would not lie along an axis."""
    if tensor.blocks is not None:
        return _moved_blocks(operator, tensor)
    assert tensor.data is not None and tensor.quantization is not None
    grid, output = tensor.quantization, operator.output
    if operator.kind == "TRANSPOSE":
        perm = operator.inputs[1]
        assert perm is not None and perm.data is not None
        order = [int(axis) for axis in perm.data.reshape(-1)]
        data, axis = tensor.data.transpose(order), order.index(grid.axis)
    elif operator.kind == "RESHAPE":
        data = tensor.data.reshape(output.shape)
        found = 0 if grid.is_per_tensor else _same_axis(tensor.shape, output.shape, grid.axis)
        if found is None:
            return None
        axis = found
    else:
        return None
    axis = 0 if grid.is_per_tensor else axis
    return Tensor.constant(output.name, data, Quantization(grid.scales, grid.zero_points, axis))


def _moved_blocks(operator: Operator, tensor: Tensor) -> Tensor | None:
    """The same of a matrix with scales in blocks."""
    assert tensor.data is not None and tensor.blocks is not None and tensor.blocks.scales.data is not None
    if operator.kind != "TRANSPOSE" or len(operator.output.shape) != 2:
        return None
    twin = Tensor.constant(operator.output.name, tensor.data.T)
    scales = Tensor.constant(tensor.blocks.scales.name, tensor.blocks.scales.data.T)
    twin.blocks = BlockScales(scales, tensor.blocks.size)
    return twin


def _same_axis(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> int | None:
    """Where an axis is after a reshape that keeps it whole."""
    outer = int(np.prod(before[:axis], dtype=np.int64))
    for index, dim in enumerate(after):
        if dim == before[axis] and int(np.prod(after[:index], dtype=np.int64)) == outer:
            return index
    return None


def real_constant(tensor: Tensor) -> Tensor:
    """A quantized constant as the float32 numbers it means."""
    return Tensor.constant(f"{tensor.name}/float", np.asarray(_real(tensor), np.float32))


def _real(tensor: Tensor) -> Array:
    if tensor.blocks is not None:
        assert tensor.data is not None and tensor.blocks.scales.data is not None
        wide = tensor.blocks.scales.data.astype(np.float64)
        for axis, (many, few) in enumerate(zip(tensor.shape, wide.shape, strict=True)):
            wide = np.repeat(wide, many // few, axis=axis)
        return np.asarray(tensor.data * wide)
    assert tensor.data is not None and tensor.quantization is not None
    scales, zeros = (
        _along(tensor, tensor.quantization.scales),
        _along(tensor, tensor.quantization.zero_points),
    )
    return np.asarray((tensor.data.astype(np.float64) - zeros) * scales)


def _along(tensor: Tensor, numbers: tuple[float, ...]) -> Array:
    shape = [1] * len(tensor.shape)
    if len(numbers) > 1 and tensor.quantization is not None:
        shape[tensor.quantization.axis] = -1
    return np.asarray(numbers, np.float64).reshape(shape)


def symmetric_weights(tensor: Tensor, axis: int, *, per_channel: bool) -> SymmetricWeights:
    """The constant with zero points of 0, its own scales where they can stay.

    What lies further from its zero point than int8 reaches gets a wider scale: that channel alone where ``per_channel``
    (along ``axis``) allows it. A lone -128 becomes -127, since kernels for ARM may sum pairs of products in 16 bits.
    """
    grid = tensor.quantization
    if grid is None:
        real = np.asarray(_real(tensor), np.float32)
        return SymmetricWeights(*quantize_weights(real, axis if per_channel else None))
    assert tensor.data is not None
    centred = tensor.data.astype(np.int64) - _along(tensor, grid.zero_points).astype(np.int64)
    kept_axis = grid.is_per_tensor or (per_channel and grid.axis == axis)
    if kept_axis and np.abs(centred).max(initial=0) <= WEIGHT_MAX + 1:
        steps = np.clip(centred, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
        return SymmetricWeights(steps, Quantization(grid.scales, (0,) * len(grid.scales), grid.axis))
    real = np.asarray(_real(tensor), np.float32)
    if not per_channel:
        return SymmetricWeights(*quantize_weights(real, None))
    floor = None
    if kept_axis:
        floor = np.broadcast_to(np.asarray(grid.scales, np.float64), (tensor.shape[axis],))
    return SymmetricWeights(*quantize_weights(real, axis, floor=floor))
