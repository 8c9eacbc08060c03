"""Functions of one number: over their whole range and at its ends, in both runtimes and behind a convolution."""

import math

import numpy as np
import pytest
from converters.onnx_cases import (
    RUNTIMES,
    Case,
    ask_onnxruntime,
    case,
    check,
    kinds,
    lowered,
    model_of,
    network_of,
)

from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.verify import Layouts, run_case, to_stored

X, W = (1, 4, 5, 6), (4, 4, 1, 1)
FLOAT32_ULPS = 16
"""What a formula of a dozen operators may lose: a bit and a half more than each rounding's half unit."""
_LARGE_EXPONENTS = 1e-5
"""LiteRT's EXP is 22 units off at 23 already."""
SMALL = np.linspace(-9, 9, 4001).astype(np.float32)
INSIDE = np.linspace(-1, 1, 4001).astype(np.float32)
AROUND = np.concatenate([np.linspace(-9, 9, 4000), np.geomspace(1e-30, 1e-3, 200)]).astype(np.float32)
ABOVE_ONE = np.concatenate([1 + np.geomspace(1e-6, 1, 500), np.geomspace(2, 1e30, 500)]).astype(np.float32)
FUNCTIONS: dict[str, tuple[np.ufunc, Array]] = {
    "Asin": (np.arcsin, INSIDE), "Acos": (np.arccos, INSIDE), "Atan": (np.arctan, AROUND),
    "Sinh": (np.sinh, AROUND), "Cosh": (np.cosh, AROUND), "Asinh": (np.arcsinh, np.concatenate([AROUND, ABOVE_ONE])),
    "Acosh": (np.arccosh, ABOVE_ONE), "Atanh": (np.arctanh, INSIDE[1:-1]), "Erf": (np.vectorize(math.erf), AROUND),
    "Tan": (np.tan, INSIDE), "Softplus": (np.vectorize(lambda x: np.logaddexp(0.0, x)), SMALL),
}  # fmt: skip
ACTIVATIONS = (
    "Celu", "Celu<alpha=0.4>", "Selu", "Selu<alpha=1.1,gamma=0.7>", "Elu<alpha=2.0>", "ThresholdedRelu",
    "ThresholdedRelu<alpha=0.2>", "Mish", "Shrink<lambd=0.4,bias=0.1>", "Softplus", "Softsign", "Gelu",
    'Gelu<approximate="tanh">', "LogSoftmax<axis=1>", "Softmax<axis=1>", "Hardmax<axis=1>", "Round", "Sign", "Erf",
    "Atan", "Sinh", "Cosh", "Asinh", "LeakyRelu", "HardSwish", "Softmax<axis=2>", "Hardmax<axis=3>",
)  # fmt: skip


def answers(this: Case) -> dict[str, Array]:
    """By runtime, the output of a case."""
    model = model_of(this)
    feed = {name: np.asarray(value) for name, value in this.values.items() if name.startswith("x")}
    low = lowered(model)
    layouts, result = Layouts(low.input_layouts, low.output_layouts), {}
    for runtime in RUNTIMES:
        backend = open_backend(network_of(low), "tflite", name=runtime, threads=1)
        result[runtime] = run_case(backend, to_stored(backend, feed, layouts), layouts)["y"]
        backend.close()
    return result


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_right_to_the_last_bits_of_float32(name: str) -> None:
    truth, x = FUNCTIONS[name]
    want = truth(x.astype(np.float64))
    unit = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    for runtime, got in answers(case(f"y = {name}(x)", x=x)).items():
        off = np.max(np.abs(got - want) / unit)
        assert off <= FLOAT32_ULPS, f"{name} in {runtime}: {off:.0f} units off"


