"""Element by element: in ONNX's order, behind a convolution (so in NHWC), and with operands of lower rank."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, check_or_refused, kinds

X = (1, 4, 5, 6)
W = (4, 4, 1, 1)
UNARY = (
    "Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "HardSigmoid<alpha=0.16666667,beta=0.5>",
    "HardSigmoid<alpha=0.3,beta=0.1>", "Abs", "Neg", "Exp", "Floor", "Ceil", "Sin", "Cos", "LeakyRelu",
    "LeakyRelu<alpha=0.3>", "Elu", "Softplus", "Softsign", "Identity",
)  # fmt: skip
POSITIVE = ("Log", "Sqrt", "Reciprocal")
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
SHAPES: dict[str, tuple[int, ...]] = {
    "same": X, "channels": (4, 1, 1), "channels of one batch": (1, 4, 1, 1), "rows and columns": (5, 6),
    "columns": (6,), "rows": (5, 1), "one": (1,), "scalar": (), "all but channels": (1, 1, 5, 6),
}  # fmt: skip


@pytest.mark.parametrize("operator", UNARY)
def test_unary(operator: str) -> None:
    check(case(f"y = {operator}(x)", x=X))
    check(case(f"a = Conv(x, w) y = {operator}(a)", x=X, w=W))


@pytest.mark.parametrize("operator", POSITIVE)
def test_unary_of_positive_numbers(operator: str) -> None:
    check(case(f"y = {operator}(x)", x=X, positive=True))


def test_gelu_exact_and_with_tanh() -> None:
    check(case("y = Gelu(x)", x=X, opset=20))
    check(case('y = Gelu<approximate="tanh">(x)', x=X, opset=20))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("operator", BINARY)
def test_binary_with_a_constant(operator: str, shape: tuple[int, ...]) -> None:
    check(case(f"y = {operator}(x, c)", x=X, c=shape, positive=operator == "Div"))
    check(
        case(
            f"a = MaxPool<kernel_shape=[1,1]>(x) y = {operator}(c, a)",
            x=X,
            c=shape,
            positive=operator == "Div",
        )
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("operator", ("Add", "Sub", "Mul", "Max"))
def test_binary_with_a_computed_operand_of_any_rank(operator: str, shape: tuple[int, ...]) -> None:
    check(case(f"a = Conv(x, w) y = {operator}(a, x2)", x=X, w=W, x2=shape))
    check(case(f"a = Conv(x, w) y = {operator}(x2, a)", x=X, w=W, x2=shape))


def test_both_operands_broadcast() -> None:
    check(case("y = Add(x, x2)", x=(1, 4, 1, 6), x2=(1, 1, 5, 1)))
    check(case("y = Mul(x, x2)", x=(3, 1), x2=(2, 1, 5)))


def test_operands_in_different_layouts() -> None:
    check(case("a = Conv(x, w) b = Reshape(x2, s) y = Add(a, b)", x=X, w=W, x2=(120,), s=np.array(X)))


def test_variadic_operators_take_any_number() -> None:
    for operator in ("Max", "Min", "Sum", "Mean"):
        check(case(f"y = {operator}(x, x2, c)", x=X, x2=X, c=(4, 1, 1)))
        check(case(f"a = Relu(x) b = {operator}(a) y = Neg(b)", x=X))


def test_pow() -> None:
    check(case("y = Pow(x, c)", x=X, c=np.float32(2)))
    check(case("y = Pow(x, c)", x=X, c=np.float32(0.5), positive=True))


@pytest.mark.parametrize("operator", COMPARISONS)
def test_comparisons_give_booleans(operator: str) -> None:
    grid = np.arange(12, dtype=np.float32).reshape(3, 4) % 5
    check(case(f"y = {operator}(x, c)", x=grid, c=np.full((4,), 2, np.float32)))


def test_logic() -> None:
    yes = np.array([[True, False], [True, True]])
    check(case("a = Not(x) b = And(x, x2) c = Or(a, b) y = Cast<to=1>(c)", x=yes, x2=yes.T.copy()))


def test_where_broadcasts() -> None:
    check(case("c = Greater(x, z) y = Where(c, x, d)", x=X, z=np.float32(0), d=(4, 1, 1)))
    check(case("a = Conv(x, w) c = Greater(a, z) y = Where(c, a, d)", x=X, w=W, z=np.float32(0), d=(1,)))


@pytest.mark.parametrize("to", [6, 7, 9])
def test_cast_and_back(to: int) -> None:
    check(case(f"a = Cast<to={to}>(x) y = Cast<to=1>(a)", x=np.array([[-1.7, 0, 2.9, 5.2]], np.float32)))


CLIPS = {
    "relu": case("y = Clip(x, low)", x=X, low=np.float32(0)),
    "relu6": case("y = Clip(x, low, high)", x=X, low=np.float32(0), high=np.float32(6)),
    "relu n1 to 1": case("y = Clip(x, low, high)", x=X, low=np.float32(-1), high=np.float32(1)),
    "any": case("y = Clip(x, low, high)", x=X, low=np.float32(-0.3), high=np.float32(0.4)),
    "upper only": case("y = Clip(x, , high)", x=X, high=np.float32(0.4)),
    "opset 7": case("y = Clip<min=-0.5,max=0.5>(x)", x=X, opset=7),
    "opset 10 relu6": case("y = Clip<min=0.0,max=6.0>(x)", x=X, opset=10),
    "unbounded": case("a = Clip(x) y = Relu(a)", x=X),
    "infinite bounds": case("y = Clip(x, low, high)", x=X, low=np.float32(0), high=np.float32(np.inf)),
    "integers": case("y = Clip(x, low, high)", x=np.arange(-4, 8, dtype=np.int32), low=np.int32(0), high=np.int32(6)),
}  # fmt: skip


@pytest.mark.parametrize("this", CLIPS.values(), ids=CLIPS)
def test_clip(this: Case) -> None:
    check(this)


def test_clip_that_a_relu_says_is_one_operator() -> None:
    assert kinds(check(CLIPS["relu6"])) == ["RELU6"]


def test_clip_with_computed_bounds_is_right_or_refused() -> None:
    check_or_refused(case("y = Clip(x, x2)", x=X, x2=np.float32(0)), "Clip")


SLOPES: dict[str, tuple[int, ...]] = {
    "channels": (4, 1, 1),
    "one": (1,),
    "full": (1, 4, 1, 1),
    "all": (4, 5, 6),
}


@pytest.mark.parametrize("shape", SLOPES.values(), ids=SLOPES)
def test_prelu_slopes(shape: tuple[int, ...]) -> None:
    check(case("y = PRelu(x, s)", x=X, s=shape))
    check(case("a = Conv(x, w) y = PRelu(a, s)", x=X, w=W, s=shape))


def test_prelu_of_a_vector() -> None:
    check(case("y = PRelu(x, s)", x=(2, 6), s=(6,)))


def test_elu_of_another_alpha_is_right_or_refused() -> None:
    check_or_refused(case("y = Elu<alpha=0.5>(x)", x=X), "Elu")


def test_dropout_computes_nothing() -> None:
    assert kinds(check(case("a = Dropout(x) y = Relu(a)", x=X, opset=10))) == ["RELU"]
    assert kinds(check(case("a = Dropout(x) y = Relu(a)", x=X, opset=13))) == ["RELU"]


@pytest.mark.parametrize("opset", [7, 13, 14, 21])
def test_add_and_relu_of_every_age(opset: int) -> None:
    check(case("a = Add(x, c) y = Relu(a)", x=X, c=(4, 1, 1), opset=opset))
