"""Arithmetic element by element, and casts, in whatever layout the operands are stored."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower import integers
from edgewise_converters.lower.attributes import constant_input, input_of, int_of, string_of
from edgewise_converters.lower.broadcasting import broadcast, through
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.schema import TENSOR_TYPES

_BINARY = {
    "Add": "ADD",
    "Sub": "SUB",
    "Mul": "MUL",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Sum": "ADD",
    "Mean": "ADD",
}
_UNARY = {
    "Neg": "NEG", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Floor": "FLOOR", "Ceil": "CEIL", "Round": "ROUND",
}  # fmt: skip


@lowers("Add", "Sub", "Mul")
def lower_binary(low: Lowering, node: ir.Node) -> None:
    """Two operands, broadcast as NumPy does; integers wrap around."""
    kind = _BINARY[node.op_type]
    broadcast(low, node, lambda f, tensors: integers.in_wide(f, kind, *tensors))


@lowers("Div")
def lower_div(low: Lowering, node: ir.Node) -> None:
    """DIV; integers are rounded towards zero."""
    broadcast(low, node, lambda f, tensors: integers.divide(f, *tensors))


@lowers("Mod")
def lower_mod(low: Lowering, node: ir.Node) -> None:
    """FLOOR_MOD; with fmod the remainder has the sign of the dividend."""
    like_c = bool(int_of(node, "fmod", 0))

    def compute(f: Formula, tensors: list[Tensor]) -> Tensor:
        a, b = tensors
        if not a.is_float:
            return integers.modulo(f, a, b, like_c=like_c)
        if not like_c:
            return f("FLOOR_MOD", a, b)
        return f("MUL", f("FLOOR_MOD", f("ABS", a), f("ABS", b)), f("SIGN", a))

    broadcast(low, node, compute)


@lowers("Pow")
def lower_pow(low: Lowering, node: ir.Node) -> None:
    """POW in float32; integers to integers by squaring. The result has the type of the base."""
    array = constant_input(node, 1)
    whole = array is not None and array.size > 0 and bool((array == array.reshape(-1)[0]).all())
    constant = float(array.reshape(-1)[0]) if array is not None and whole else None

    def compute(f: Formula, tensors: list[Tensor]) -> Tensor:
        base, exponent = tensors
        grows = np.broadcast_shapes(base.shape, exponent.shape) != base.shape
        if base.is_float:
            return _float_power(f, base, exponent, None if grows else constant)
        if constant is not None and not grows and constant >= 0 and constant.is_integer():
            return integers.power_of_constant(f, base, int(constant))
        if not exponent.is_float:
            return integers.power(f, base, exponent)
        return f.cast(f("POW", f.cast(base, np.float32), exponent), base.dtype)

    broadcast(low, node, compute)


def _float_power(f: Formula, base: Tensor, exponent: Tensor, constant: float | None) -> Tensor:
    """The usual powers have operators of their own, which XNNPACK computes."""
    if constant == 1:
        return base
    if constant == 2:
        return f("MUL", base, base)
    if constant == 0.5:
        return f("SQRT", base)
    if constant == 3:
        return f("MUL", f("MUL", base, base), base)
    if constant == -1:
        return f("DIV", f.constant(1, np.float32), base)
    return f("POW", base, f.cast(exponent, np.float32))


@lowers("Max", "Min", "Sum", "Mean")
def lower_variadic(low: Lowering, node: ir.Node) -> None:
    """Any number of operands, taken two at a time."""
    kind = _BINARY[node.op_type]

    def compute(f: Formula, tensors: list[Tensor]) -> Tensor:
        total = tensors[0]
        for tensor in tensors[1:]:
            total = f(kind, total, tensor)
        return f("MUL", total, 1 / len(tensors)) if node.op_type == "Mean" and len(tensors) > 1 else total

    broadcast(low, node, compute)


@lowers(*_UNARY)
def lower_unary(low: Lowering, node: ir.Node) -> None:
    """One operand, one builtin."""
    through(low, node, lambda f, x: integers.in_wide(f, _UNARY[node.op_type], x))


@lowers("Abs")
def lower_abs(low: Lowering, node: ir.Node) -> None:
    """ABS."""
    through(low, node, lambda f, x: f("ABS", x) if x.is_float else integers.absolute(f, x))


@lowers("Sign")
def lower_sign(low: Lowering, node: ir.Node) -> None:
    """SIGN."""
    through(low, node, lambda f, x: f("SIGN", x) if x.is_float else integers.sign(f, x))


@lowers("Reciprocal")
def lower_reciprocal(low: Lowering, node: ir.Node) -> None:
    """1 / x."""
    through(low, node, lambda f, x: f("DIV", 1.0, x))


@lowers("BitShift")
def lower_bit_shift(low: Lowering, node: ir.Node) -> None:
    """RIGHT_SHIFT, or a product with a power of two."""
    left = string_of(node, "direction", "") == "LEFT"
    shift = integers.shift_left if left else integers.shift_right
    broadcast(low, node, lambda f, tensors: shift(f, *tensors))


@lowers("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def lower_bitwise(low: Lowering, node: ir.Node) -> None:
    """BITWISE_XOR and sums."""
    broadcast(low, node, lambda f, tensors: integers.bitwise(f, node.op_type, *tensors))


@lowers("BitwiseNot")
def lower_bitwise_not(low: Lowering, node: ir.Node) -> None:
    """BITWISE_XOR with all bits."""
    through(low, node, integers.bitwise_not)


@lowers("Clip")
def lower_clip(low: Lowering, node: ir.Node) -> None:
    """Clip to the RELU that says it, else MAXIMUM and MINIMUM."""
    bounds = [_bound(low, node, index, name) for index, name in ((1, "min"), (2, "max"))]
    kind = _RELUS.get(tuple(_number(bound) for bound in bounds))

    def clip(f: Formula, tensor: Tensor) -> Tensor:
        if kind and tensor.is_float:
            return f(kind, tensor)
        for bound, operator in zip(bounds, ("MAXIMUM", "MINIMUM"), strict=True):
            if bound is not None:
                tensor = f(operator, tensor, bound)
        return tensor

    through(low, node, clip)


_RELUS: dict[tuple[object, ...], str] = {
    (0.0, None): "RELU",
    (0.0, 6.0): "RELU6",
    (-1.0, 1.0): "RELU_N1_TO_1",
}


def _bound(low: Lowering, node: ir.Node, index: int, name: str) -> Tensor | None:
    """A bound as a scalar, None where it bounds nothing."""
    label = f"{node.outputs[0].name}/{name}"
    value = input_of(node, index)
    if name in node.attributes:
        array = np.array(node.attributes[name].as_float(), np.float32)
    elif value is None:
        return None
    else:
        constant = low.constant(value)
        if constant is None:
            return low.reshape(low.read(value), (), label)
        array = constant.reshape(())
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        nowhere = -np.finfo(np.float32).max if name == "min" else np.finfo(np.float32).max
        if (array <= nowhere) if name == "min" else (array >= nowhere):
            return None
    return Tensor.constant(low.name(label), array)


def _number(bound: Tensor | None) -> object:
    """A constant bound as a float; a computed one as something that equals no number."""
    if bound is None:
        return None
    return float(bound.data) if bound.data is not None else bound.name


@lowers("Cast")
def lower_cast(low: Lowering, node: ir.Node) -> None:
    """CAST between the types that TFLite has. What is rounded to float16 is stored in float32."""
    target = np.dtype(ir.DataType(int_of(node, "to", 1)).numpy())
    target = np.dtype(np.float32) if target == np.float64 else target
    if target not in TENSOR_TYPES:
        raise low.refuse(node, f"TFLite has no type {target}")
    if target == np.float16:
        through(low, node, lambda f, tensor: f.cast(f.cast(tensor, target), np.dtype(np.float32)))
    else:
        through(low, node, lambda f, tensor: f.cast(tensor, target))


@lowers("Identity", "Dropout")
def lower_identity(low: Lowering, node: ir.Node) -> None:
    """The same tensor under another name."""
    through(low, node, lambda _, tensor: tensor)


@lowers("Where")
def lower_where(low: Lowering, node: ir.Node) -> None:
    """SELECT_V2, which broadcasts."""
    broadcast(low, node, lambda f, tensors: f.where(*tensors))
