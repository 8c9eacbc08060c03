"""Operators that work along one axis and keep or point into it: softmax, arg max, running sums."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import constant_input, int_of, normal_axes
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.integers import widen
from edgewise_converters.lower.layout import Layout, identity, stored_shape, without_axes
from edgewise_converters.lower.lowering import Lowering, Stored, lowers
from edgewise_converters.tflite.graph import Option, Tensor
from edgewise_converters.tflite.schema import TENSOR_TYPES

_AXIS_OPSET = 13
"""Before it Softmax and Hardmax flattened everything from their axis on, which defaulted to 1."""
_INDEX_TYPE = {"outputType": TENSOR_TYPES[np.dtype(np.int64)]}


@lowers("Softmax", "LogSoftmax", "Hardmax")
def lower_softmax(low: Lowering, node: ir.Node) -> None:
    """SOFTMAX, LOG_SOFTMAX, or ONE_HOT of ARG_MAX, over the last stored axis."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, name = low.shape(data), str(result.name)
    compute = _SOFTMAXES[node.op_type]
    flattens = low.opset < _AXIS_OPSET
    axis = normal_axes([int_of(node, "axis", 1 if flattens else -1)], len(shape))[0]
    if flattens and int(np.prod(shape[axis:])) != shape[axis]:
        flat = (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
        rows = low.reshape(low.read(data), flat, f"{name}/rows")
        low.bind(result, low.reshape(compute(low, rows, f"{name}/flat"), shape, name))
        return
    layout = _axis_last(low.stored(data).layout, axis)
    tensor = low.read(data, layout)
    low.bind(result, compute(low, tensor, name), layout)


def _softmax(low: Lowering, x: Tensor, name: str) -> Tensor:
    return low.emit("SOFTMAX", [x], x.shape, name, options={"beta": 1.0})


def _log_softmax(low: Lowering, x: Tensor, name: str) -> Tensor:
    return low.emit("LOG_SOFTMAX", [x], x.shape, name)


def _hardmax(low: Lowering, x: Tensor, name: str) -> Tensor:
    f = Formula(low, name)
    where = low.ints(len(x.shape) - 1, f"{name}/axis")
    best = low.emit("ARG_MAX", [x, where], x.shape[:-1], f"{name}/best", dtype=np.int64, options=_INDEX_TYPE)
    parts = [best, f.constant(x.shape[-1], np.int32), f.constant(1, x.dtype), f.constant(0, x.dtype)]
    return low.emit("ONE_HOT", parts, x.shape, name, dtype=x.dtype, options={"axis": -1})


_SOFTMAXES: dict[str, Callable[[Lowering, Tensor, str], Tensor]] = {
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "Hardmax": _hardmax,
}


def _axis_last(layout: Layout, axis: int) -> Layout:
    """``layout`` if it ends in the axis, else ONNX's order with the axis moved to the end."""
    if layout[-1] == axis:
        return layout
    return (*(other for other in identity(len(layout)) if other != axis), axis)


@lowers("ArgMax", "ArgMin")
def lower_arg(low: Lowering, node: ir.Node) -> None:
    """ARG_MAX and ARG_MIN, as int64 like ONNX; the last of equals is the first in the reversed axis."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place, f = low.stored(data), Formula(low, str(result.name))
    axis = normal_axes([int_of(node, "axis", 0)], len(place.layout))[0]
    where = place.layout.index(axis)
    kind, tensor = _comparable(f, "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN", place, where)
    last = bool(int_of(node, "select_last_index", 0))
    if last:
        tensor = low.emit("REVERSE_V2", [tensor, low.ints([where], f"{f.name}/axis")], tensor.shape, f.name)
    shape = [dim for i, dim in enumerate(tensor.shape) if i != where]
    index = low.ints(where, f"{f.name}/axis")
    best = low.emit(kind, [tensor, index], shape, f.name, dtype=np.int64, options=_INDEX_TYPE)
    if last:
        best = f("SUB", f.constant(place.tensor.shape[where] - 1, np.int64), best)
    layout = without_axes(place.layout, [axis])
    if int_of(node, "keepdims", 1):
        layout = place.layout
        best = low.reshape(best, stored_shape(low.shape(result), layout), f"{result.name}/kept")
    low.bind(result, best, layout)


def _comparable(f: Formula, kind: str, place: Stored, axis: int) -> tuple[str, Tensor]:
    """What ARG_MAX can compare: int16 as int32; int64, which it has not, by where its extreme lies."""
    x = widen(f, place.tensor)
    if x.dtype != np.int64:
        return kind, x
    shape = [1 if i == axis else dim for i, dim in enumerate(x.shape)]
    reducer = "REDUCE_MAX" if kind == "ARG_MAX" else "REDUCE_MIN"
    where = f.low.ints([axis], f"{f.name}/axis")
    extreme = f.low.emit(reducer, [x, where], shape, f"{f.name}/extreme", options={"keepDims": True})
    return "ARG_MAX", f("EQUAL", x, extreme)


@lowers("CumSum")
def lower_cumsum(low: Lowering, node: ir.Node) -> None:
    """CUMSUM."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    where = constant_input(node, 1)
    if where is None:
        raise low.refuse(node, "its axis is computed, expected a constant")
    place, f = low.stored(data), Formula(low, str(result.name))
    axis = place.layout.index(normal_axes([int(where.reshape(-1)[0])], len(place.layout))[0])
    options: dict[str, Option] = {key: bool(int_of(node, key, 0)) for key in ("exclusive", "reverse")}
    index = low.ints(axis, f"{f.name}/axis")
    tensor = low.emit("CUMSUM", [place.tensor, index], place.tensor.shape, f.name, options=options)
    low.bind(result, tensor, place.layout)


@lowers("CumProd")
def lower_cumprod(low: Lowering, node: ir.Node) -> None:
    """No builtin: each round multiplies with what lies a power of two before, log2(n) rounds in all."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    where = constant_input(node, 1)
    if where is None:
        raise low.refuse(node, "its axis is computed, expected a constant")
    place, f = low.stored(data), Formula(low, str(result.name))
    axis = place.layout.index(normal_axes([int(where.reshape(-1)[0])], len(place.layout))[0])
    reverse = bool(int_of(node, "reverse", 0))
    total, length, step = place.tensor, place.tensor.shape[axis], 1
    if int_of(node, "exclusive", 0):
        total = _shifted(f, total, axis, 1, reverse)
    while step < length:
        total = f("MUL", total, _shifted(f, total, axis, step, reverse))
        step *= 2
    low.bind(result, total, place.layout)


def _shifted(f: Formula, x: Tensor, axis: int, step: int, reverse: bool) -> Tensor:
    """``x`` moved along the axis, ones moved in."""
    low = f.low
    amounts = np.zeros((len(x.shape), 2), np.int32)
    amounts[axis, int(reverse)] = step
    wide = [dim + step if i == axis else dim for i, dim in enumerate(x.shape)]
    one = f.constant([1], x.dtype)
    pads = Tensor.constant(low.name(f"{f.name}/pads"), amounts)
    padded = low.emit("PADV2", [x, pads, one], wide, f"{f.name}/padded")
    begin = [step if i == axis and reverse else 0 for i in range(len(x.shape))]
    bounds = [low.ints(begin, f"{f.name}/begin"), low.ints(x.shape, f"{f.name}/size")]
    return low.emit("SLICE", [padded, *bounds], x.shape, f"{f.name}/shifted")
