"""Reductions of every kind, arg max of every type, running sums and products."""

import numpy as np
import pytest
from converters.lower.test_integers import exactly
from converters.onnx_cases import case, check, kinds, lowered, model_of

from edgewise_converters.errors import SourceError, UnsupportedOperator

X, W = (1, 4, 5, 6), (4, 4, 1, 1)
COMPOUND = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")
TIES = np.array([[3, 1, 3, 1], [0, 0, 0, 0], [-5, 7, 7, -5]])


@pytest.mark.parametrize("keep", (0, 1))
@pytest.mark.parametrize("operator", COMPOUND)
def test_compound_reductions(operator: str, keep: int) -> None:
    for axes in ([1], [2, 3], [0, 1, 2, 3], [-2]):
        check(case(f"a = Conv(x, w) y = {operator}<axes={axes},keepdims={keep}>(a)", x=X, w=W))
    check(case(f"y = {operator}<keepdims={keep}>(x, a)", x=(2, 3, 4), a=np.array([1]), opset=18))
    check(case(f"y = {operator}<keepdims={keep}>(x)", x=(3, 4), opset=18))


def test_log_of_a_sum() -> None:
    check(case("a = Conv(x, w) b = Abs(a) y = ReduceLogSum<axes=[1]>(b)", x=X, w=W))


def test_log_sum_exp_of_large_numbers_and_of_nothing_but_minus_infinity() -> None:
    x = np.array([[1000, 1000, 999], [-1000, -1001, -1000], [0, -np.inf, 1]], np.float32)
    check(case("y = ReduceLogSumExp<axes=[1]>(x)", x=x))


@pytest.mark.parametrize("dtype", (np.int32, np.int64))
@pytest.mark.parametrize(
    "operator",
    ("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL1", "ReduceSumSquare"),
)
def test_reductions_of_integers(operator: str, dtype: type[np.generic]) -> None:
    exactly(case(f"y = {operator}<keepdims=0>(x, a)", x=TIES.astype(dtype), a=np.array([1]), opset=18))


@pytest.mark.parametrize("operator", ("ReduceMax", "ReduceMin"))
def test_extremes_of_bytes_and_booleans(operator: str) -> None:
    for dtype in (np.int8, np.uint8):
        exactly(case(f"y = {operator}(x, a)", x=np.abs(TIES).astype(dtype), a=np.array([1]), opset=18))
    for axis in (0, 1):
        exactly(case(f"y = {operator}(x, a)", x=TIES > 0, a=np.array([axis]), opset=20))


def test_reduction_over_computed_axes_is_refused() -> None:
    body = "y = ReduceSum<keepdims=1>(x, x2)"
    with pytest.raises((UnsupportedOperator, SourceError), match="ReduceSum"):
        lowered(model_of(case(body, x=(2, 3), x2=np.array([1]), opset=13)))


def test_mean_over_much_space_is_taken_in_two_steps() -> None:
    low = check(case("a = Conv(x, w) y = GlobalAveragePool(a)", x=(1, 4, 48, 64), w=W))
    assert kinds(low).count("MEAN") == 2
    check(case("y = ReduceMean<axes=[2,3],keepdims=0>(x)", x=(1, 4, 48, 64)))
    check(case("y = ReduceSum<axes=[2,3],keepdims=0>(x)", x=(1, 4, 48, 64), opset=11))
    assert kinds(check(case("y = GlobalAveragePool(x)", x=(1, 4, 7, 7)))).count("MEAN") == 1


@pytest.mark.parametrize("last", (0, 1))
@pytest.mark.parametrize("operator", ("ArgMax", "ArgMin"))
def test_arg_of_equals_is_the_first_or_the_last(operator: str, last: int) -> None:
    for dtype in (np.float32, np.int32, np.int8, np.uint8):
        x = np.abs(TIES).astype(dtype)
        exactly(case(f"y = {operator}<axis=1,select_last_index={last}>(x)", x=x))
        exactly(case(f"y = {operator}<axis=0,keepdims=0,select_last_index={last}>(x)", x=x))
    image = (np.arange(120) % 7).astype(np.float32).reshape(X)
    exactly(
        case(
            f"a = MaxPool<kernel_shape=[1,1]>(x) y = {operator}<axis=1,select_last_index={last}>(a)", x=image
        )
    )


def test_arg_of_int64_tells_apart_what_float_could_not() -> None:
    x = np.array([[2**53, 2**53 + 1, 2**53], [-5, -(2**60), -(2**60) - 1]])
    for operator in ("ArgMax", "ArgMin"):
        exactly(case(f"y = {operator}<axis=1>(x)", x=x))


@pytest.mark.parametrize("axis", (1, 2, -1))
@pytest.mark.parametrize("options", ("", "<reverse=1>", "<exclusive=1>", "<exclusive=1,reverse=1>"))
def test_running_sums(options: str, axis: int) -> None:
    check(case(f"a = Conv(x, w) y = CumSum{options}(a, c)", x=X, w=W, c=np.array(axis)))
    exactly(case(f"y = CumSum{options}(x, c)", x=np.arange(24).reshape(2, 3, 4), c=np.array(axis)))


@pytest.mark.parametrize("options", ("", "<reverse=1>", "<exclusive=1>", "<exclusive=1,reverse=1>"))
def test_running_products(options: str) -> None:
    exactly(case(f"y = CumProd{options}(x, c)", x=TIES.astype(np.int32), c=np.array(1), opset=26))


def test_hardmax_of_old_opsets_flattens_from_its_axis_on() -> None:
    check(case("y = Hardmax(x)", x=(2, 3, 4), opset=11))
    check(case("y = Hardmax<axis=2>(x)", x=(2, 3, 4), opset=12))