def test_functions_at_the_ends_of_their_range() -> None:
    ends = {
        "Asin": [-1, 1, 2], "Acos": [-1, 1, 2], "Atan": [-np.inf, np.inf, 0], "Sinh": [88.9, -88.9, np.inf],
        "Cosh": [88.9, -88.9, -np.inf], "Asinh": [0, 1e30, -1e30], "Acosh": [1, 0.5, 1e30], "Atanh": [-1, 1, 0],
        "Erf": [-np.inf, np.inf, 0],
    }  # fmt: skip
    for name, values in ends.items():
        x = np.array(values, np.float32)
        this = case(f"y = {name}(x)", x=x)
        want = ask_onnxruntime(model_of(this), {"x": x})["y"]
        for got in answers(this).values():
            np.testing.assert_allclose(got, want, rtol=_LARGE_EXPONENTS, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("operator", ACTIVATIONS)
def test_activations_behind_a_convolution(operator: str) -> None:
    low = check(case(f"a = Conv(x, w) y = {operator}(a)", x=X, w=W, opset=20))
    assert kinds(low).count("TRANSPOSE") <= 2
    check(case(f"y = {operator}(x)", x=X, opset=20))


def test_swish() -> None:
    this = case("y = Swish<alpha=1.5>(x)", x=INSIDE, opset=24)
    want = INSIDE / (1 + np.exp(-1.5 * INSIDE))
    for got in answers(this).values():
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def test_relu_of_integers() -> None:
    x = np.array([-5, 0, 7], np.int32)
    assert all((got == [0, 0, 7]).all() for got in answers(case("y = Relu(x)", x=x, opset=14)).values())


def test_not_a_number_and_infinity_are_told_apart() -> None:
    x = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    for operator, want in {
        "IsNaN": [False, True, False, False],
        "IsInf": [False, False, True, True],
        "IsInf<detect_negative=0>": [False, False, True, False],
        "IsInf<detect_positive=0>": [False, False, False, True],
        "IsInf<detect_positive=0,detect_negative=0>": [False] * 4,
    }.items():
        for got in answers(case(f"y = {operator}(x)", x=x, opset=20)).values():
            np.testing.assert_array_equal(got, want, err_msg=operator)


def test_rounding_goes_to_even() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -2.5], np.float32)
    for got in answers(case("y = Round(x)", x=x)).values():
        np.testing.assert_array_equal(got, [0, 2, 2, 0, -2])


def test_exclusive_or() -> None:
    check(case("a = Xor(x, x2) y = Cast<to=1>(a)", x=np.array([True, False]), x2=np.array([[True], [False]])))


def test_celu_of_a_negative_alpha_is_refused() -> None:
    with pytest.raises(UnsupportedOperator, match=r"Celu.*alpha is -1, expected a positive one"):
        lowered(model_of(case("y = Celu<alpha=-1.0>(x)", x=X)))


SLOPES: dict[str, tuple[int, ...]] = {
    "of a batch": (2, 4, 5, 6),
    "columns": (6,),
    "scalar": (),
    "rows": (5, 1),
}


@pytest.mark.parametrize("shape", SLOPES.values(), ids=SLOPES)
def test_prelu_takes_any_slope_that_broadcasts(shape: tuple[int, ...]) -> None:
    check(case("y = PRelu(x, s)", x=(2, 4, 5, 6), s=shape))
    check(case("a = Conv(x, w) y = PRelu(a, x2)", x=(2, 4, 5, 6), w=W, x2=shape))
    check(case("y = PRelu(x, x2)", x=(2, 3, 4, 5, 6), x2=(4, 1, 6)))


@pytest.mark.parametrize("power", (1, 2, 3, -1, 0.5, -2))
def test_powers_of_floats(power: float) -> None:
    check(case("a = Conv(x, w) b = Abs(a) y = Pow(b, c)", x=X, w=W, c=np.float32(power), positive=True))
    check(case("y = Pow(x, c)", x=X, c=np.array([power], np.int64), positive=True))


def test_clip_to_an_infinity_on_the_wrong_side() -> None:
    for bound, name in ((np.inf, "y = Clip(x, c)"), (-np.inf, "y = Clip(x, , c)")):
        for got in answers(case(name, x=INSIDE, c=np.float32(bound))).values():
            assert (got == bound).all()
