"""Weights and biases as integers, and what their rounding shifts."""

import numpy as np
import pytest
from converters.onnx_cases import case, lowered, model_of, network_of

from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.quantize.weights import (
    channel_axis,
    mean_shift,
    quantize_bias,
    quantize_weights,
    smallest_scales,
)

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(("kind", "shape"), [("CONV_2D", (6, 3, 3, 4)), ("DEPTHWISE_CONV_2D", (1, 3, 3, 8))])
def test_each_channel_uses_its_whole_range(kind: str, shape: tuple[int, ...]) -> None:
    axis = channel_axis(kind)
    spread = np.logspace(-3, 2, shape[axis]).reshape([-1 if a == axis else 1 for a in range(4)])
    weights = (RNG.standard_normal(shape) * spread).astype(np.float32)
    integers, quantization = quantize_weights(weights, axis)
    others = tuple(a for a in range(4) if a != axis)
    assert quantization.axis == axis
    assert (np.abs(integers.astype(int)).max(axis=others) == 127).all()
    error = np.abs(quantization.dequantize(integers) - weights)
    assert (error.max(axis=others) <= np.array(quantization.scales) * 0.501).all()


def test_one_scale_in_all_where_no_axis_is_given() -> None:
    integers, quantization = quantize_weights(np.array([[1.0, -2.0], [0.5, 0.25]], np.float32), None)
    assert quantization.is_per_tensor
    assert integers.tolist() == [[64, -127], [32, 16]]


def test_channel_of_zeros_takes_a_scale_like_its_neighbours() -> None:
    weights = np.zeros((3, 1, 1, 4), np.float32)
    weights[0], weights[2] = 2.0, 4.0
    _, quantization = quantize_weights(weights, 0)
    assert min(quantization.scales) <= quantization.scales[1] <= max(quantization.scales)


def test_bias_has_the_scale_of_the_products() -> None:
    _, weights = quantize_weights(RNG.standard_normal((5, 3, 3, 2)).astype(np.float32), 0)
    bias = RNG.standard_normal(5).astype(np.float32)
    integers, quantization = quantize_bias(bias, 0.02, weights)
    np.testing.assert_allclose(
        quantization.scales, np.float32(0.02) * np.array(weights.scales, np.float32), rtol=1e-6
    )
    assert (
        np.abs(integers * np.array(quantization.scales) - bias) <= np.array(quantization.scales) * 0.51
    ).all()


def test_scales_grow_until_a_large_bias_fits() -> None:
    weights, bias = np.full((2, 1, 1, 1), 1e-9, np.float32), np.array([1000.0, 0.0], np.float32)
    _, quantization = quantize_weights(weights, 0, floor=smallest_scales(bias, 1e-3))
    integers, scales = quantize_bias(bias, 1e-3, quantization)
    assert integers[0] * scales.scales[0] == pytest.approx(1000, rel=1e-3)


SHIFTS = {
    "plain": ((1, 4, 9, 9), (6, 4, 3, 3), 1),
    "grouped": ((1, 4, 9, 9), (6, 2, 3, 3), 2),
    "depthwise": ((1, 4, 9, 9), (4, 1, 3, 3), 4),
    "depthwise times two": ((1, 4, 9, 9), (8, 1, 3, 3), 4),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_mean_shift_is_what_the_runtime_shows(name: str) -> None:
    shape, weights_shape, group = SHIFTS[name]
    weights = RNG.standard_normal(weights_shape).astype(np.float32)
    means = RNG.standard_normal(shape[1])
    # Constant over space, so that the mean of what the window sees is the channel's mean everywhere.
    image = np.broadcast_to(means.reshape(1, -1, 1, 1), shape).astype(np.float32)

    def answer(values: Array) -> tuple[Array, Array, str]:
        low = lowered(model_of(case(f"y = Conv<group={group}>(x, w)", x=image, w=values)))
        operator = low.graph.operators[0]
        backend = open_backend(network_of(low), "tflite", name="litert")
        result = backend.run([np.ascontiguousarray(image.transpose(low.input_layouts["x"]))])[0]
        backend.close()
        constant = operator.inputs[1]
        assert constant is not None and constant.data is not None
        return result.reshape(-1, result.shape[-1]).mean(axis=0), constant.data, operator.kind

    rounded = np.round(weights * 2) / 2
    before, stored, kind = answer(weights)
    after, stored_rounded, _ = answer(rounded.astype(np.float32))
    shift = mean_shift(kind, stored, stored_rounded, means)
    np.testing.assert_allclose(shift, after - before, atol=1e-4)
