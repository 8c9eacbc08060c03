"""Along which axis of a result the rows lie of which only the first count, where an operator keeps them apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.passes.graph_edit import constant


@dataclass(frozen=True)
class Counted:
    """The rows along one axis of a value; how many of them count is the second output of ``source``."""

    axis: int
    source: ir.Node


Reads = Mapping[int, Counted]
"""By place of input, those whose rows are counted."""
_ONE_BY_ONE = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "Div", "Equal", "Erf", "Exp", "Floor", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min",
    "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus",
    "Sqrt", "Sub", "Tanh", "Where", "Xor",
})  # fmt: skip
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_ALONG = frozenset({"LogSoftmax", "Softmax"})
_OVER = frozenset({"ArgMax", "ArgMin"})


def axis_behind(node: ir.Node, reads: Reads) -> int | None:
    """The axis of the node's outputs along which the rows lie; None where it mixes, adds or drops rows."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in _ONE_BY_ONE:
        return _one_by_one(node, reads)
    if set(reads) != {0} and node.op_type not in _RULES:
        return None
    first = reads.get(0)
    if node.op_type in _RESHAPES and first is not None:
        return _reshaped(node, first.axis)
    if node.op_type in _ALONG and first is not None:
        return first.axis if _axis(node, -1) != first.axis else None
    if node.op_type in _OVER and first is not None:
        return _reduced(node, first.axis)
    rule = _RULES.get(node.op_type)
    return rule(node, reads) if rule else None


def _rank(value: ir.Value | None) -> int:
    return 0 if value is None or value.shape is None else len(value.shape)


def _dims(value: ir.Value | None) -> list[int]:
    return [] if value is None or value.shape is None else [int(dim) for dim in value.shape]  # type: ignore[arg-type]  # every dim is a number here


def _axis(node: ir.Node, default: int, of: int = 0) -> int:
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else default
    return axis % max(_rank(node.inputs[of]), 1)


def _one_by_one(node: ir.Node, reads: Reads) -> int | None:
    """Counted from the back, all agree, and what is not counted is the same for every row."""
    rank = _rank(node.outputs[0])
    axes = {rank - _rank(node.inputs[place]) + counted.axis for place, counted in reads.items()}
    if len(axes) != 1:
        return None
    (axis,) = axes
    for place, value in enumerate(node.inputs):
        dims = _dims(value)
        own = axis - (rank - len(dims))
        if place not in reads and own >= 0 and dims[own] != 1:
            return None
    return axis


def _reshaped(node: ir.Node, axis: int) -> int | None:
    before, after = _dims(node.inputs[0]), _dims(node.outputs[0])
    ahead = int(np.prod(before[:axis]))
    found = [a for a in range(len(after)) if int(np.prod(after[:a])) == ahead and after[a] == before[axis]]
    return found[-1] if found else None


def _reduced(node: ir.Node, axis: int) -> int | None:
    over = _axis(node, 0)
    keeps = "keepdims" not in node.attributes or node.attributes["keepdims"].as_int()
    if over == axis:
        return None
    return axis if keeps or axis < over else axis - 1


def _gathered(node: ir.Node, reads: Reads) -> int | None:
    if len(reads) > 1:
        return None
    over, more = _axis(node, 0), _rank(node.inputs[1])
    if 1 in reads:
        return over + reads[1].axis
    axis = reads[0].axis
    if axis == over:
        return None
    return axis if axis < over else axis - 1 + more


def _gathered_points(node: ir.Node, reads: Reads) -> int | None:
    batched = "batch_dims" in node.attributes and node.attributes["batch_dims"].as_int()
    points = reads.get(1)
    if len(reads) > 1 or points is None or batched or points.axis == _rank(node.inputs[1]) - 1:
        return None
    return points.axis


def _sliced(node: ir.Node, reads: Reads) -> int | None:
    axis, data = reads[0].axis, _dims(node.inputs[0])
    return (
        axis
        if set(reads) == {0} and data[axis] == _dims(node.outputs[0])[axis] and not _turned(node)
        else None
    )


def _turned(node: ir.Node) -> bool:
    """Whether any step is not one: rows turned round begin with those that do not count."""
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else np.ones(1)
    return steps is None or bool((steps != 1).any())


def _transposed(node: ir.Node, reads: Reads) -> int | None:
    rank = _rank(node.inputs[0])
    order = list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else list(range(rank))[::-1]
    return order.index(reads[0].axis)


def _joined(node: ir.Node, reads: Reads) -> int | None:
    axes = {counted.axis for counted in reads.values()}
    if len(reads) != len(node.inputs) or len(axes) != 1:
        return None
    (axis,) = axes
    return axis if _axis(node, 0) != axis else None


def _split(node: ir.Node, reads: Reads) -> int | None:
    return reads[0].axis if set(reads) == {0} and _axis(node, 0) != reads[0].axis else None


def _multiplied(node: ir.Node, reads: Reads) -> int | None:
    rank = _rank(node.inputs[0])
    axis = reads[0].axis if set(reads) == {0} else rank
    return axis if rank == _rank(node.outputs[0]) == 2 and axis == 0 else None


_RULES: dict[str, Callable[[ir.Node, Reads], int | None]] = {
    "Concat": _joined,
    "Gather": _gathered,
    "GatherND": _gathered_points,
    "MatMul": _multiplied,
    "Slice": _sliced,
    "Split": _split,
    "Transpose": _transposed,
}
