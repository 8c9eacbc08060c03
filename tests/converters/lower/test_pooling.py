"""Poolings in both runtimes against onnxruntime."""

import pytest
from converters.onnx_cases import Case, case, check, check_or_refused, kinds

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


HARD = {
    "indices as an output": case("y, y2 = MaxPool<kernel_shape=[2,2]>(x)", x=X),
    "indices that another node reads": case("y, i = MaxPool<kernel_shape=[2,2]>(x) y2 = Cast<to=1>(i)", x=X),
    "dilated": case("y = MaxPool<kernel_shape=[2,2],dilations=[2,2]>(x)", x=X),
    "ceil and counted padding": case(
        "y = AveragePool<kernel_shape=[3,3],strides=[2,2],ceil_mode=1,count_include_pad=1,pads=[1,1,1,1]>(x)",
        x=X,
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_what_tflite_has_no_word_for_is_right_or_refused(name: str) -> None:
    check_or_refused(HARD[name], "AveragePool" if "Average" in HARD[name].body else "MaxPool")


def test_global_pool_and_flatten_move_no_data() -> None:
    assert "TRANSPOSE" not in kinds(check(POOLS["global average and flatten"]))
