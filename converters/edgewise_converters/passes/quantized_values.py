"""The grid of an integer value: its scales and zero points, read from the graph or written into it."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.subgraphs import add_node

_NARROW = frozenset({ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT4, ir.DataType.UINT4})


@dataclass(frozen=True, eq=False)
class Grid:
    """real = scale * (integer - zero point), each one number or one per index of ``axis``."""

    scales: Array
    """float32 [1] or [C]"""
    zero_points: Array
    """[1] or [C]"""
    axis: int = 1


def stated_grid(node: ir.Node) -> Grid | None:
    """The constant grid of a QuantizeLinear or DequantizeLinear of 8 bits or fewer; None for others."""
    scale = constant(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero = constant(given)
    if scale is None or (given is not None and zero is None) or "block_size" in node.attributes:
        return None
    integers = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    if integers is None or integers.dtype not in _NARROW:
        return None
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    zeros = np.zeros(1, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    return Grid(np.asarray(scale, np.float32).reshape(-1), zeros, axis)


def grid_of(value: ir.Value) -> Grid | None:
    """The grid of what a QuantizeLinear made."""
    node = value.producer()
    return stated_grid(node) if node is not None and node.op_type == "QuantizeLinear" else None


def float_constant(before: ir.Node, integers: Array, grid: Grid) -> ir.Value:
    """Integers as the real numbers they mean, a new constant float32."""
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    shape = [1] * integers.ndim
    if grid.scales.size > 1 or grid.zero_points.size > 1:
        shape[grid.axis] = -1
    scales, zeros = grid.scales.reshape(shape), grid.zero_points.reshape(shape)
    if integers.ndim == 0:
        scales, zeros = scales.reshape(()), zeros.reshape(())
    real = (integers.astype(np.int64) - zeros).astype(np.float32) * scales
    return add_constant(graph, f"{before.name}/real", np.asarray(real, np.float32))


def dequantize(before: ir.Node, value: ir.Value, grid: Grid) -> ir.Value:
    """A new DequantizeLinear of ``value``."""
    return add_node(before, "DequantizeLinear", _operands(before, value, grid, value), axis=grid.axis)


def quantize(before: ir.Node, value: ir.Value, grid: Grid, dtype: ir.DataType) -> ir.Value:
    """A new QuantizeLinear of ``value`` to ``dtype``."""
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    return add_node(before, "QuantizeLinear", _operands(before, value, grid, None, dtype), axis=grid.axis)


def _operands(
    before: ir.Node, value: ir.Value, grid: Grid, like: ir.Value | None, dtype: ir.DataType | None = None
) -> list[ir.Value | None]:
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    kind = dtype or (like.dtype if like is not None else None)
    array = constant(value) if like is not None else None
    numbers = array.dtype if array is not None else np.dtype((kind or ir.DataType.UINT8).numpy())
    count = max(grid.scales.size, grid.zero_points.size)
    shape = () if count == 1 else (count,)
    scales = np.broadcast_to(grid.scales, (count,)).reshape(shape)
    zeros = np.broadcast_to(grid.zero_points, (count,)).reshape(shape)
    return [
        value,
        add_constant(graph, f"{before.name}/scale", np.array(scales, np.float32)),
        add_constant(graph, f"{before.name}/zero_point", zeros.astype(numbers)),
    ]
