"""ScatterElements, ScatterND, TensorScatter: elements replaced, or combined with others, by index.

Each becomes the same problem: rows of [rows, width] data that updates go to, by a flat index per update.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import input_of, int_of, normal_axes, string_of
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.gathering import flat_elements, flat_tuples, gather, int32
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_REDUCTIONS = {
    "mul": ("REDUCE_PROD", "MUL"),
    "max": ("REDUCE_MAX", "MAXIMUM"),
    "min": ("REDUCE_MIN", "MINIMUM"),
}
_MAX_PAIRS = 1 << 22
"""Pairs of a row and an update that a reduction compares: 16 MB of float32."""
_NARROW = (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.bool_))
"""Types whose arithmetic kernels mean quantized numbers, or that have none."""


@lowers("ScatterElements", "Scatter")
def lower_scatter_elements(low: Lowering, node: ir.Node) -> None:
    """Elements of the flattened data replaced."""
    data, indices, updates, result = *node.inputs[:3], node.outputs[0]
    assert data is not None and indices is not None and updates is not None
    shape, name = low.shape(data), str(result.name)
    axis = normal_axes([int_of(node, "axis", 0)], len(shape))[0]
    where = flat_elements(low, low.read(indices), shape, axis, name)
    rows, count = int(np.prod(shape)), int(np.prod(where.shape))
    tensor = _scatter(
        low,
        node,
        low.reshape(low.read(data), [rows, 1], f"{name}/rows"),
        low.reshape(where, [count], f"{name}/where"),
        low.reshape(low.read(updates), [count, 1], f"{name}/updates"),
    )
    low.bind(result, low.reshape(tensor, shape, name))


@lowers("ScatterND")
def lower_scatter_nd(low: Lowering, node: ir.Node) -> None:
    """Slices of the data replaced."""
    data, indices, updates, result = *node.inputs[:3], node.outputs[0]
    assert data is not None and indices is not None and updates is not None
    shape, name, where = low.shape(data), str(result.name), low.read(indices)
    depth = where.shape[-1]
    flat = flat_tuples(low, where, shape, 0, name)
    rows, width = int(np.prod(shape[:depth])), int(np.prod(shape[depth:]))
    count = int(np.prod(flat.shape))
    tensor = _scatter(
        low,
        node,
        low.reshape(low.read(data), [rows, width], f"{name}/rows"),
        low.reshape(flat, [count], f"{name}/where"),
        low.reshape(low.read(updates), [count, width], f"{name}/updates"),
    )
    low.bind(result, low.reshape(tensor, shape, name))


@lowers("TensorScatter")
def lower_tensor_scatter(low: Lowering, node: ir.Node) -> None:
    """Steps of a cache replaced from an index on, which each member of the batch has of its own."""
    cache, update, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert cache is not None and update is not None
    shape, count, name = low.shape(cache), low.shape(update), str(result.name)
    axis = normal_axes([int_of(node, "axis", -2)], len(shape))[0]
    layout = (0, axis, *(a for a in range(1, len(shape)) if a != axis))
    batch, steps, new = shape[0], shape[axis], count[axis]
    width = int(np.prod(shape)) // (batch * steps)
    f = Formula(low, name)
    where: Tensor = f.constant(np.arange(new).reshape(1, new), np.int32)
    start = input_of(node, 2)
    if start is not None:
        first = low.reshape(int32(low, low.read(start), name), (batch, 1), f"{name}/first")
        where = f("ADD", first, where)
    if string_of(node, "mode", "linear") == "circular":
        where = f("FLOOR_MOD", where, steps)
    where = f("ADD", where, f.constant(np.arange(batch).reshape(batch, 1) * steps, np.int32))
    tensor = _scatter(
        low,
        node,
        low.reshape(low.read(cache, layout), (batch * steps, width), f"{name}/rows"),
        low.reshape(where, (batch * new,), f"{name}/where"),
        low.reshape(low.read(update, layout), (batch * new, width), f"{name}/updates"),
    )
    low.bind(result, low.reshape(tensor, [shape[a] for a in layout], name), layout)


def _scatter(low: Lowering, node: ir.Node, data: Tensor, where: Tensor, updates: Tensor) -> Tensor:
    """``data`` [rows, width] with ``updates`` [count, width] put to, or combined with, the rows ``where`` [count]."""
    reduction, name = string_of(node, "reduction", "none"), str(node.outputs[0].name)
    if not where.shape[0]:
        return data
    if reduction == "none":
        if where.data is not None:
            return _replace_known(low, data, where.data, updates, name)
        return _widely(low, data, updates, name, lambda d, u: _replace(low, d, where, u, name))
    if reduction == "add":
        return _widely(low, data, updates, name, lambda d, u: _add(low, d, where, u, name))
    if where.shape[0] * data.shape[0] * data.shape[1] > _MAX_PAIRS:
        raise low.refuse(
            node, f"its reduction {reduction} would compare {where.shape[0]} updates with {data.shape} rows"
        )
    return _widely(low, data, updates, name, lambda d, u: _reduce(low, d, where, u, reduction, name))


def _widely(
    low: Lowering, data: Tensor, updates: Tensor, name: str, compute: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Compute in int32 what has narrow integers, and cast back, which wraps around as ONNX does."""
    if data.dtype not in _NARROW:
        return compute(data, updates)
    wide = [low.emit("CAST", [t], t.shape, f"{name}/int32", dtype=np.int32) for t in (data, updates)]
    return low.emit("CAST", [compute(wide[0], wide[1])], data.shape, f"{name}/narrow", dtype=data.dtype.type)


