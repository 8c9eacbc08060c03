"""Operators that treat every element alike: operands that broadcast, in whatever layout they are stored."""

from collections.abc import Callable

import onnx_ir as ir

from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.layout import Layout, channels_last, identity
from edgewise_converters.lower.lowering import Lowering
from edgewise_converters.tflite.graph import Tensor

_SERIES_RANK = 3
_CONVOLVING = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
)


def common_layout(low: Lowering, values: list[ir.Value], result: ir.Value) -> Layout:
    """The layout that most saves moving, among those of the computed operands that have all axes of the result.

    Channels last where one has it and convolutions are near; else ONNX's own where one has that, since matrix products
    want it and any other order would have to be undone; else the first.
    """
    rank = len(low.shape(result))
    found = [
        low.stored(value).layout
        for value in values
        if low.constant(value) is None and len(low.shape(value)) == rank
    ]
    # Pictures are convolved sooner or later; of series and tokens only the next operator tells.
    near = rank > _SERIES_RANK or any(node.op_type in _CONVOLVING for node, _ in result.uses())
    for wanted in (channels_last(rank), identity(rank)) if near else (identity(rank),):
        if wanted in found:
            return wanted
    return found[0] if found else identity(rank)


def operands(low: Lowering, node: ir.Node) -> tuple[list[Tensor], Layout]:
    """Every input of a node that broadcasts, in one layout of its output."""
    values = [value for value in node.inputs if value is not None]
    rank = len(low.shape(node.outputs[0]))
    layout = common_layout(low, values, node.outputs[0])
    return [low.read_broadcast(value, rank, layout) for value in values], layout


def through(
    low: Lowering, node: ir.Node, compute: Callable[[Formula, Tensor], Tensor], *, in_float: bool = False
) -> None:
    """Bind the output to ``compute(formula, first input)``, in the layout the input has.

    ``in_float`` keeps its operators out of int8, which would not carry its inner values.
    """
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    before = len(low.graph.operators)
    tensor = compute(Formula(low, str(result.name)), place.tensor)
    _name_after(low, tensor, result, emitted=len(low.graph.operators) > before)
    if in_float:
        keep_in_float(low, before)
    low.bind(result, tensor, place.layout)


def broadcast(low: Lowering, node: ir.Node, compute: Callable[[Formula, list[Tensor]], Tensor]) -> None:
    """Bind the output to ``compute(formula, inputs)``, all in one layout."""
    tensors, layout = operands(low, node)
    result = node.outputs[0]
    before = len(low.graph.operators)
    tensor = compute(Formula(low, str(result.name)), tensors)
    _name_after(low, tensor, result, emitted=len(low.graph.operators) > before)
    low.bind(result, tensor, layout)


def keep_in_float(low: Lowering, before: int) -> None:
    """Keep the operators emitted since there were ``before`` of them out of int8."""
    for operator in low.graph.operators[before:]:
        operator.in_float = True


def _name_after(low: Lowering, tensor: Tensor, result: ir.Value, *, emitted: bool) -> None:
    """Reports name tensors: the last of a formula bears the name of ONNX's value."""
    if emitted and tensor is low.graph.operators[-1].output:
        tensor.name = low.name(str(result.name))
