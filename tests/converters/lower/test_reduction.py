"""Reductions and softmax, along any axis, in whatever order the data lies."""

import numpy as np
import pytest
from converters.onnx_cases import case, check, check_or_refused, kinds

X = (1, 4, 5, 6)
W = (4, 4, 1, 1)
AXES = ([1], [2, 3], [-1], [0], [1, 2], [0, 1, 2, 3])


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
def test_reduction_behind_a_convolution(operator: str, axes: list[int], keep: int) -> None:
    check(case(f"a = Conv(x, w) y = {operator}<axes={axes},keepdims={keep}>(a)", x=X, w=W))


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"])
def test_reduction_takes_its_axes_from_attribute_or_input(operator: str) -> None:
    check(case(f"y = {operator}<axes=[1],keepdims=0>(x)", x=(2, 3, 4), opset=11))
    check(case(f"y = {operator}(x, a)", x=(2, 3, 4), a=np.array([-1]), opset=18))
    check(case(f"y = {operator}(x)", x=(2, 3), opset=18))


def test_reduction_of_no_axes_may_do_nothing() -> None:
    check(case("a = ReduceSum<noop_with_empty_axes=1>(x) y = Relu(a)", x=(2, 3), opset=13))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_softmax_on_any_axis(operator: str, axis: int) -> None:
    check(case(f"y = {operator}<axis={axis}>(x)", x=X))
    check(case(f"a = Conv(x, w) y = {operator}<axis={axis}>(a)", x=X, w=W))


@pytest.mark.parametrize("opset", [7, 11, 12])
@pytest.mark.parametrize("axis", ["", "<axis=2>", "<axis=3>"])
def test_softmax_of_old_opsets_flattens_from_its_axis_on(axis: str, opset: int) -> None:
    check(case(f"y = Softmax{axis}(x)", x=X, opset=opset))
    check(
        case(
            f"a = Conv(x, w) b = Flatten(a) y = Softmax{axis if axis == '' else '<axis=1>'}(b)",
            x=X,
            w=W,
            opset=opset,
        )
    )


def test_softmax_over_channels_of_an_image_moves_nothing() -> None:
    assert kinds(check(case("a = Conv(x, w) y = Softmax<axis=1>(a)", x=X, w=W))) == ["CONV_2D", "SOFTMAX"]


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axis", [1, -1, 2])
@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
def test_arg_gives_int64(operator: str, axis: int, keep: int) -> None:
    check(case(f"a = Conv(x, w) y = {operator}<axis={axis},keepdims={keep}>(a)", x=X, w=W))


def test_arg_of_the_last_index_is_right_or_refused() -> None:
    check_or_refused(
        case("y = ArgMax<axis=1,select_last_index=1>(x)", x=np.ones((1, 4, 2), np.float32)), "ArgMax"
    )
