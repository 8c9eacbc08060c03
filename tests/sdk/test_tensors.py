"""Scale and zero point, and which shapes fit."""

import numpy as np
import pytest

from edgewise.errors import CardError
from edgewise.tensors import Quantization, TensorSpec


def test_every_integer_survives_dequantize_and_quantize() -> None:
    quantization = Quantization((0.0173,), (-5,))
    integers = np.arange(-128, 128, dtype=np.int8)
    assert np.array_equal(quantization.quantize(quantization.dequantize(integers), "int8"), integers)


def test_real_numbers_out_of_range_are_clipped() -> None:
    quantization = Quantization((0.1,), (0,))
    assert quantization.quantize(np.array([-1e9, 1e9]), "int8").tolist() == [-128, 127]
    assert quantization.quantize(np.array([-1e9, 1e9]), "uint8").tolist() == [0, 255]


def test_per_channel_scales_lie_along_their_axis() -> None:
    quantization = Quantization((1.0, 10.0), (0, 1), axis=1)
    assert quantization.dequantize(np.array([[2, 2], [3, 3]], np.int8)).tolist() == [[2, 10], [3, 20]]
    with pytest.raises(CardError, match="2 scales"):
        _ = quantization.scale


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (float("nan"),), (float("inf"),), (1.0, 2.0)])
def test_scales_that_cannot_be_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(CardError, match="quantization"):
        Quantization(scales, (0,))


def test_a_dynamic_dimension_accepts_any_size() -> None:
    spec = TensorSpec("x", (-1, 3), "float32")
    assert spec.is_dynamic
    assert spec.accepts((7, 3))
    assert not spec.accepts((7, 4))
    assert not spec.accepts((3,))
