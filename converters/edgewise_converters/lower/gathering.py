"""Gather, GatherElements, GatherND: elements chosen by index.

TFLite's GATHER knows one axis and no negative indices. What chooses along several axes is counted in the flattened
data: constant indices now, computed ones when the graph runs.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import constant_input, int_of, normal_axes
from edgewise_converters.lower.layout import stored_shape, without_axes
from edgewise_converters.lower.lowering import Lowering, Stored, lowers
from edgewise_converters.lower.slicing import cut
from edgewise_converters.tflite.graph import Tensor


@lowers("Gather")
def lower_gather(low: Lowering, node: ir.Node) -> None:
    """GATHER along an axis; a slice where constant indices follow each other."""
    data, indices, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    shape, name = low.shape(data), str(result.name)
    axis = normal_axes([int_of(node, "axis", 0)], len(shape))[0]
    chosen = constant_input(node, 1)
    if chosen is not None and chosen.ndim < 2:
        _choose(low, low.stored(data), axis, np.where(chosen < 0, chosen + shape[axis], chosen), result)
        return
    where = not_negative(low, low.read(indices), [shape[axis]], f"{name}/indices")
    source = low.read(data)
    low.bind(result, gather(low, source, where, low.shape(result), name, axis=axis))


def _choose(low: Lowering, place: Stored, axis: int, chosen: Array, result: ir.Value) -> None:
    """Bind the elements at constant indices of an ONNX axis, in the layout the data has."""
    where, name = place.layout.index(axis), str(result.name)
    layout = place.layout if chosen.ndim else without_axes(place.layout, [axis])
    shape, flat = stored_shape(low.shape(result), layout), chosen.reshape(-1)
    step = int(flat[1] - flat[0]) if flat.size > 1 else 1
    regular = flat.size > 0 and step > 0 and bool((np.diff(flat) == step).all())
    if not regular:
        indices = Tensor.constant(low.name(f"{name}/indices"), chosen.astype(np.int32))
        low.bind(result, gather(low, place.tensor, indices, shape, name, axis=where), layout)
        return
    begin, end = [0] * len(place.layout), list(place.tensor.shape)
    begin[where], end[where] = int(flat[0]), int(flat[-1]) + 1
    steps = [step if i == where else 1 for i in range(len(begin))]
    tensor = cut(low, place.tensor, begin, end, steps, name)
    low.bind(result, low.reshape(tensor, shape, name), layout)


def gather(
    low: Lowering, source: Tensor, indices: Tensor, shape: Sequence[int], name: str, *, axis: int = 0
) -> Tensor:
    """Emit a GATHER; indices are int32 or int64, none negative."""
    return low.emit("GATHER", [source, indices], shape, name, dtype=source.dtype.type, options={"axis": axis})


def not_negative(low: Lowering, indices: Tensor, sizes: Sequence[int], name: str) -> Tensor:
    """Indices counted from the end made positive; ``sizes`` broadcast along their last axis."""
    size = np.asarray(sizes if len(sizes) > 1 else sizes[0], indices.dtype)
    if indices.data is not None:
        positive = np.where(indices.data < 0, indices.data + size, indices.data)
        return Tensor.constant(low.name(name), positive.astype(indices.dtype))
    zero = Tensor.constant(low.name(f"{name}/zero"), np.zeros((), indices.dtype))
    wrap = Tensor.constant(low.name(f"{name}/size"), size)
    negative = low.emit("LESS", [indices, zero], indices.shape, f"{name}/negative", dtype=np.bool_)
    wrapped = low.emit("ADD", [indices, wrap], indices.shape, f"{name}/wrapped")
    inputs = [negative, wrapped, indices]
    return low.emit("SELECT_V2", inputs, indices.shape, name, dtype=indices.dtype.type)


def flat_elements(low: Lowering, indices: Tensor, shape: Sequence[int], axis: int, name: str) -> Tensor:
    """Where each element of GatherElements or ScatterElements lies in the flattened data, int32."""
    positive = int32(low, not_negative(low, indices, [shape[axis]], f"{name}/positive"), name)
    strides = row_major(shape)
    grid = np.indices(indices.shape, np.int32)
    others = sum(
        (grid[i] * strides[i] for i in range(len(shape)) if i != axis), np.zeros(indices.shape, np.int32)
    )
    if positive.data is not None:
        return Tensor.constant(
            low.name(f"{name}/flat"), (positive.data * strides[axis] + others).astype(np.int32)
        )
    stride, offsets = (
        low.ints([strides[axis]], f"{name}/stride"),
        _int32s(low, others, f"{name}/offsets"),
    )
    along = low.emit("MUL", [positive, stride], indices.shape, f"{name}/along")
    return low.emit("ADD", [along, offsets], indices.shape, f"{name}/flat")


def flat_tuples(low: Lowering, indices: Tensor, shape: Sequence[int], batch: int, name: str) -> Tensor:
    """Where each tuple of indices points, int32, once the axes it and the batch index are made one."""
    sizes = list(shape[batch : batch + indices.shape[-1]])
    positive = int32(low, not_negative(low, indices, sizes, f"{name}/positive"), name)
    strides = row_major(shape[: batch + len(sizes)])
    leading = np.indices(indices.shape[:-1], np.int32)
    offsets = sum((leading[i] * strides[i] for i in range(batch)), np.zeros(indices.shape[:-1], np.int32))
    if positive.data is not None:
        known = (positive.data * np.array(strides[batch:], np.int64)).sum(axis=-1) + offsets
        return Tensor.constant(low.name(f"{name}/flat"), known.astype(np.int32))
    weights, axis = (
        low.ints(strides[batch:], f"{name}/strides"),
        low.ints([len(indices.shape) - 1], f"{name}/axis"),
    )
    along = low.emit("MUL", [positive, weights], indices.shape, f"{name}/along")
    flat = low.emit("SUM", [along, axis], indices.shape[:-1], f"{name}/sum")
    return low.emit(
        "ADD",
        [flat, _int32s(low, offsets, f"{name}/offsets")],
        flat.shape,
        f"{name}/flat",
    )


def _int32s(low: Lowering, numbers: Array, name: str) -> Tensor:
    return Tensor.constant(low.name(name), numbers.astype(np.int32))


def row_major(shape: Sequence[int]) -> list[int]:
    """How many elements one step along each axis is."""
    return [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def int32(low: Lowering, indices: Tensor, name: str) -> Tensor:
    """Indices as int32: no tensor of TFLite has more elements."""
    if indices.dtype == np.int32:
        return indices
    if indices.data is not None:
        return Tensor.constant(low.name(f"{name}/int32"), indices.data.astype(np.int32))
    return low.emit("CAST", [indices], indices.shape, f"{name}/int32", dtype=np.int32)


@lowers("GatherElements")
def lower_gather_elements(low: Lowering, node: ir.Node) -> None:
    """GATHER from the flattened data."""
    data, indices, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    shape, name = low.shape(data), str(result.name)
    axis = normal_axes([int_of(node, "axis", 0)], len(shape))[0]
    flat = flat_elements(low, low.read(indices), shape, axis, name)
    source = low.reshape(low.read(data), [int(np.prod(shape))], f"{name}/elements")
    low.bind(result, gather(low, source, flat, low.shape(result), name))


@lowers("GatherND")
def lower_gather_nd(low: Lowering, node: ir.Node) -> None:
    """GATHER from the data with the axes that are indexed made one."""
    data, indices, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    shape, name, batch = low.shape(data), str(result.name), int_of(node, "batch_dims", 0)
    where = low.read(indices)
    flat = flat_tuples(low, where, shape, batch, name)
    kept = shape[batch + where.shape[-1] :]
    rows = int(np.prod(shape[: batch + where.shape[-1]]))
    source = low.reshape(low.read(data), [rows, *kept], f"{name}/rows")
    low.bind(result, gather(low, source, flat, low.shape(result), name))