def _replace_known(low: Lowering, data: Tensor, where: Array, updates: Tensor, name: str) -> Tensor:
    """One GATHER from data and updates, one behind the other; the last update of a row counts."""
    rows = data.shape[0]
    chosen = np.arange(rows, dtype=np.int32)
    chosen[where] = rows + np.arange(where.size, dtype=np.int32)
    both = low.emit(
        "CONCATENATION",
        [data, updates],
        (rows + where.size, data.shape[1]),
        f"{name}/both",
        options={"axis": 0},
    )
    return gather(
        low, both, Tensor.constant(low.name(f"{name}/chosen"), chosen), data.shape, f"{name}/replaced"
    )


def _replace(low: Lowering, data: Tensor, where: Tensor, updates: Tensor, name: str) -> Tensor:
    """Rows that an update goes to take it; ONNX allows one update for each."""
    ones = Tensor.constant(low.name(f"{name}/ones"), np.ones((where.shape[0], 1), np.int32))
    hits = _scatter_nd(low, where, ones, (data.shape[0], 1), f"{name}/hits")
    touched = low.emit(
        "GREATER", [hits, low.ints([0], f"{name}/none")], hits.shape, f"{name}/touched", dtype=np.bool_
    )
    moved = _scatter_nd(low, where, updates, data.shape, f"{name}/moved")
    return low.emit(
        "SELECT_V2", [touched, moved, data], data.shape, f"{name}/replaced", dtype=data.dtype.type
    )


def _add(low: Lowering, data: Tensor, where: Tensor, updates: Tensor, name: str) -> Tensor:
    """SCATTER_ND adds what meets in a row."""
    moved = _scatter_nd(low, where, updates, data.shape, f"{name}/moved")
    return low.emit("ADD", [data, moved], data.shape, f"{name}/added")


def _scatter_nd(low: Lowering, where: Tensor, updates: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    rows = low.reshape(where, [where.shape[0], 1], f"{name}/where")
    inputs = [rows, updates, low.ints(shape, f"{name}/shape")]
    return low.emit("SCATTER_ND", inputs, shape, name, dtype=updates.dtype.type)


def _reduce(low: Lowering, data: Tensor, where: Tensor, updates: Tensor, reduction: str, name: str) -> Tensor:
    """Every row sees every update, or the neutral number where it goes to another row."""
    reduce, combine = _REDUCTIONS[reduction]
    (rows, width), count = data.shape, where.shape[0]
    numbers = Tensor.constant(
        low.name(f"{name}/numbers"), np.arange(rows, dtype=np.int32).reshape(1, rows, 1)
    )
    column = low.reshape(where, [count, 1, 1], f"{name}/column")
    meets = low.emit("EQUAL", [column, numbers], (count, rows, 1), f"{name}/meets", dtype=np.bool_)
    spread = low.reshape(updates, [count, 1, width], f"{name}/spread")
    neutral = Tensor.constant(low.name(f"{name}/neutral"), _neutral(reduction, data.dtype))
    inputs = [meets, spread, neutral]
    pairs = low.emit("SELECT_V2", inputs, (count, rows, width), f"{name}/pairs", dtype=data.dtype.type)
    met = low.emit(reduce, [pairs, low.ints([0], f"{name}/axis")], (rows, width), f"{name}/met")
    return low.emit(combine, [data, met], data.shape, f"{name}/combined")


def _neutral(reduction: str, dtype: np.dtype[np.generic]) -> Array:
    if reduction == "mul":
        return np.ones((1, 1, 1), dtype)
    if dtype.kind == "f":
        return np.full((1, 1, 1), -np.inf if reduction == "max" else np.inf, dtype)
    limits = np.iinfo(dtype)  # type: ignore[type-var]  # numpy's stub knows no dtype by name
    return np.full((1, 1, 1), limits.min if reduction == "max" else limits.max, dtype)
