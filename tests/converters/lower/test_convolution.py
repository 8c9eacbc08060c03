"""Conv and ConvTranspose in both runtimes against onnxruntime."""

import pytest
from converters.onnx_cases import Case, case, check, check_or_refused, kinds

X = (1, 6, 11, 9)
W3 = (8, 6, 3, 3)

CONVS = {
    "plain": case("y = Conv(x, w, b)", x=X, w=W3, b=(8,)),
    "without bias": case("y = Conv(x, w)", x=X, w=W3),
    "pointwise": case("y = Conv(x, w, b)", x=X, w=(5, 6, 1, 1), b=(5,)),
    "strides": case("y = Conv<strides=[2,3]>(x, w, b)", x=X, w=W3, b=(8,)),
    "pads one": case("y = Conv<pads=[1,1,1,1]>(x, w)", x=X, w=W3),
    "pads one at stride two": case("y = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w)", x=(1, 6, 12, 10), w=W3),
    "odd size at stride two": case("y = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w)", x=X, w=W3),
    "asymmetric pads": case("y = Conv<pads=[0,2,3,1]>(x, w, b)", x=X, w=W3, b=(8,)),
    "pads at the end only": case("y = Conv<pads=[0,0,1,1],strides=[2,2]>(x, w)", x=(1, 6, 12, 10), w=W3),
    "dilated": case("y = Conv<dilations=[2,3],pads=[2,3,2,3]>(x, w)", x=X, w=W3),
    "dilated without pads": case("y = Conv<dilations=[2,1]>(x, w)", x=X, w=W3),
    "tall kernel": case("y = Conv<pads=[2,0,2,0]>(x, w)", x=X, w=(4, 6, 5, 1)),
    "wide pads": case("y = Conv<pads=[4,4,4,4]>(x, w)", x=X, w=W3),
    "batch of three": case("y = Conv<pads=[1,1,1,1]>(x, w)", x=(3, 6, 7, 7), w=W3),
    "groups": case("y = Conv<group=2,pads=[1,1,1,1]>(x, w, b)", x=X, w=(8, 3, 3, 3), b=(8,)),
    "groups of three": case("y = Conv<group=3>(x, w)", x=X, w=(9, 2, 3, 3)),
    "depthwise": case("y = Conv<group=6,pads=[1,1,1,1]>(x, w, b)", x=X, w=(6, 1, 3, 3), b=(6,)),
    "depthwise times two": case("y = Conv<group=6,strides=[2,2]>(x, w)", x=X, w=(12, 1, 3, 3)),
    "depthwise dilated": case("y = Conv<group=6,dilations=[2,2],pads=[2,2,2,2]>(x, w)", x=X, w=(6, 1, 3, 3)),
    "depthwise with uneven strides": case(
        "y = Conv<group=6,strides=[2,1],pads=[1,1,1,1]>(x, w)", x=X, w=(6, 1, 3, 3)
    ),
    "one channel to one": case("y = Conv(x, w)", x=(1, 1, 8, 8), w=(1, 1, 3, 3)),
    "one channel to many": case("y = Conv(x, w)", x=(1, 1, 8, 8), w=(7, 1, 3, 3)),
    "SAME_UPPER": case('y = Conv<auto_pad="SAME_UPPER",strides=[2,2]>(x, w)', x=(1, 6, 12, 9), w=W3),
    "SAME_LOWER": case('y = Conv<auto_pad="SAME_LOWER",strides=[2,2]>(x, w)', x=(1, 6, 12, 9), w=W3),
    "SAME_LOWER with even kernel": case('y = Conv<auto_pad="SAME_LOWER">(x, w)', x=X, w=(8, 6, 2, 2)),
    "VALID": case('y = Conv<auto_pad="VALID",strides=[2,2]>(x, w)', x=X, w=W3),
    "opset 7": case("y = Conv<pads=[1,1,1,1]>(x, w)", x=X, w=W3, opset=7),
    "opset 11": case("y = Conv<pads=[1,1,1,1]>(x, w)", x=X, w=W3, opset=11),
    "opset 21": case("y = Conv<pads=[1,1,1,1]>(x, w)", x=X, w=W3, opset=21),
    "relu fused": case("a = Conv(x, w, b) y = Relu(a)", x=X, w=W3, b=(8,)),
    "between fused and unfused reader": case("a = Conv(x, w) y = Relu(a) y2 = Sigmoid(a)", x=X, w=W3),
    "chain": case("a = Conv<pads=[1,1,1,1]>(x, w) b = Relu(a) y = Conv(b, v)", x=X, w=W3, v=(3, 8, 3, 3)),
}

