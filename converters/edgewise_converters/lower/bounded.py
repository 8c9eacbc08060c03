"""NonMaxSuppression, NonZero, Compress: as much as they can give, in order, and how much of it counts.

See `passes/bound_counts`, which writes these nodes and cuts the model's outputs.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import int_of
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.slicing import cut
from edgewise_converters.tflite.graph import Operator, Tensor

_INT32, _BOOL = np.dtype(np.int32), np.dtype(np.bool_)
_MOST_CALLS = 256
"""Operators of one suppression: one a picture and class."""


@dataclass(frozen=True)
class _Compacted:
    places: Tensor
    """int32 [n]: first those chosen, in order, then the others."""
    count: Tensor
    """int32 [1]."""


def _compacted(f: Algebra, mask: Tensor) -> _Compacted:
    """The places of a bool [n] that are true, before all others: the largest of keys that fall along them."""
    (n,) = mask.shape
    places = np.arange(n, dtype=np.int32)
    behind = Tensor.constant(f.low.name(f"{f.name}/chosen"), n - places)
    before = Tensor.constant(f.low.name(f"{f.name}/others"), -1 - places)
    keys = f.low.emit("SELECT_V2", [mask, behind, before], (n,), f"{f.name}/keys", dtype=np.int32)
    top = Tensor(f.low.name(f"{f.name}/sorted"), (n,), _INT32)
    order = Tensor(f.low.name(f"{f.name}/order"), (n,), _INT32)
    k = Tensor.constant(f.low.name(f"{f.name}/k"), np.array(n, np.int32))
    f.low.graph.operators.append(Operator("TOPK_V2", [keys, k], [top, order]))
    ones = f.low.emit("CAST", [mask], (n,), f"{f.name}/ones", dtype=np.int32)
    return _Compacted(order, f.reduce("SUM", ones, [0]))


@lowers("BoundedNonZero")
def lower_non_zero(low: Lowering, node: ir.Node) -> None:
    """Coordinates of everything that is not zero, one column each."""
    data, (columns, count) = node.inputs[0], node.outputs
    assert data is not None
    f, shape = Algebra(low, str(columns.name)), low.shape(data)
    flat = f.reshape(low.read(data), (int(np.prod(shape)),))
    mask = flat if flat.dtype == _BOOL else f.low.emit(
        "NOT_EQUAL", [flat, f.constant(0, flat.dtype)], flat.shape, f"{f.name}/mask", dtype=np.bool_
    )  # fmt: skip
    found = _compacted(f, mask)
    rows, rest = [], found.places
    for step in (int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))):
        along = f.apply("FLOOR_DIV", rest, step)
        rest = f.sub(rest, f.mul(along, step))
        rows.append(f.reshape(along, (1, flat.shape[0])))
    joined = _joined(low, rows, 0, f"{f.name}/rows")
    low.bind(columns, low.emit("CAST", [joined], joined.shape, f.name, dtype=np.int64))
    low.bind(count, found.count)


@lowers("BoundedCompress")
def lower_compress(low: Lowering, node: ir.Node) -> None:
    """The slices where a condition is true."""
    data, condition, (result, count) = node.inputs[0], node.inputs[1], node.outputs
    assert data is not None and condition is not None
    f, axis = Algebra(low, str(result.name)), int_of(node, "axis", 0)
    source = low.read(data)
    if int_of(node, "flat", 0):
        source = f.reshape(source, (int(np.prod(source.shape)),))
    mask, (limit,) = low.read(condition), (low.shape(result)[axis],)
    found = _compacted(f, cut(low, mask, [0], [limit], [1], f"{f.name}/condition"))
    low.bind(
        result, low.emit("GATHER", [source, found.places], low.shape(result), f.name, options={"axis": axis})
    )
    low.bind(count, found.count)


@lowers("BoundedNonMaxSuppression")
def lower_non_max_suppression(low: Lowering, node: ir.Node) -> None:
    """NON_MAX_SUPPRESSION_V4 for every picture and class; rows of (picture, class, box), as ONNX orders them."""
    boxes, scores, (result, count) = node.inputs[0], node.inputs[1], node.outputs
    assert boxes is not None and scores is not None
    f, (batch, classes, number) = Algebra(low, str(result.name)), low.shape(scores)
    calls = batch * classes
    if calls > _MOST_CALLS:
        raise low.refuse(node, f"it has {calls} pictures times classes, expected {_MOST_CALLS} at most")
    most = low.shape(result)[0] // calls
    corners, points = (
        _corners(f, low.read(boxes), bool(int_of(node, "center_point_box", 0))),
        low.read(scores),
    )
    overlap, least = _threshold(f, node, 3, 0.0), _threshold(f, node, 4, float(np.finfo(np.float32).min))
    rows, counts = [], []
    for call in range(calls):
        picture, kind = divmod(call, classes)
        places = cut(
            low, corners, [picture, 0, 0], [picture + 1, number, 4], [1, 1, 1], f"{f.name}/boxes{call}"
        )
        begin, end = [picture, kind, 0], [picture + 1, kind + 1, number]
        own = cut(low, points, begin, end, [1, 1, 1], f"{f.name}/scores{call}")
        chosen = Tensor(low.name(f"{f.name}/chosen{call}"), (most,), _INT32)
        valid = Tensor(low.name(f"{f.name}/valid{call}"), (), _INT32)
        operands: list[Tensor | None] = [
            f.reshape(places, (number, 4)),
            f.reshape(own, (number,)),
            _int(low, most, f.name),
            overlap,
            least,
        ]
        low.graph.operators.append(Operator("NON_MAX_SUPPRESSION_V4", operands, [chosen, valid]))
        label = Tensor.constant(
            low.name(f"{f.name}/label{call}"), np.tile(np.array([[picture, kind]], np.int32), (most, 1))
        )
        rows.append(_joined(low, [label, f.reshape(chosen, (most, 1))], 1, f"{f.name}/rows{call}"))
        counts.append(f.reshape(valid, (1,)))
    table, total = _joined(low, rows, 0, f"{f.name}/rows"), counts[0]
    if calls > 1:
        table, total = _first_come(f, table, _joined(low, counts, 0, f"{f.name}/counts"), most)
    low.bind(result, low.emit("CAST", [table], table.shape, f.name, dtype=np.int64))
    low.bind(count, total)


def _first_come(f: Algebra, table: Tensor, counts: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The rows of every call that count, before all others, and their number."""
    number = table.shape[0]
    calls, within = np.divmod(np.arange(number, dtype=np.int32), np.int32(most))
    which = Tensor.constant(f.low.name(f"{f.name}/calls"), calls.astype(np.int32))
    limits = f.low.emit("GATHER", [counts, which], (number,), f"{f.name}/limits", options={"axis": 0})
    place = Tensor.constant(f.low.name(f"{f.name}/within"), within.astype(np.int32))
    mask = f.low.emit("LESS", [place, limits], (number,), f"{f.name}/mask", dtype=np.bool_)
    found = _compacted(f, mask)
    rows = f.low.emit("GATHER", [table, found.places], table.shape, f"{f.name}/kept", options={"axis": 0})
    return rows, found.count


