"""Convolutions and poolings over lines and volumes, and windows that TFLite's operators do not have."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds

LINE, PLANE, VOLUME = (2, 4, 17), (1, 4, 9, 8), (1, 4, 6, 7, 5)
POINTWISE = (4, 4, 1, 1)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CONVOLUTIONS = {
    "line": case("y = Conv<pads=[2,1],strides=[2]>(x, w, b)", x=LINE, w=(6, 4, 4), b=(6,)),
    "line, dilated with stride": case("y = Conv<dilations=[2],strides=[3]>(x, w)", x=LINE, w=(6, 4, 3)),
    "line, depthwise": case("y = Conv<group=4,pads=[1,1]>(x, w, b)", x=LINE, w=(4, 1, 3), b=(4,)),
    "line, grouped": case("y = Conv<group=2>(x, w)", x=LINE, w=(6, 2, 3)),
    "line, two behind each other": case("a = Conv(x, w) b = Relu(a) y = Conv(b, v)", x=LINE, w=(6, 4, 3), v=(3, 6, 1)),
    "line, one channel with a wide stride": case("y = Conv<strides=[8]>(x, w)", x=(1, 1, 128), w=(18, 1, 16)),
    "plane, dilated with stride": case(
        "y = Conv<dilations=[2,2],strides=[2,2],pads=[1,1,1,1]>(x, w)", x=PLANE, w=(6, 4, 3, 3)
    ),
    "plane, grouped and dilated, batch of two": case(
        "y = Conv<group=2,dilations=[2,1],pads=[2,1,2,1]>(x, w, b)", x=(2, 4, 9, 8), w=(6, 2, 3, 3), b=(6,)
    ),
    "plane, computed weights": case("y = Conv<pads=[1,1,1,1]>(x, x2, b)", x=PLANE, x2=(6, 4, 3, 3), b=(6,)),
    "plane, computed depthwise weights": case("y = Conv<group=4>(x, x2)", x=PLANE, x2=(4, 1, 3, 3)),
    "plane, computed bias": case("y = Conv(x, w, x2)", x=PLANE, w=(6, 4, 3, 3), x2=(6,)),
    "volume": case("y = Conv<pads=[1,1,1,1,1,1]>(x, w, b)", x=VOLUME, w=(6, 4, 3, 3, 3), b=(6,)),
    "volume, strided and dilated": case(
        "y = Conv<strides=[2,1,2],dilations=[1,2,1],pads=[1,0,1,0,2,1]>(x, w)", x=VOLUME, w=(6, 4, 3, 3, 2)
    ),
    "volume, grouped": case("y = Conv<group=2>(x, w, b)", x=VOLUME, w=(6, 2, 2, 2, 2), b=(6,)),
    "volume, computed weights": case("y = Conv(x, x2)", x=VOLUME, x2=(6, 4, 2, 2, 2)),
}  # fmt: skip
TRANSPOSED = {
    "line": case("y = ConvTranspose<strides=[2],pads=[1,0]>(x, w, b)", x=LINE, w=(4, 3, 4), b=(3,)),
    "grouped": case("y = ConvTranspose<group=2,strides=[2,2]>(x, w, b)", x=PLANE, w=(4, 3, 3, 3), b=(6,)),
    "dilated": case("y = ConvTranspose<dilations=[2,3]>(x, w)", x=PLANE, w=(4, 3, 3, 2)),
    "output padding beyond the last window": case(
        "y = ConvTranspose<strides=[3,3],output_padding=[1,2]>(x, w, b)", x=PLANE, w=(4, 3, 2, 2), b=(3,)
    ),
    "output shape": case(
        "y = ConvTranspose<strides=[3,2],output_shape=[27,15]>(x, w)", x=PLANE, w=(4, 3, 3, 3)
    ),
    "computed weights and bias": case(
        "y = ConvTranspose<strides=[2,2]>(x, x2, x3)", x=PLANE, x2=(4, 3, 3, 3), x3=(3,)
    ),
    "volume": case(
        "y = ConvTranspose<strides=[2,1,2],pads=[1,0,1,1,1,0]>(x, w, b)", x=VOLUME, w=(4, 3, 3, 2, 3), b=(3,)
    ),
    "volume, grouped with output padding": case(
        "y = ConvTranspose<group=2,strides=[2,2,2],output_padding=[1,1,1]>(x, w)", x=VOLUME, w=(4, 3, 2, 2, 2)
    ),
}  # fmt: skip
POOLINGS = {
    "max of a line": case("y = MaxPool<kernel_shape=[3],strides=[2],pads=[1,1]>(x)", x=LINE),
    "max of a volume": case("y = MaxPool<kernel_shape=[2,3,2],strides=[2,1,2],pads=[0,1,1,1,1,0]>(x)", x=VOLUME),
    "max, dilated": case("y = MaxPool<kernel_shape=[3,2],dilations=[2,3],pads=[1,0,2,1]>(x)", x=PLANE),
    "max of a volume, dilated": case("y = MaxPool<kernel_shape=[2,2,2],dilations=[2,1,2]>(x)", x=VOLUME),
    "max with indices": case(
        "a = Conv(x, w) y, i = MaxPool<kernel_shape=[3,2],strides=[2,2],pads=[1,0,1,1]>(a) y2 = Cast<to=1>(i)",
        x=(2, 4, 9, 8), w=POINTWISE,
    ),
    "max with indices counted by columns": case(
        "y, i = MaxPool<kernel_shape=[2,2],storage_order=1>(x) y2 = Cast<to=1>(i)", x=PLANE
    ),
    "max and back": case(
        "a, i = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) y = MaxUnpool<kernel_shape=[2,2],strides=[2,2]>(a, i)",
        x=(2, 3, 8, 6),
    ),
    "average of a line": case("y = AveragePool<kernel_shape=[3],strides=[2],pads=[1,1]>(x)", x=LINE),
    "average of a volume": case("y = AveragePool<kernel_shape=[2,3,2],pads=[1,1,0,0,1,1]>(x)", x=VOLUME),
    "average of a volume, counting its padding": case(
        "y = AveragePool<kernel_shape=[3,3,3],pads=[1,1,1,1,1,1],count_include_pad=1>(x)", x=VOLUME
    ),
    "average, dilated": case(
        "y = AveragePool<kernel_shape=[2,2],dilations=[2,2],pads=[1,1,1,1]>(x)", x=PLANE, opset=19
    ),
    "average with ceil, counting its padding": case(
        "y = AveragePool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,count_include_pad=1>(x)",
        x=(1, 4, 8, 8), opset=19,
    ),
    "root of squares": case("y = LpPool<kernel_shape=[3,2],strides=[2,2],pads=[1,0,1,0]>(x)", x=PLANE),
    "sum of sizes": case("y = LpPool<kernel_shape=[2,2],p=1>(x)", x=PLANE),
    "third power": case("y = LpPool<kernel_shape=[2],p=3>(x)", x=LINE),
    "global root of squares": case("y = GlobalLpPool<p=2>(x)", x=PLANE),
}  # fmt: skip


@pytest.mark.parametrize("this", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", TRANSPOSED.values(), ids=TRANSPOSED)
def test_transposed_convolution_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", POOLINGS.values(), ids=POOLINGS)
def test_pooling_answers_as_onnxruntime(this: Case) -> None:
    check(this)


def test_lines_behind_each_other_move_nothing_between() -> None:
    between = kinds(check(CONVOLUTIONS["line, two behind each other"]))
    assert between.count("TRANSPOSE") == 2  # in and out, as ONNX orders lines


def test_deformable_convolution_answers_as_onnxruntime() -> None:
    check(case("y = DeformConv<kernel_shape=[3,3],pads=[1,1,1,1],offset_group=2,group=2>(x, w, x2, b, x3)",
               x=(2, 4, 6, 5), w=(6, 2, 3, 3), x2=(2, 36, 6, 5), b=(6,), x3=(2, 18, 6, 5), opset=19))  # fmt: skip
