"""Operators that treat every element alike, in whatever layout their operands are stored."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import constant_input, float_of, input_of, int_of, string_of
from edgewise_converters.lower.layout import Layout, identity, stored_shape
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Option, Tensor
from edgewise_converters.tflite.schema import TENSOR_TYPES

_BINARY = {
    "Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Pow": "POW", "Equal": "EQUAL", "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL", "Less": "LESS", "LessOrEqual": "LESS_EQUAL", "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
}  # fmt: skip
_UNARY = {
    "Relu": "RELU", "Sigmoid": "LOGISTIC", "Tanh": "TANH", "HardSwish": "HARD_SWISH", "Abs": "ABS", "Neg": "NEG",
    "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Floor": "FLOOR", "Ceil": "CEIL", "Sin": "SIN", "Cos": "COS",
    "Not": "LOGICAL_NOT",
}  # fmt: skip


def common_layout(low: Lowering, values: list[ir.Value], rank: int) -> Layout:
    """The layout that most saves moving: that of the first computed operand of full rank that is not ONNX's own."""
    for value in values:
        if low.constant(value) is None and len(low.shape(value)) == rank:
            layout = low.stored(value).layout
            if layout != identity(rank):
                return layout
    return identity(rank)


def _operands(low: Lowering, node: ir.Node) -> tuple[list[Tensor], Layout]:
    values = [value for value in node.inputs if value is not None]
    rank = len(low.shape(node.outputs[0]))
    layout = common_layout(low, values, rank)
    return [low.read_broadcast(value, rank, layout) for value in values], layout


@lowers(*_BINARY)
def lower_binary(low: Lowering, node: ir.Node) -> None:
    """Two operands, broadcast as NumPy does."""
    tensors, layout = _operands(low, node)
    result = node.outputs[0]
    shape = stored_shape(low.shape(result), layout)
    dtype = np.bool_ if result.dtype == ir.DataType.BOOL else None
    low.bind(result, low.emit(_BINARY[node.op_type], tensors, shape, str(result.name), dtype=dtype), layout)


@lowers("Max", "Min", "Sum", "Mean")
def lower_variadic(low: Lowering, node: ir.Node) -> None:
    """Any number of operands, taken two at a time."""
    tensors, layout = _operands(low, node)
    result = node.outputs[0]
    kind = {"Max": "MAXIMUM", "Min": "MINIMUM"}.get(node.op_type, "ADD")
    total = tensors[0]
    for tensor in tensors[1:]:
        shape = np.broadcast_shapes(total.shape, tensor.shape)
        total = low.emit(kind, [total, tensor], shape, str(result.name))
    if node.op_type == "Mean":
        total = low.emit(
            "MUL", [total, low.floats(1 / len(tensors), f"{result.name}/n")], total.shape, str(result.name)
        )
    low.bind(result, total, layout)


def _map(low: Lowering, node: ir.Node, kind: str, options: dict[str, Option] | None = None) -> None:
    _through(low, node, lambda tensor, name: low.emit(kind, [tensor], tensor.shape, name, options=options))


def _through(low: Lowering, node: ir.Node, compute: Callable[[Tensor, str], Tensor]) -> None:
    """Bind the output to ``compute(tensor, name)`` of the first input, in the layout it has."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    low.bind(result, compute(place.tensor, str(result.name)), place.layout)


@lowers(*_UNARY)
def lower_unary(low: Lowering, node: ir.Node) -> None:
    """One operand, one builtin."""
    _map(low, node, _UNARY[node.op_type])


@lowers("LeakyRelu")
def lower_leaky_relu(low: Lowering, node: ir.Node) -> None:
    """LEAKY_RELU."""
    _map(low, node, "LEAKY_RELU", {"alpha": float_of(node, "alpha", 0.01)})


@lowers("Elu")
def lower_elu(low: Lowering, node: ir.Node) -> None:
    """ELU has no alpha in TFLite; only ONNX's default of 1 is the same."""
    if float_of(node, "alpha", 1.0) != 1.0:
        raise low.refuse(node, "its alpha is not 1")
    _map(low, node, "ELU")


@lowers("Gelu")
def lower_gelu(low: Lowering, node: ir.Node) -> None:
    """GELU, exact or approximated with tanh."""
    _map(low, node, "GELU", {"approximate": string_of(node, "approximate", "none") == "tanh"})


@lowers("PRelu")
def lower_prelu(low: Lowering, node: ir.Node) -> None:
    """PRELU; the slope broadcasts as ONNX says, without a batch axis as TFLite wants."""
    data, slope, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and slope is not None
    place = low.stored(data)
    rank = len(place.layout)
    alpha = low.read_broadcast(slope, rank, place.layout)
    if alpha.is_constant and alpha.shape[0] == 1 and rank > 1:
        # XNNPACK reads one slope per channel: a single one for all must be repeated.
        slopes = np.broadcast_to(alpha.data[0], (*alpha.shape[1:-1], place.tensor.shape[-1]))  # type: ignore[index]
        alpha = Tensor.constant(low.name(f"{result.name}/slope"), slopes)
    low.bind(
        result, low.emit("PRELU", [place.tensor, alpha], place.tensor.shape, str(result.name)), place.layout
    )


