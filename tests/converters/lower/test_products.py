"""Einsum, matrix products of any rank, transforms and determinants in both runtimes against onnxruntime."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds, lowered, model_of

from edgewise_converters.errors import UnsupportedOperator

FOURIER_DB = 90.0
"""onnxruntime's own FFT is further from the truth than the product with float32 numbers."""


def whole(value: int) -> np.ndarray:
    return np.array(value, np.int64)


EQUATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "ij->ji": ((3, 4),),
    "ij->i": ((3, 4),),
    "ij": ((3, 2),),
    "ii->": ((4, 4),),
    "...ii->...i": ((2, 5, 5),),
    "i,i": ((5,), (5,)),
    "i,j->ij": ((3,), (4,)),
    "ba,ca": ((3, 2), (4, 2)),
    "ij,ij->": ((3, 4), (3, 4)),
    "bij,bjk->bik": ((5, 2, 3), (5, 3, 4)),
    "bqhd,bkhd->bhqk": ((2, 4, 3, 5), (2, 6, 3, 5)),
    "bchw,bkhw->bckhw": ((2, 3, 4, 5), (2, 6, 4, 5)),
    "ijk,jil->kl": ((2, 3, 4), (3, 2, 5)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 5)),
}
PRODUCTS = {
    "batches of many axes that broadcast": case("y = MatMul(x, x2)", x=(2, 3, 2, 1, 3, 4), x2=(5, 4, 6)),
    "batches of many axes": case("y = MatMul(x, x2)", x=(2, 3, 2, 2, 3, 4), x2=(2, 3, 2, 2, 4, 5)),
    "constant with axes of one": case("y = MatMul(x, w)", x=(2, 3, 4), w=(1, 4, 5)),
    "constant on the left": case("y = MatMul(w, x)", x=(2, 4, 5), w=(3, 4)),
    "vectors": case("y = MatMul(x, x2)", x=(4,), x2=(4,)),
    "computed, turned and scaled": case(
        "y = Gemm<transA=1,transB=1,alpha=0.5,beta=2.0>(x, x2, x3)", x=(4, 3), x2=(5, 4), x3=(3, 1)
    ),
    "determinant": case("y = Det(x)", x=(3, 3, 3)),
    "determinant of four": case("y = Det(x)", x=(4, 4)),
}
TRANSFORMS = {
    "complex": case("y = DFT(x, , a)", x=(1, 10, 6, 2), a=whole(1), opset=20, at_least_db=FOURIER_DB),
    "onesided": case("y = DFT<axis=2,onesided=1>(x)", x=(2, 3, 16, 1), at_least_db=FOURIER_DB),
    "inverse": case("y = DFT<axis=1,inverse=1>(x)", x=(1, 10, 6, 2), at_least_db=FOURIER_DB),
    "padded": case("y = DFT(x, l)", x=(1, 10, 1), l=whole(16), opset=20, at_least_db=FOURIER_DB),
    "short-time": case("y = STFT(x, s, w)", x=(2, 128, 1), s=whole(8), w=(16,), at_least_db=FOURIER_DB),
    "short-time, complex": case(
        "y = STFT<onesided=0>(x, s, w)", x=(1, 64, 2), s=whole(4), w=(16,), at_least_db=FOURIER_DB
    ),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_answers_as_onnxruntime(equation: str) -> None:
    shapes = EQUATIONS[equation]
    names = [f"x{i}" for i in range(len(shapes))]
    values = dict(zip(names, shapes, strict=True))
    check(case(f'y = Einsum<equation="{equation}">({", ".join(names)})', **values))


def test_einsum_with_constant_weights_is_dense() -> None:
    this = case('y = Einsum<equation="bsd,dhe->bshe">(x, w)', x=(2, 3, 4), w=(4, 5, 6))
    assert kinds(check(this)) == ["FULLY_CONNECTED", "RESHAPE"]


@pytest.mark.parametrize("this", PRODUCTS.values(), ids=PRODUCTS)
def test_product_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", TRANSFORMS.values(), ids=TRANSFORMS)
def test_fourier_transform_answers_as_onnxruntime(this: Case) -> None:
    check(this)


def test_products_of_integers_are_refused() -> None:
    numbers = np.arange(6, dtype=np.int32)
    this = case("y = MatMul(x, x2)", x=numbers.reshape(2, 3), x2=numbers.reshape(3, 2))
    with pytest.raises(UnsupportedOperator, match=r"MatMul.*expected float32"):
        lowered(model_of(this))
