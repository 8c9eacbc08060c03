"""Gemm and MatMul in all their forms."""

import pytest
from converters.onnx_cases import Case, case, check, kinds

X = (3, 5)
FORMS = {
    "gemm": case("y = Gemm(x, w, b)", x=X, w=(5, 4), b=(4,)),
    "gemm transB": case("y = Gemm<transB=1>(x, w, b)", x=X, w=(4, 5), b=(4,)),
    "gemm transA": case("y = Gemm<transA=1>(x, w, b)", x=(5, 3), w=(5, 4), b=(4,)),
    "gemm without addend": case("y = Gemm(x, w)", x=X, w=(5, 4)),
    "gemm alpha and beta": case("y = Gemm<alpha=0.5,beta=2.0>(x, w, b)", x=X, w=(5, 4), b=(4,)),
    "gemm scalar addend": case("y = Gemm(x, w, b)", x=X, w=(5, 4), b=()),
    "gemm row addend": case("y = Gemm(x, w, b)", x=X, w=(5, 4), b=(1, 4)),
    "gemm column addend": case("y = Gemm<beta=0.5>(x, w, b)", x=X, w=(5, 4), b=(3, 1)),
    "gemm square column addend": case("y = Gemm(x, w, b)", x=(4, 5), w=(5, 4), b=(4, 1)),
    "gemm full addend": case("y = Gemm(x, w, b)", x=X, w=(5, 4), b=(3, 4)),
    "gemm computed addend": case("y = Gemm<beta=0.5>(x, w, x2)", x=X, w=(5, 4), x2=(4,)),
    "gemm computed": case("y = Gemm<alpha=0.5,beta=2.0>(x, x2, b)", x=X, x2=(5, 4), b=(4,)),
    "gemm computed transB": case("y = Gemm<transB=1>(x, x2)", x=X, x2=(4, 5)),
    "gemm computed transA": case("y = Gemm<transA=1>(x, x2)", x=(5, 3), x2=(5, 4)),
    "gemm at opset 7": case("y = Gemm<transB=1>(x, w, b)", x=X, w=(4, 5), b=(4,), opset=7),
    "gemm at opset 11": case("y = Gemm<transB=1>(x, w, b)", x=X, w=(4, 5), b=(4,), opset=11),
    "matmul": case("y = MatMul(x, w)", x=X, w=(5, 4)),
    "matmul of three axes": case("y = MatMul(x, w)", x=(2, 3, 5), w=(5, 4)),
    "matmul of four axes": case("y = MatMul(x, w)", x=(1, 2, 3, 5), w=(5, 4)),
    "matmul of a row": case("y = MatMul(x, w)", x=(5,), w=(5, 4)),
    "matmul by a column": case("y = MatMul(x, w)", x=X, w=(5,)),
    "matmul computed": case("y = MatMul(x, x2)", x=(2, 3, 5), x2=(2, 5, 4)),
    "matmul computed by a column": case("y = MatMul(x, x2)", x=(2, 3, 5), x2=(5,)),
    "matmul broadcast": case("y = MatMul(x, x2)", x=(2, 3, 5), x2=(5, 4)),
    "matmul broadcast both": case("y = MatMul(x, x2)", x=(2, 1, 3, 5), x2=(4, 5, 2)),
    "matmul constant left": case("y = MatMul(w, x)", x=(5, 4), w=(3, 5)),
    "matmul by a constant stack": case("y = MatMul(x, w)", x=(2, 3, 5), w=(2, 5, 4)),
    "matmul and add": case("a = MatMul(x, w) y = Add(a, b)", x=X, w=(5, 4), b=(4,)),
    "matmul behind a convolution": case(
        "a = Conv(x, k) y = MatMul(a, w)", x=(1, 3, 4, 5), k=(2, 3, 1, 1), w=(5, 4)
    ),
    "gemm behind flattened image": case(
        "a = Conv(x, k) b = Flatten(a) y = Gemm(b, w)", x=(1, 3, 4, 5), k=(2, 3, 1, 1), w=(40, 4)
    ),
}  # fmt: skip


@pytest.mark.parametrize("this", FORMS.values(), ids=FORMS)
def test_product_answers_as_onnxruntime(this: Case) -> None:
    check(this)


def test_constant_matrix_becomes_fully_connected() -> None:
    assert kinds(check(FORMS["matmul of three axes"])) == ["FULLY_CONNECTED"]
    assert kinds(check(FORMS["gemm transB"])) == ["FULLY_CONNECTED"]