T = (1, 4, 5, 6)
TRANSPOSED = {
    "plain": case("y = ConvTranspose(x, w, b)", x=T, w=(4, 3, 3, 3), b=(3,)),
    "without bias": case("y = ConvTranspose(x, w)", x=T, w=(4, 3, 3, 3)),
    "strides": case("y = ConvTranspose<strides=[2,2]>(x, w, b)", x=T, w=(4, 3, 2, 2), b=(3,)),
    "stride over kernel": case("y = ConvTranspose<strides=[3,3]>(x, w, b)", x=T, w=(4, 3, 2, 2), b=(3,)),
    "pads": case("y = ConvTranspose<strides=[2,2],pads=[1,1,1,1]>(x, w)", x=T, w=(4, 3, 4, 4)),
    "asymmetric pads": case("y = ConvTranspose<strides=[2,2],pads=[0,1,2,1]>(x, w)", x=T, w=(4, 3, 4, 4)),
    "output padding": case(
        "y = ConvTranspose<strides=[2,2],pads=[1,1,1,1],output_padding=[1,1]>(x, w, b)",
        x=T, w=(4, 3, 3, 3), b=(3,),
    ),
    "output shape": case(
        "y = ConvTranspose<strides=[2,2],output_shape=[9,11]>(x, w)", x=T, w=(4, 3, 3, 3)
    ),
    "SAME_UPPER": case('y = ConvTranspose<strides=[2,2],auto_pad="SAME_UPPER">(x, w)', x=T, w=(4, 3, 3, 3)),
    "SAME_LOWER": case('y = ConvTranspose<strides=[2,2],auto_pad="SAME_LOWER">(x, w)', x=T, w=(4, 3, 3, 3)),
    "VALID": case('y = ConvTranspose<strides=[2,2],auto_pad="VALID">(x, w)', x=T, w=(4, 3, 3, 3)),
}  # fmt: skip

HARD = {
    "computed weights": case("y = Conv(x, x2)", x=X, x2=W3),
    "computed bias": case("y = Conv(x, w, x2)", x=X, w=W3, x2=(8,)),
    "computed bias of a transposed one": case("y = ConvTranspose(x, w, x2)", x=T, w=(4, 3, 3, 3), x2=(3,)),
    "one spatial axis": case("y = Conv(x, w)", x=(1, 4, 9), w=(3, 4, 3)),
    "grouped transposed": case("y = ConvTranspose<group=2>(x, w)", x=T, w=(4, 3, 3, 3)),
}


@pytest.mark.parametrize("this", CONVS.values(), ids=CONVS)
def test_conv_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", TRANSPOSED.values(), ids=TRANSPOSED)
def test_conv_transpose_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("name", HARD)
def test_what_tflite_has_no_word_for_is_right_or_refused(name: str) -> None:
    check_or_refused(HARD[name], HARD[name].body.split()[2].split("(")[0].split("<")[0])


def test_padding_that_same_means_needs_no_pad_operator() -> None:
    assert kinds(check(CONVS["pads one"])) == ["CONV_2D"]
    assert kinds(check(CONVS["SAME_UPPER"])) == ["CONV_2D"]


def test_padding_that_same_does_not_mean_is_an_operator_of_its_own() -> None:
    assert kinds(check(CONVS["pads one at stride two"])) == ["PAD", "CONV_2D"]


def test_depthwise_weights_become_depthwise_operators() -> None:
    assert kinds(check(CONVS["depthwise times two"])) == ["DEPTHWISE_CONV_2D"]
