"""What is gathered under a kernel is what the layer multiplies: the mean of its outputs says so."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case
from converters.onnx_out.parts import answers, observed, prepared, samples_of

from edgewise_converters.onnx_out.weighted import grouped, weighted_of

WAYS = {
    "strided, padded": case(
        "y = Conv<strides=[2,1], pads=[1,0,2,1]>(x, w, b)", x=(1, 3, 9, 7), w=(4, 3, 3, 2), b=(4,)
    ),
    "dilated": case("y = Conv<dilations=[2,3]>(x, w, b)", x=(1, 2, 11, 12), w=(4, 2, 3, 3), b=(4,)),
    "depthwise": case("y = Conv<group=6, pads=[1,1,1,1]>(x, w, b)", x=(1, 6, 4, 4), w=(6, 1, 3, 3), b=(6,)),
    "grouped": case("y = Conv<group=2>(x, w, b)", x=(1, 6, 8, 8), w=(8, 3, 3, 3), b=(8,)),
    "same, upper": case(
        'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w, b)', x=(1, 2, 9, 8), w=(3, 2, 4, 3), b=(3,)
    ),
    "same, lower": case(
        'y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w, b)', x=(1, 2, 9, 8), w=(3, 2, 4, 3), b=(3,)
    ),
    "one axis": case("y = Conv<pads=[2,0]>(x, w, b)", x=(1, 4, 30), w=(5, 4, 5), b=(5,)),
    "three axes": case("y = Conv(x, w, b)", x=(1, 2, 4, 5, 6), w=(3, 2, 2, 2, 3), b=(3,)),
    "dense": case("y = Gemm<transB=1>(x, w, b)", x=(7, 12), w=(5, 12), b=(5,)),
}
ROUNDING = 1e-5
"""Sums of some hundred float32 numbers, in another order."""


@pytest.mark.parametrize("name", WAYS)
def test_mean_of_the_patches_gives_the_mean_output(name: str) -> None:
    this: Case = WAYS[name]
    model, feeds = prepared(this), samples_of(this, 3)
    layer = weighted_of(next(node for node in model.graph if node.op_type in ("Conv", "Gemm")))
    assert layer is not None
    (moments,) = observed(model, set(), feeds).moments.values()
    expected = np.einsum("bok,bk->bo", grouped(layer), moments.mean).reshape(-1) + layer.bias
    outputs = np.stack([answer["y"] for answer in answers(model, feeds)]).astype(np.float64)
    axis = 2 if this.values["x"][0] == 1 else outputs.ndim - 1  # type: ignore[index]
    actual = outputs.mean(axis=tuple(a for a in range(outputs.ndim) if a != axis))
    np.testing.assert_allclose(actual, expected, atol=ROUNDING * np.abs(outputs).max())


def test_covariance_of_the_patches_gives_the_variance_of_the_outputs() -> None:
    this = WAYS["grouped"]
    model, feeds = prepared(this), samples_of(this, 3)
    layer = weighted_of(next(node for node in model.graph if node.op_type == "Conv"))
    assert layer is not None
    (moments,) = observed(model, set(), feeds).moments.values()
    rows = grouped(layer).astype(np.float64)
    expected = np.einsum("bok,bkl,bol->bo", rows, moments.blocks[0], rows).reshape(-1)
    outputs = np.concatenate([answer["y"] for answer in answers(model, feeds)]).astype(np.float64)
    np.testing.assert_allclose(outputs.var(axis=(0, 2, 3)), expected, rtol=1e-4)