def _corners(f: Algebra, boxes: Tensor, centered: bool) -> Tensor:
    """Boxes as two opposite corners; which axis is which does not matter to how much they overlap."""
    if not centered:
        return boxes
    batch, number, _ = boxes.shape
    middle = cut(f.low, boxes, [0, 0, 0], [batch, number, 2], [1, 1, 1], f"{f.name}/middle")
    size = cut(f.low, boxes, [0, 0, 2], [batch, number, 4], [1, 1, 1], f"{f.name}/size")
    half = f.mul(size, 0.5)
    return _joined(f.low, [f.sub(middle, half), f.add(middle, half)], 2, f"{f.name}/corners")


def _threshold(f: Algebra, node: ir.Node, place: int, default: float) -> Tensor:
    """A threshold as a scalar. Of overlap, the next number: the kernel suppresses at it, ONNX above it."""
    value = node.inputs[place] if len(node.inputs) > place else None
    if value is None:
        number = default
    else:
        array = f.low.constant(value)
        if array is None:
            return f.reshape(f.low.read(value), ())
        number = float(np.asarray(array).reshape(-1)[0])
    if place == _OVERLAP:
        number = float(np.nextafter(np.float32(number), np.float32(np.inf)))
    return Tensor.constant(f.low.name(f"{f.name}/threshold"), np.array(number, np.float32))


_OVERLAP = 3


def _int(low: Lowering, number: int, name: str) -> Tensor:
    return Tensor.constant(low.name(f"{name}/most"), np.array(number, np.int32))


def _joined(low: Lowering, tensors: list[Tensor], axis: int, name: str) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]
    shape = list(tensors[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
    return low.emit("CONCATENATION", tensors, shape, name, options={"axis": axis})


@lowers("TakeFirst", in_float=True)
def lower_take_first(low: Lowering, node: ir.Node) -> None:
    """SLICE with a size that is known when the model has run: the output's shape then is what there is."""
    data, count, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and count is not None
    source, axis, name = low.read(data), int_of(node, "axis", 0), str(result.name)
    sizes = [low.ints([dim], f"{name}/size{place}") for place, dim in enumerate(source.shape)]
    sizes[axis] = low.read(count)
    size = _joined(low, sizes, 0, f"{name}/sizes")
    begin = low.ints([0] * len(source.shape), f"{name}/begin")
    taken = low.emit("SLICE", [source, begin, size], source.shape, name)
    taken.open_axis = axis
    low.bind(result, taken)
