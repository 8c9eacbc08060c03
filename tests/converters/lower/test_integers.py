"""Integers of every width: exact, with ONNX's wrap-around, at the edges of their types."""

import numpy as np
import pytest
from converters.onnx_cases import (
    RUNTIMES,
    Case,
    ask_onnxruntime,
    case,
    feeds_of,
    lowered,
    model_of,
    network_of,
)

from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.verify import Layouts, run_case, to_stored

TYPES = (np.int8, np.uint8, np.int16, np.int32, np.int64)
SIGNED = (np.int8, np.int16, np.int32, np.int64)
WIDE = (np.int32, np.int64)
NOT_INT16 = (np.int8, np.uint8, np.int32, np.int64)
"""onnxruntime chooses between int16 in no operator."""
NCHW_TO_NHWC = "a = MaxPool<kernel_shape=[1,1]>(x0) b = Cast<to=6>(a)"


def exactly(this: Case) -> None:
    """Convert a case and demand onnxruntime's very numbers, in both runtimes, twice in a row."""
    model = model_of(this)
    check_exactly(this, [ask_onnxruntime(model, feed) for feed in feeds_of(this)])


def check_exactly(this: Case, expected: list[dict[str, Array]]) -> None:
    low = lowered(model_of(this))
    network, layouts = network_of(low), Layouts(low.input_layouts, low.output_layouts)
    for runtime in RUNTIMES:
        backend = open_backend(network, "tflite", name=runtime, threads=1)
        for feed, wanted in zip(feeds_of(this), expected, strict=True):
            got = run_case(backend, to_stored(backend, feed, layouts), layouts)
            for name, want in wanted.items():
                np.testing.assert_array_equal(got[name], want, err_msg=f"{name} in {runtime}")
                assert got[name].dtype == want.dtype
        backend.close()


