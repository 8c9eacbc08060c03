"""Normalisations in both runtimes against onnxruntime."""

import pytest
from converters.onnx_cases import Case, case, check

X = (1, 4, 5, 6)
W = (4, 4, 1, 1)
NORMALISATIONS = {
    "layer": case("y = LayerNormalization(x, g, b)", x=(2, 3, 8), g=(8,), b=(8,)),
    "layer without bias": case("y = LayerNormalization<epsilon=0.001>(x, g)", x=(2, 3, 8), g=(8,)),
    "layer over two axes": case("y = LayerNormalization<axis=1>(x, g, b)", x=(2, 3, 8), g=(3, 8), b=(3, 8)),
    "layer behind a convolution": case(
        "a = Conv(x, w) y = LayerNormalization(a, g, b)", x=X, w=W, g=(6,), b=(6,)
    ),
    "instance": case("a = Conv(x, w) y = InstanceNormalization(a, g, b)", x=X, w=W, g=(4,), b=(4,)),
    "instance of a series": case("y = InstanceNormalization(x, g, b)", x=(2, 4, 9), g=(4,), b=(4,)),
    "group": case(
        "a = Conv(x, w) y = GroupNormalization<num_groups=2>(a, g, b)", x=X, w=W, g=(4,), b=(4,), opset=21
    ),
    "mean and variance of a line": case("y = MeanVarianceNormalization(x)", x=(2, 4, 7)),
    "mean and variance of a matrix": case("y = MeanVarianceNormalization(x)", x=(5, 4)),
    "mean and variance": case("a = Conv(x, w) y = MeanVarianceNormalization(a)", x=X, w=W),
    "L2": case("a = Conv(x, w) y = LpNormalization<axis=1,p=2>(a)", x=X, w=W),
    "L1": case("y = LpNormalization<axis=-1,p=1>(x)", x=(3, 7)),
    "root mean square": case("y = RMSNormalization(x, g)", x=(2, 3, 8), g=(8,), opset=23),
    "local response": case("a = Conv(x, w) y = LRN<size=3>(a)", x=X, w=W),
}


@pytest.mark.parametrize("this", NORMALISATIONS.values(), ids=NORMALISATIONS)
def test_normalisation_answers_as_onnxruntime(this: Case) -> None:
    check(this)
