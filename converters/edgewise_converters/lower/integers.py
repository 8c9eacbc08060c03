"""Integer arithmetic that TFLite has no kernel for, exact and with ONNX's wrap-around.

Kernels take int8, uint8 and int16 tensors for quantized values, so these are computed in int32 and cast back.
"""

import numpy as np

from edgewise_converters.lower.formula import Formula
from edgewise_converters.tflite.graph import Tensor

_NARROW = (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16))
_INT64_DIVISION_STEPS = 4
"""Each step finds 22 bits or more of a 63-bit quotient, one is for rounding."""
_SIGNIFICANT_EXPONENT_BITS = 6


def is_narrow(dtype: np.dtype[np.generic]) -> bool:
    """Whether kernels would take this type for quantized values."""
    return dtype in _NARROW


def widen(f: Formula, tensor: Tensor) -> Tensor:
    """int8, uint8 and int16 as int32; other types as they are."""
    return f.cast(tensor, np.int32) if is_narrow(tensor.dtype) else tensor


def in_wide(f: Formula, kind: str, *terms: Tensor) -> Tensor:
    """An operator on integers of any width, its result of their type (booleans for a comparison)."""
    result = f(kind, *(widen(f, term) for term in terms))
    return result if result.dtype == np.bool_ else f.cast(result, terms[0].dtype)


def divide(f: Formula, a: Tensor, b: Tensor) -> Tensor:
    """The quotient rounded towards zero, as C and ONNX do it."""
    if a.dtype == np.int64:
        return _divide_int64(f, a, b)
    return in_wide(f, "DIV", a, b)


def _divide_int64(f: Formula, a: Tensor, b: Tensor) -> Tensor:
    """No kernel divides int64: quotients in float32, each of the remainder of the one before, added up in int64."""
    divisor = f.cast(b, np.float32)

    def estimate(rest: Tensor) -> Tensor:
        return f.cast(f("DIV", f.cast(rest, np.float32), divisor), np.int64)

    quotient = estimate(a)
    for _ in range(_INT64_DIVISION_STEPS - 1):
        quotient = f("ADD", quotient, estimate(f("SUB", a, f("MUL", quotient, b))))
    rest = f("SUB", a, f("MUL", quotient, b))
    # Rounding may have gone one too far: then the remainder has not the dividend's sign.
    crossed = f(
        "LOGICAL_AND",
        f("NOT_EQUAL", rest, 0),
        f("NOT_EQUAL", f("LESS", rest, 0), f("LESS", a, 0)),
    )
    step = f.where(f("NOT_EQUAL", f("LESS", a, 0), f("LESS", b, 0)), f.constant(-1, np.int64), 1)
    return f.where(crossed, f("SUB", quotient, step), quotient)


def modulo(f: Formula, a: Tensor, b: Tensor, *, like_c: bool) -> Tensor:
    """The remainder with the divisor's sign (as Python), or with the dividend's (as C's %)."""
    wide_a, wide_b = widen(f, a), widen(f, b)
    rest = f("FLOOR_MOD", wide_a, wide_b)
    if like_c:
        signs_differ = f("NOT_EQUAL", f("LESS", wide_a, 0), f("LESS", wide_b, 0))
        turned = f("LOGICAL_AND", signs_differ, f("NOT_EQUAL", rest, 0))
        rest = f.where(turned, f("SUB", rest, wide_b), rest)
    return f.cast(rest, a.dtype)


def absolute(f: Formula, tensor: Tensor) -> Tensor:
    """|x|; the lowest value stays itself."""
    if tensor.dtype == np.uint8:
        return tensor
    wide = widen(f, tensor)
    return f.cast(f("MAXIMUM", wide, f("NEG", wide)), tensor.dtype)


