"""Steps that treat every element alike, with operands that broadcast."""

import numpy as np
from converters.fuzz.builder import BOOL, FLOAT, INT32, INT64, Builder, Value

UNARY = (
    "Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp", "Log", "Sqrt", "Floor", "Ceil", "Reciprocal", "Erf", "Sign",
    "Softplus", "Softsign", "Sin", "Cos", "Tan", "Atan", "Asin", "Acos", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
    "Round", "HardSwish", "Identity", "Dropout", "Mish", "IsNaN", "IsInf", "Gelu",
)  # fmt: skip
_OF_POSITIVE = frozenset({"Log", "Sqrt", "Reciprocal", "Acosh"})
WITH_ALPHA = {
    "LeakyRelu": (0.1, 0.3),
    "Elu": (1.0, 0.5),
    "ThresholdedRelu": (1.0, 0.2),
    "Celu": (1.0, 0.7),
    "Selu": (1.6, 1.0),
}
SMALL_INTS = (np.int8, np.uint8, np.int16)
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
COMPARING = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")


def unary(b: Builder) -> None:
    """A function of one number."""
    data = b.floats()
    kind = b.choices.pick(UNARY)
    b.add(kind, [b.positive(data) if kind in _OF_POSITIVE else data])


def with_attributes(b: Builder) -> None:
    """A function with parameters."""
    kind = b.choices.pick((*WITH_ALPHA, "HardSigmoid", "Shrink", "Gelu", "Swish"))
    data = b.floats()
    if kind in WITH_ALPHA:
        b.add(kind, [data], alpha=b.choices.pick((None, *WITH_ALPHA[kind])))
    elif kind == "HardSigmoid":
        b.add(kind, [data], alpha=b.choices.pick((None, 1 / 6, 0.4)), beta=b.choices.pick((None, 0.5, 0.2)))
    elif kind == "Shrink":
        b.add(kind, [data], lambd=b.choices.pick((None, 0.3)), bias=b.choices.pick((None, 0.3)))
    elif kind == "Gelu":
        b.add(kind, [data], approximate=b.choices.pick(("none", "tanh")))
    else:
        b.add(kind, [data], alpha=b.choices.pick((None, 1.5)))


def operand(b: Builder, other: Value, kind: int = 0) -> Value:
    """Something that broadcasts with a value: another value, or a constant of fewer or shorter axes."""
    if b.choices.chance(40):
        found = b.some(lambda value: value.dtype == other.dtype and _broadcast(value.shape, other.shape))
        if found is not None:
            return found
    start = b.choices.number(0, other.rank)
    shape = [1 if b.choices.chance(30) else dim for dim in other.shape[start:]]
    if b.choices.chance(10):
        shape = [*other.shape[:0], *b.dims(1, 1), *other.shape]
    return b.weights(*shape, dtype=other.dtype.type, kind=kind)


def _broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(a == c or 1 in (a, c) for a, c in zip(one[::-1], other[::-1], strict=False))


def _either_way(b: Builder, first: Value, second: Value) -> list[Value]:
    return [first, second] if b.choices.chance(60) else [second, first]


def arithmetic(b: Builder) -> None:
    """Two floats."""
    data = b.floats()
    kind = b.choices.pick(ARITHMETIC)
    first, second = _either_way(b, data, operand(b, data))
    b.add(kind, [first, b.positive(second) if kind == "Div" else second])


def integers(b: Builder) -> None:
    """Two integers of any width; divisors are constants other than 0."""
    data = b.of(INT32, INT64, *SMALL_INTS)
    kind = b.choices.pick((*ARITHMETIC, "Mod", "Max", "Min"))
    if kind in ("Div", "Mod"):
        divisor = operand(b, data)
        safe = b.constant(np.where(divisor.array == 0, 3, divisor.array), data.dtype)
        b.add(kind, [data, safe])
    else:
        b.add(kind, _either_way(b, data, operand(b, data)))