_RELUS: dict[tuple[float | None, float | None], str] = {
    (0.0, None): "RELU",
    (0.0, 6.0): "RELU6",
    (-1.0, 1.0): "RELU_N1_TO_1",
}


@lowers("Clip")
def lower_clip(low: Lowering, node: ir.Node) -> None:
    """Clip to the RELU that says it, else MAXIMUM and MINIMUM."""
    low_bound, high_bound = _clip_bounds(low, node)
    kind = _RELUS.get((low_bound, high_bound))
    if kind and node.outputs[0].dtype == ir.DataType.FLOAT:
        _map(low, node, kind)
        return

    def clip(tensor: Tensor, name: str) -> Tensor:
        for bound, operator in ((low_bound, "MAXIMUM"), (high_bound, "MINIMUM")):
            if bound is not None:
                limit = Tensor.constant(low.name(f"{name}/{operator.lower()}"), np.array(bound, tensor.dtype))
                tensor = low.emit(operator, [tensor, limit], tensor.shape, name)
        return tensor

    _through(low, node, clip)


def _clip_bounds(low: Lowering, node: ir.Node) -> tuple[float | None, float | None]:
    bounds: list[float | None] = []
    for index, name in ((1, "min"), (2, "max")):
        array = constant_input(node, index)
        if input_of(node, index) is not None and array is None:
            raise low.refuse(node, f"its {name} is computed, expected a constant")
        value = float(array.reshape(-1)[0]) if array is not None else None
        if name in node.attributes:
            value = node.attributes[name].as_float()
        limit = np.finfo(np.float32).max
        bounds.append(None if value is None or abs(value) >= limit else value)
    return bounds[0], bounds[1]


@lowers("HardSigmoid")
def lower_hard_sigmoid(low: Lowering, node: ir.Node) -> None:
    """max(0, min(1, alpha * x + beta)); with alpha 1/6 and beta 1/2 as relu6(x + 3) / 6, which fuses."""
    alpha, beta = float_of(node, "alpha", 0.2), float_of(node, "beta", 0.5)

    def gate(tensor: Tensor, name: str) -> Tensor:
        # relu6(6 * alpha * x + 6 * beta) / 6, since TFLite fuses RELU6 into the ADD before it
        if abs(alpha * 6 - 1) > 1e-5:
            tensor = low.emit(
                "MUL", [tensor, low.floats(6 * alpha, f"{name}/alpha")], tensor.shape, f"{name}/scaled"
            )
        shift = low.floats(round(6 * beta, 6), f"{name}/beta")
        shifted = low.emit("ADD", [tensor, shift], tensor.shape, f"{name}/shifted")
        clipped = low.emit("RELU6", [shifted], tensor.shape, f"{name}/clipped")
        return low.emit("MUL", [clipped, low.floats(1 / 6, f"{name}/sixth")], tensor.shape, name)

    _through(low, node, gate)


@lowers("Reciprocal")
def lower_reciprocal(low: Lowering, node: ir.Node) -> None:
    """1 / x."""
    _through(low, node, lambda t, name: low.emit("DIV", [low.floats(1.0, f"{name}/one"), t], t.shape, name))


@lowers("Softplus", "Softsign")
def lower_soft(low: Lowering, node: ir.Node) -> None:
    """Softplus as max(x, 0) + log(1 + exp(-|x|)), which does not overflow; Softsign as x / (1 + |x|)."""

    def compute(tensor: Tensor, name: str) -> Tensor:
        shape, one = tensor.shape, low.floats(1.0, f"{name}/one")
        size = low.emit("ABS", [tensor], shape, f"{name}/abs")
        if node.op_type == "Softsign":
            return low.emit("DIV", [tensor, low.emit("ADD", [size, one], shape, f"{name}/sum")], shape, name)
        small = low.emit("EXP", [low.emit("NEG", [size], shape, f"{name}/neg")], shape, f"{name}/exp")
        log = low.emit("LOG", [low.emit("ADD", [small, one], shape, f"{name}/sum")], shape, f"{name}/log")
        return low.emit("ADD", [low.emit("RELU", [tensor], shape, f"{name}/relu"), log], shape, name)

    _through(low, node, compute)


@lowers("Cast")
def lower_cast(low: Lowering, node: ir.Node) -> None:
    """CAST between the types that TFLite has."""
    target = np.dtype(ir.DataType(int_of(node, "to", 1)).numpy())
    target = np.dtype(np.float32) if target == np.float64 else target
    if target not in TENSOR_TYPES:
        raise low.refuse(node, f"TFLite has no type {target}")
    _through(low, node, lambda tensor, name: low.emit("CAST", [tensor], tensor.shape, name, dtype=target))


@lowers("Identity", "Dropout")
def lower_identity(low: Lowering, node: ir.Node) -> None:
    """The same tensor under another name."""
    _through(low, node, lambda tensor, _: tensor)


@lowers("Where")
def lower_where(low: Lowering, node: ir.Node) -> None:
    """SELECT_V2, which broadcasts."""
    tensors, layout = _operands(low, node)
    result = node.outputs[0]
    shape = stored_shape(low.shape(result), layout)
    low.bind(result, low.emit("SELECT_V2", tensors, shape, str(result.name), dtype=tensors[1].dtype), layout)