def sign(f: Formula, tensor: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return f("MINIMUM", f("MAXIMUM", tensor, 0 if tensor.dtype == np.uint8 else -1), 1)


def power(f: Formula, base: Tensor, exponent: Tensor) -> Tensor:
    """``base`` to an integer ``exponent`` by squaring, modulo 2**32 or 2**64.

    TFLite's POW of integers goes through float and saturates differently on ARM and x86. A negative exponent
    gives 0 but for bases of 1 and -1, as truncating the fraction does.
    """
    wide, count = widen(f, base), f.cast(widen(f, exponent), np.int64)
    magnitude = f("MAXIMUM", count, f("NEG", count))
    # Beyond 62 only the parity counts: other bases than -1, 0 and 1 have left the range long before.
    rest = f.cast(f("MINIMUM", magnitude, f("ADD", f("FLOOR_MOD", magnitude, 2), 62)), np.int32)
    whole = f(
        "LOGICAL_OR",
        f("GREATER_EQUAL", count, 0),
        f("EQUAL", f("MAXIMUM", wide, f("NEG", wide)), 1),
    )
    result: Tensor | None = None
    for bit in range(_SIGNIFICANT_EXPONENT_BITS):
        odd = f("EQUAL", f("FLOOR_MOD", f("RIGHT_SHIFT", rest, bit), 2), 1)
        factor = f.where(odd, wide, 1)
        result = factor if result is None else f("MUL", result, factor)
        wide = f("MUL", wide, wide)
    assert result is not None
    return f.cast(f.where(whole, result, 0), base.dtype)


def power_of_constant(f: Formula, base: Tensor, exponent: int) -> Tensor:
    """``base`` to a constant exponent of zero or more, by squaring."""
    wide = widen(f, base)
    result: Tensor | None = None
    while exponent:
        if exponent & 1:
            result = wide if result is None else f("MUL", result, wide)
        exponent >>= 1
        wide = f("MUL", wide, wide) if exponent else wide
    if result is None:
        result = f("ADD", f("MUL", wide, 0), 1)
    return f.cast(result, base.dtype)


def bitwise(f: Formula, op_type: str, a: Tensor, b: Tensor) -> Tensor:
    """BitwiseAnd, BitwiseOr or BitwiseXor."""
    if a.dtype == np.int64:
        halves = (
            f.low.emit("BITCAST", [t], (*t.shape, 2), f"{f.name}/halves", dtype=np.int32) for t in (a, b)
        )
        pairs = bitwise(f, op_type, *halves)
        return f.low.emit("BITCAST", [pairs], pairs.shape[:-1], f"{f.name}/whole", dtype=np.int64)
    if op_type == "BitwiseXor":
        return f("BITWISE_XOR", a, b)
    wide_a, wide_b = widen(f, a), widen(f, b)
    differ = f("BITWISE_XOR", wide_a, wide_b)
    both = (_and_of_narrow if is_narrow(a.dtype) else _and_of_int32)(f, wide_a, wide_b, differ)
    result = both if op_type == "BitwiseAnd" else f("ADD", both, differ)
    return f.cast(result, a.dtype)


def _and_of_narrow(f: Formula, a: Tensor, b: Tensor, differ: Tensor) -> Tensor:
    """a + b = (a ^ b) + 2 (a & b)."""
    return f("RIGHT_SHIFT", f("SUB", f("ADD", a, b), differ), 1)


def _and_of_int32(f: Formula, a: Tensor, b: Tensor, differ: Tensor) -> Tensor:
    """The same without leaving 32 bits: halves first, the lowest bit apart."""
    half_a, half_b, half = (f("RIGHT_SHIFT", t, 1) for t in (a, b, differ))
    upper = f("SUB", f("ADD", half_a, half_b), half)
    # a + b - (a ^ b) loses in its lowest bits exactly what (a & 1) and (b & 1) carry over.
    lowest = f("MUL", f("FLOOR_MOD", a, 2), f("FLOOR_MOD", b, 2))
    return f("ADD", upper, lowest)


def bitwise_not(f: Formula, tensor: Tensor) -> Tensor:
    """-1 - x, which is every bit turned."""
    if tensor.dtype == np.int64:
        return f("SUB", f.constant(-1, np.int64), tensor)
    return f("BITWISE_XOR", tensor, 255 if tensor.dtype == np.uint8 else -1)


def shift_left(f: Formula, tensor: Tensor, count: Tensor) -> Tensor:
    """x * 2**n; nothing is left at counts from the width on, or below zero."""
    width = tensor.dtype.itemsize * 8
    wide = widen(f, tensor)
    powers = [2**n % 2 ** (wide.dtype.itemsize * 8) for n in range(width)]
    unsigned = np.array([*powers, 0], np.uint64)
    table = f.constant(unsigned.astype(wide.dtype), wide.dtype)
    index = f.cast(_within(f, count, width), np.int32)
    factor = _take(f, table, index)
    return f.cast(f("MUL", wide, factor), tensor.dtype)


def shift_right(f: Formula, tensor: Tensor, count: Tensor) -> Tensor:
    """floor(x / 2**n): arithmetic for signed types; only the sign is left at counts from the width on."""
    if tensor.dtype == np.int64:
        return _shift_right_int64(f, tensor, count)
    wide = f.cast(tensor, np.int32)
    # int32 holds no 32: 31 leaves only the sign too.
    return f.cast(f("RIGHT_SHIFT", wide, f.cast(_within(f, count, 31), np.int32)), tensor.dtype)


def _shift_right_int64(f: Formula, tensor: Tensor, count: Tensor) -> Tensor:
    """No kernel shifts int64: divided by a power of two, the remainder taken off first."""
    table = f.constant([*(2**n for n in range(63)), 2**62], np.int64)
    inside = _within(f, count, 63)
    index = f.cast(inside, np.int32)
    divisor = _take(f, table, index)
    exact = divide(f, f("SUB", tensor, f("FLOOR_MOD", tensor, divisor)), divisor)
    sign_only = f.where(f("LESS", tensor, 0), f.constant(-1, np.int64), 0)
    return f.where(f("LESS", inside, 63), exact, sign_only)


def _within(f: Formula, count: Tensor, limit: int) -> Tensor:
    """``count`` held to 0...limit, a negative one taken as ``limit``: ONNX reads it as a large unsigned number."""
    wide = widen(f, count)
    held = f("MINIMUM", wide, limit)
    return (
        held if count.dtype == np.uint8 else f.where(f("LESS", wide, 0), f.constant(limit, wide.dtype), held)
    )


def _take(f: Formula, table: Tensor, index: Tensor) -> Tensor:
    name = f"{f.name}/power"
    return f.low.emit("GATHER", [table, index], index.shape, name, dtype=table.dtype, options={"axis": 0})
