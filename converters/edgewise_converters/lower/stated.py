"""QuantizeLinear and DequantizeLinear as QUANTIZE and DEQUANTIZE, for models whose quantization is kept.

A file's uint8 is stored as int8, with zero points 128 lower (TFLite 8-bit quantization specification knows int8 only).
What reads the integers themselves gets them by arithmetic that is exact.
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array, Quantization
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import input_of, int_of
from edgewise_converters.lower.lowering import Lowering, Stored
from edgewise_converters.tflite.graph import BlockScales, Tensor

_SHIFTS = {"int8": 0, "uint8": 128, "int16": 0, "uint16": 32768}
"""By ONNX's type: how far its integers lie above the stored ones."""
_NARROW = ("int4", "uint4", "int2", "uint2")


def bind_quantized(low: Lowering, node: ir.Node) -> bool:
    """Lower a QuantizeLinear with one constant scale; False where it has none that TFLite can store."""
    data, result = node.inputs[0], node.outputs[0]
    dtype = "uint8" if result.dtype is None else result.dtype.numpy().name
    grid = None if dtype not in _SHIFTS else _grid(low, node, _SHIFTS[dtype])
    if data is None or grid is None or len(grid.scales) != 1 or not _fits(grid, dtype):
        return False
    place, f = low.stored(data), Algebra(low, str(result.name))
    stored = _stored_type(dtype)
    integers = low.emit("QUANTIZE", [place.tensor], place.tensor.shape, f"{f.name}/stored", dtype=stored)
    integers.quantization = grid
    low.integers[id(result)] = Stored(integers, place.layout)
    raw = integers
    if _SHIFTS[dtype] or result.is_graph_output():  # who reads the integers shall not find a scale on them
        raw = f.cast(f.add(f.cast(integers, np.int32), _SHIFTS[dtype]), np.dtype(dtype))
    low.bind(result, raw, place.layout)
    return True


def bind_dequantized(low: Lowering, node: ir.Node) -> bool:
    """Lower a DequantizeLinear of a constant, or of integers on one grid; False for others."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    dtype = "" if data.dtype is None else data.dtype.numpy().name
    array = low.constant(data)
    if array is not None and _bind_blocks(low, node, array):
        return True
    grid = _grid(low, node, _SHIFTS.get(dtype, 0))
    if grid is None or dtype not in (*_SHIFTS, *_NARROW):
        return False
    place = (
        _constant(low, array, grid, dtype, node) if array is not None else _integers(low, data, grid, dtype)
    )
    if place is None:
        return False
    real = low.emit("DEQUANTIZE", [place.tensor], place.tensor.shape, str(result.name), dtype=np.float32)
    low.bind(result, real, place.layout)
    return True


def _bind_blocks(low: Lowering, node: ir.Node, array: Array) -> bool:
    """Lower a DequantizeLinear of centred int8 [K, N] with a scale for each block along K; False for others."""
    scale, size = low.constant(node.inputs[1]), int_of(node, "block_size", 0)
    plain = array.dtype == np.int8 and input_of(node, 2) is None and int_of(node, "axis", 1) == 0
    if not size or scale is None or scale.ndim != 2 or not plain:
        return False
    name = str(node.outputs[0].name)
    tensor = Tensor.constant(low.name(f"{name}/stored"), array)
    tensor.blocks = BlockScales(Tensor.constant(low.name(f"{name}/scales"), scale), size)
    low.bind(node.outputs[0], low.emit("DEQUANTIZE", [tensor], array.shape, name, dtype=np.float32))
    return True


def _stored_type(dtype: str) -> type[np.generic]:
    return np.int16 if dtype.endswith("int16") else np.int8


def _fits(grid: Quantization, dtype: str) -> bool:
    """16-bit tensors have no zero point in TFLite."""
    return not dtype.endswith("int16") or grid.zero_points == (0,)


def _grid(low: Lowering, node: ir.Node, shift: int) -> Quantization | None:
    """The constant scales and zero points of a node, less ``shift``; None where they are computed or in blocks."""
    scale, given = low.constant(node.inputs[1]), input_of(node, 2)
    zero = low.constant(given)
    if scale is None or scale.ndim > 1 or (given is not None and zero is None):
        return None
    scales = np.asarray(scale, np.float32).reshape(-1)
    zeros = np.zeros(1, np.int64) if zero is None else np.asarray(zero).astype(np.int64).reshape(-1)
    zeros = np.broadcast_to(zeros, scales.shape) - shift
    axis = 0 if len(scales) == 1 else int_of(node, "axis", 1)
    return Quantization(tuple(map(float, scales)), tuple(map(int, zeros)), axis)


def _constant(low: Lowering, array: Array, grid: Quantization, dtype: str, node: ir.Node) -> Stored | None:
    if dtype.endswith("int16"):
        return None
    integers = (array.astype(np.int32) - _SHIFTS.get(dtype, 0)).astype(np.int8)
    axis = grid.axis % max(integers.ndim, 1) if len(grid.scales) > 1 else 0
    quantization = Quantization(grid.scales, grid.zero_points, axis)
    name = low.name(f"{node.outputs[0].name}/stored")
    tensor = Tensor.constant(name, integers, quantization)
    return Stored(tensor, tuple(range(integers.ndim)))


def _integers(low: Lowering, data: ir.Value, grid: Quantization, dtype: str) -> Stored | None:
    """The stored integers of a computed value, if they are on this grid; those of other origin are brought there."""
    if len(grid.scales) != 1 or dtype not in _SHIFTS or not _fits(grid, dtype):
        return None
    known = low.integers.get(id(data))
    if known is not None:
        same = known.tensor.quantization
        assert same is not None
        return known if (same.scales, same.zero_points) == (grid.scales, grid.zero_points) else None
    place, f = low.stored(data), Algebra(low, f"{data.name}/stored")
    moved = f.sub(f.cast(place.tensor, np.int32), _SHIFTS[dtype])
    stored = low.emit("CAST", [moved], moved.shape, f.name, dtype=_stored_type(dtype))
    stored.quantization = grid
    low.integers[id(data)] = Stored(stored, place.layout)
    return low.integers[id(data)]