def edges(dtype: type[np.generic], *, avoid_zero: bool = False) -> Array:
    """The ends of a type and what lies about zero, eight numbers."""
    info = np.iinfo(dtype)  # type: ignore[type-var]  # numpy's stub knows no dtype by name
    low = -7 if info.min < 0 else 11
    values = [info.min, info.max, 0, 1, 2, low, 77, info.max // 2]
    return np.array([3 if avoid_zero and not v else v for v in values], dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("operator", ("Add", "Sub", "Mul"))
def test_arithmetic_wraps_around(operator: str, dtype: type[np.generic]) -> None:
    exactly(case(f"y = {operator}(x, x2)", x=edges(dtype), x2=edges(dtype)[::-1].copy(), opset=14))


@pytest.mark.parametrize("dtype", TYPES)
def test_division_rounds_towards_zero(dtype: type[np.generic]) -> None:
    divisors = np.array([3, 2, 7, 1, 5, 2, 10, 9], dtype)
    exactly(case("y = Div(x, x2)", x=edges(dtype), x2=divisors, opset=14))
    if np.iinfo(dtype).min < 0:  # type: ignore[type-var]  # numpy's stub knows no dtype by name
        exactly(case("y = Div(x, x2)", x=edges(dtype)[1:], x2=-divisors[1:], opset=14))


def test_division_of_int64_is_exact_to_the_last_bit() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(-(2**63), 2**63 - 1, 400)
    b = rng.integers(1, 2**62, 400) >> rng.integers(0, 61, 400)
    b = np.where(b == 0, 1, b) * rng.choice([-1, 1], 400)
    near = np.concatenate([b[:200] * 5 - 1, b[:200] * 5])
    exactly(case("y = Div(x, c)", x=a, c=b))
    exactly(case("y = Div(x, c)", x=near, c=np.concatenate([b[:200], b[:200]])))


@pytest.mark.parametrize("fmod", (0, 1))
@pytest.mark.parametrize("dtype", TYPES)
def test_remainder_with_either_sign(dtype: type[np.generic], fmod: int) -> None:
    divisors = np.array([3, 2, 7, 1, 5, 2, 10, 9], dtype)
    exactly(case(f"y = Mod<fmod={fmod}>(x, x2)", x=edges(dtype), x2=divisors))
    if np.iinfo(dtype).min < 0:  # type: ignore[type-var]  # numpy's stub knows no dtype by name
        exactly(case(f"y = Mod<fmod={fmod}>(x, x2)", x=edges(dtype), x2=-divisors))


def test_remainder_of_floats() -> None:
    a = np.array([-7.5, 7.5, 3.0, -0.25], np.float32)
    exactly(case("y = Mod<fmod=1>(x, x2)", x=a, x2=np.array([2, -2, 1.5, -3], np.float32)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("operator", ("Abs", "Sign"))
def test_magnitude_and_sign(operator: str, dtype: type[np.generic]) -> None:
    exactly(case(f"y = {operator}(x)", x=edges(dtype)[1:]))


@pytest.mark.parametrize("dtype", SIGNED)
def test_negation(dtype: type[np.generic]) -> None:
    exactly(case("y = Neg(x)", x=edges(dtype)[1:]))


@pytest.mark.parametrize("dtype", NOT_INT16)
@pytest.mark.parametrize("operator", ("Max", "Min"))
def test_extremes(operator: str, dtype: type[np.generic]) -> None:
    exactly(case(f"y = {operator}(x, x2)", x=edges(dtype), x2=edges(dtype)[::-1].copy()))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("operator", ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"))
def test_comparisons(operator: str, dtype: type[np.generic]) -> None:
    exactly(case(f"y = {operator}(x, x2)", x=edges(dtype), x2=np.roll(edges(dtype), 1), opset=19))
    exactly(case(f"y = {operator}(x, c)", x=edges(dtype), c=np.array(1, dtype), opset=19))


@pytest.mark.parametrize("dtype", WIDE)
def test_powers(dtype: type[np.generic]) -> None:
    bases, exponents = np.array([-3, 2, 1, -1, 7, 0, 5], dtype), np.array([3, 10, 99, 67, 0, 4, 1], dtype)
    exactly(case("y = Pow(x, x2)", x=bases, x2=exponents))
    exactly(case("y = Pow(x, c)", x=bases, c=np.array(5, dtype)))
    exactly(case("y = Pow(x, c)", x=bases, c=np.array(0, dtype)))
    exactly(case("y = Pow(x, x2)", x=np.array([2, 3, 1, -1], dtype), x2=np.array([-1, -2, -3, -4], dtype)))


def test_powers_of_mixed_types() -> None:
    small = np.array([1, 2, 3], np.int32)
    exactly(case("y = Pow(x, x2)", x=small, x2=np.array([4, 5, 6], np.float32)))
    exactly(case("y = Pow(x, x2)", x=small.astype(np.float32), x2=np.array([4, 5, -1], np.int64)))
    exactly(case("y = Pow(x, c)", x=np.array([1001, -46340], np.int64), c=np.float32(2)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("operator", ("BitwiseAnd", "BitwiseOr", "BitwiseXor"))
def test_bits_of_two(operator: str, dtype: type[np.generic]) -> None:
    exactly(case(f"y = {operator}(x, x2)", x=edges(dtype), x2=np.roll(edges(dtype), 3), opset=18))
    exactly(case(f"y = {operator}(x, c)", x=edges(dtype), c=np.array(0x55, dtype), opset=18))


@pytest.mark.parametrize("dtype", TYPES)
def test_bits_turned(dtype: type[np.generic]) -> None:
    exactly(case("y = BitwiseNot(x)", x=edges(dtype), opset=18))


@pytest.mark.parametrize("direction", ("LEFT", "RIGHT"))
def test_shift_of_bytes(direction: str) -> None:
    body = f'y = BitShift<direction="{direction}">(x, x2)'
    exactly(case(body, x=np.array([200, 7, 255, 128, 1], np.uint8), x2=np.array([1, 2, 7, 0, 3], np.uint8)))


@pytest.mark.parametrize("dtype", SIGNED)
@pytest.mark.parametrize("direction", ("LEFT", "RIGHT"))
def test_shift_of_signed_integers(direction: str, dtype: type[np.generic]) -> None:
    """Against Python's own shifts: an arithmetic one to the right, wrapping to the left."""
    width = np.dtype(dtype).itemsize * 8
    values, counts = edges(dtype), np.array([1, 2, 3, 0, width - 1, 1, width, 5], dtype)
    bits = [
        int(v) >> int(n) if direction == "RIGHT" else int(v) << int(n)
        for v, n in zip(values, counts, strict=True)
    ]
    want = np.array([b % 2**width for b in bits], np.uint64).astype(f"u{width // 8}").view(dtype)
    this = case(f'y = BitShift<direction="{direction}">(x, x2)', x=values, x2=counts, opset=28)
    check_exactly(this, [{"y": want}] * 2)


@pytest.mark.parametrize("dtype", NOT_INT16)
def test_clip_of_integers(dtype: type[np.generic]) -> None:
    exactly(case("y = Clip(x, l, h)", x=edges(dtype), l=np.array(1, dtype), h=np.array(50, dtype)))
    exactly(case("y = Clip(x, , x2)", x=edges(dtype), x2=np.array(50, dtype)))


@pytest.mark.parametrize("dtype", NOT_INT16)
def test_choice_between_integers(dtype: type[np.generic]) -> None:
    odd = np.arange(8) % 3 == 0
    exactly(case("y = Where(x2, x, c)", x=edges(dtype), x2=odd, c=np.array(4, dtype)))


def test_integers_behind_a_pooling_keep_its_layout() -> None:
    numbers = np.arange(-60, 60, dtype=np.float32).reshape(1, 4, 5, 6)
    per_channel = np.array([3, -2, 5, 7], np.int32).reshape(4, 1, 1)
    for body in ("y = Mod<fmod=1>(b, c)", "y = BitwiseOr(b, c)", "y = Div(b, c)", "y = Pow(b, two)"):
        values: dict[str, object] = (
            {"c": per_channel} if "c" in body.partition("(")[2] else {"two": np.int32(2)}
        )
        exactly(case(f"{NCHW_TO_NHWC} {body}", x0=numbers, opset=18, **values))


def test_operands_of_more_axes_than_kernels_broadcast() -> None:
    x, c = np.arange(-48, 48, dtype=np.int32).reshape(2, 1, 3, 2, 4, 2), np.arange(1, 9, dtype=np.int32)
    for operator in ("Mod", "BitwiseAnd", "Max", "Less", "Div"):
        exactly(case(f"y = {operator}(x, c)", x=x, c=c.reshape(4, 1, 2, 1, 1), opset=18))
