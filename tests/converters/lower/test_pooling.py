"""Poolings in both runtimes against onnxruntime."""

import pytest
from converters.onnx_cases import Case, case, check, kinds, lowered, model_of

from edgewise_converters.errors import UnsupportedOperator

X = (1, 3, 11, 8)

POOLS = {
    "max": case("y = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x)", x=X),
    "max without strides": case("y = MaxPool<kernel_shape=[3,2]>(x)", x=X),
    "max padded": case("y = MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)", x=X),
    "max padded at even size": case("y = MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)", x=(1, 3, 8, 8)),
    "max with asymmetric pads": case("y = MaxPool<kernel_shape=[3,3],pads=[2,0,1,2]>(x)", x=X),
    "max with ceil": case("y = MaxPool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1>(x)", x=X),
    "max with ceil and pads": case("y = MaxPool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1,pads=[1,1,1,1]>(x)", x=X),
    "max SAME_UPPER": case('y = MaxPool<kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_UPPER">(x)', x=X),
    "max SAME_LOWER": case('y = MaxPool<kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_LOWER">(x)', x=(1, 3, 8, 8)),
    "max VALID": case('y = MaxPool<kernel_shape=[3,3],strides=[2,2],auto_pad="VALID">(x)', x=X),
    "max at opset 7": case("y = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x)", x=X, opset=7),
    "max at opset 12": case("y = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x)", x=X, opset=12),
    "average": case("y = AveragePool<kernel_shape=[2,2],strides=[2,2]>(x)", x=X),
    "average padded": case("y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)", x=X),
    "average padded at even size": case(
        "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(x)", x=(1, 3, 8, 8)
    ),
    "average counting its padding": case(
        "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],count_include_pad=1>(x)", x=X
    ),
    "average counting asymmetric padding": case(
        "y = AveragePool<kernel_shape=[3,3],pads=[0,1,2,0],count_include_pad=1>(x)", x=X
    ),
    "average with asymmetric pads": case("y = AveragePool<kernel_shape=[3,3],pads=[0,1,2,0]>(x)", x=X),
    "average with ceil": case("y = AveragePool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1>(x)", x=(1, 3, 8, 8)),
    "average with ceil and pads": case(
        "y = AveragePool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1,pads=[1,1,1,1]>(x)", x=(1, 3, 8, 8)
    ),
    "average with ceil that changes nothing, counting": case(
        "y = AveragePool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1,count_include_pad=1>(x)", x=(1, 3, 8, 8)
    ),
    "average SAME_UPPER": case('y = AveragePool<kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_UPPER">(x)', x=X),
    "average SAME_LOWER": case(
        'y = AveragePool<kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_LOWER">(x)', x=(1, 3, 8, 8)
    ),
    "average at opset 7": case("y = AveragePool<kernel_shape=[2,2],strides=[2,2]>(x)", x=X, opset=7),
    "average at opset 19": case("y = AveragePool<kernel_shape=[2,2],strides=[2,2]>(x)", x=X, opset=19),
    "global average": case("y = GlobalAveragePool(x)", x=X),
    "global max": case("y = GlobalMaxPool(x)", x=X),
    "global average of a series": case("y = GlobalAveragePool(x)", x=(1, 3, 11)),
    "global average and flatten": case("a = GlobalAveragePool(x) y = Flatten(a)", x=X),
}  # fmt: skip


@pytest.mark.parametrize("this", POOLS.values(), ids=POOLS)
def test_pool_answers_as_onnxruntime(this: Case) -> None:
    check(this)


def test_indices_that_are_used_are_refused() -> None:
    this = case("y, y2 = MaxPool<kernel_shape=[2,2]>(x)", x=X)
    with pytest.raises(UnsupportedOperator, match=r"MaxPool.*indices"):
        lowered(model_of(this))


def test_indices_that_another_node_reads_are_refused() -> None:
    this = case("y, i = MaxPool<kernel_shape=[2,2]>(x) y2 = Cast<to=1>(i)", x=X)
    with pytest.raises(UnsupportedOperator, match=r"MaxPool.*indices"):
        lowered(model_of(this))


def test_dilated_pool_is_refused() -> None:
    with pytest.raises(UnsupportedOperator, match=r"MaxPool.*dilated"):
        lowered(model_of(case("y = MaxPool<kernel_shape=[2,2],dilations=[2,2]>(x)", x=X)))


def test_global_pool_and_flatten_move_no_data() -> None:
    assert "TRANSPOSE" not in kinds(check(POOLS["global average and flatten"]))