def bits(b: Builder) -> None:
    """Shifts and bitwise operators, and functions of one integer."""
    data = b.of(INT32, INT64, np.uint8, np.uint32)
    kind = b.choices.pick(
        ("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "Neg", "Abs", "Sign", "Relu")
    )
    if kind == "BitShift":
        by = b.constant(np.full(data.shape[-1:], b.choices.number(0, 4)), data.dtype)
        b.add(kind, [data, by], direction=b.choices.pick(("LEFT", "RIGHT")))
    elif kind.startswith("Bitwise") and kind != "BitwiseNot":
        b.add(kind, [data, operand(b, data)])
    else:
        b.add(kind, [data])


def compare(b: Builder) -> None:
    """A comparison, of floats or integers."""
    data = b.of(FLOAT, INT32, INT64)
    b.add(b.choices.pick(COMPARING), _either_way(b, data, operand(b, data)))


def logic(b: Builder) -> None:
    """Booleans."""
    data = b.of(BOOL)
    kind = b.choices.pick(("And", "Or", "Xor", "Not", "Equal"))
    b.add(kind, [data] if kind == "Not" else _either_way(b, data, operand(b, data)))


def where(b: Builder) -> None:
    """A choice between two values."""
    condition = b.of(BOOL)
    chosen = b.of(FLOAT, INT32, INT64)
    if not _broadcast(condition.shape, chosen.shape):
        condition = b.weights(*chosen.shape[-1:], dtype=BOOL)
    b.add("Where", [condition, *_either_way(b, chosen, operand(b, chosen))])


def variadic(b: Builder) -> None:
    """Sum, Mean, Max and Min of one to four."""
    first = b.floats()
    others = [operand(b, first) for _ in range(b.choices.number(0, 3))]
    b.add(b.choices.pick(("Sum", "Mean", "Max", "Min")), [first, *others])


def power(b: Builder) -> None:
    """Powers whose base may be negative."""
    data = b.floats()
    exponent = b.choices.pick((2.0, 0.5, -1.0, 3.0, 1.0, 0.0, 1.5))
    shape = b.choices.pick(((), (1,), data.shape[-1:]))
    dtype = b.choices.pick((FLOAT, INT64)) if b.opset >= 12 else FLOAT
    data = data if exponent in (0.0, 1.0, 2.0, 3.0) else b.positive(data)
    b.add("Pow", [data, b.constant(np.full(shape, exponent), dtype)])


def clip(b: Builder) -> None:
    """Clip with either end, both or none."""
    data = b.of(FLOAT, INT32, np.int8, INT64) if b.opset >= 12 else b.floats()
    low, high = b.choices.pick(((-1, 1), (0, 6), (None, 2), (-2, None), (None, None), (1, 1), (2, -2)))
    if b.opset < 11:
        b.add(
            "Clip", [data], min=None if low is None else float(low), max=None if high is None else float(high)
        )
    else:
        ends = [None if end is None else b.constant(end, data.dtype) for end in (low, high)]
        b.add("Clip", [data, *ends])


def cast(b: Builder) -> None:
    """One to three casts in a row, the first of what every integer type holds."""
    value = b.some()
    if value is None:
        return
    if value.dtype.kind == "f":
        low, high = (b.constant(end, value.dtype) for end in (0, 100))
        kept = (
            b.add("Clip", [value, low, high]) if b.opset > 10 else b.add("Clip", [value], min=0.0, max=100.0)
        )
        if not kept:
            return
        value = kept[0]
    for _ in range(b.choices.number(1, 3)):
        to = b.choices.pick((1, 6, 7, 9, 3, 2, 1, 6, 7, 9, 11, 10, 12, 5))
        made = b.add("Cast", [value], to=to)
        if not made:
            return
        value = made[0]


def modulo(b: Builder) -> None:
    """The remainder as C has it."""
    data = b.floats()
    b.add("Mod", [data, b.weights(*data.shape[-1:], kind=3)], fmod=1)


def prelu(b: Builder) -> None:
    """PRelu with a slope per channel, element or all."""
    data = b.floats(1, 5)
    channels = data.shape[1] if data.rank > 1 else data.shape[0]
    shapes = [(), (1,), (channels, *(1,) * (data.rank - 2)) if data.rank > 1 else (channels,), data.shape]
    b.add("PRelu", [data, b.weights(*b.choices.pick(shapes))])


STEPS = (
    unary, with_attributes, arithmetic, arithmetic, integers, bits, compare, logic, where, variadic, power, clip, cast,
    cast, modulo, prelu,
)  # fmt: skip
