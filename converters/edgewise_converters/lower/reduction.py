"""Reductions along axes, and softmax."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import input_of, int_of, ints_of_either, normal_axes
from edgewise_converters.lower.layout import Layout, identity, stored_shape, without_axes
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Option
from edgewise_converters.tflite.schema import TENSOR_TYPES

_REDUCERS = {
    "ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
}  # fmt: skip
_AXIS_SOFTMAX_OPSET = 13
"""Before it Softmax flattened everything from its axis on, which defaulted to 1."""


@lowers(*_REDUCERS)
def lower_reduce(low: Lowering, node: ir.Node) -> None:
    """A reduction over constant axes, wherever they are stored."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    rank = len(place.layout)
    axes = ints_of_either(node, "axes", 1)
    if axes is None and input_of(node, 1) is not None:
        raise low.refuse(node, "its axes are computed, expected constants")
    if not axes:
        if int_of(node, "noop_with_empty_axes", 0):
            low.bind(result, place.tensor, place.layout)
            return
        axes = list(range(rank))
    axes = normal_axes(axes, rank)
    keep = bool(int_of(node, "keepdims", 1))
    layout = place.layout if keep else without_axes(place.layout, axes)
    where = low.ints(sorted(place.layout.index(axis) for axis in axes), f"{result.name}/axes")
    shape = stored_shape(low.shape(result), layout)
    kind = _REDUCERS[node.op_type]
    low.bind(
        result,
        low.emit(kind, [place.tensor, where], shape, str(result.name), options={"keepDims": keep}),
        layout,
    )


@lowers("Softmax", "LogSoftmax")
def lower_softmax(low: Lowering, node: ir.Node) -> None:
    """SOFTMAX over the last stored axis."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, name = low.shape(data), str(result.name)
    flattens = low.opset < _AXIS_SOFTMAX_OPSET
    axis = normal_axes([int_of(node, "axis", 1 if flattens else -1)], len(shape))[0]
    softmax = node.op_type == "Softmax"
    kind = "SOFTMAX" if softmax else "LOG_SOFTMAX"
    options: dict[str, Option] = {"beta": 1.0} if softmax else {}
    if flattens and int(np.prod(shape[axis:])) != shape[axis]:
        flat = (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
        rows = low.reshape(low.read(data), flat, f"{name}/rows")
        low.bind(
            result, low.reshape(low.emit(kind, [rows], flat, f"{name}/flat", options=options), shape, name)
        )
        return
    layout = _axis_last(low.stored(data).layout, axis)
    tensor = low.read(data, layout)
    low.bind(result, low.emit(kind, [tensor], tensor.shape, name, options=options), layout)


def _axis_last(layout: Layout, axis: int) -> Layout:
    """``layout`` if it ends in the axis, else ONNX's order with the axis moved to the end."""
    if layout[-1] == axis:
        return layout
    return (*(other for other in identity(len(layout)) if other != axis), axis)


@lowers("ArgMax", "ArgMin")
def lower_arg(low: Lowering, node: ir.Node) -> None:
    """ARG_MAX and ARG_MIN, as int64 like ONNX."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    if int_of(node, "select_last_index", 0):
        raise low.refuse(node, "select_last_index is set")
    place = low.stored(data)
    axis = normal_axes([int_of(node, "axis", 0)], len(place.layout))[0]
    where = low.ints(place.layout.index(axis), f"{result.name}/axis")  # type: ignore[arg-type]
    layout = without_axes(place.layout, [axis])
    shape = [dim for i, dim in enumerate(place.tensor.shape) if place.layout[i] != axis]
    kind = "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN"
    tensor = low.emit(
        kind,
        [place.tensor, where],
        shape,
        str(result.name),
        dtype=np.int64,
        options={"outputType": TENSOR_TYPES[np.dtype(np.int64)]},
    )
    if int_of(node, "keepdims", 1):
        layout = place.layout
        tensor = low.reshape(tensor, stored_shape(low.shape(result), layout), f"{result.name}/kept")
    low.bind(result, tensor, layout)
