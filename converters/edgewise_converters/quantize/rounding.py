"""Integer weights of each layer, made once and shared by all the ways of quantizing that are tried."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.calibrate import Calibration
from edgewise_converters.quantize.gptq import round_in_blocks
from edgewise_converters.quantize.moments import Moments
from edgewise_converters.quantize.rules import data_input
from edgewise_converters.quantize.weights import WEIGHT_MAX, mean_shift, quantize_weights
from edgewise_converters.spill import release_mapped
from edgewise_converters.tflite.graph import Operator, Tensor

METHODS = ("nearest", "gptq")
_SPARE_FLOOR = 4.0
_OUTPUTS_AT_ONCE = 64


@dataclass(frozen=True)
class RoundedWeights:
    """Integers, their scales, and what they add to each output on average (to be taken from the bias)."""

    integers: Array
    quantization: Quantization
    shift: Array


class Rounding:
    """Rounds the weights of operators of one calibrated graph."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._known: dict[tuple[int, int | None, str], RoundedWeights] = {}

    def of(
        self, operator: Operator, weights: Tensor, axis: int | None, *, floor: Array, method: str
    ) -> RoundedWeights:
        """The integer weights of an operator; ``floor`` bounds the scales from below (see `smallest_scales`)."""
        key = (id(weights), axis, method)
        known = self._known.get(key)
        if known is not None and np.all(np.asarray(known.quantization.scales) >= floor * (1 - 1e-6)):
            return known
        # With room to spare, so that the narrower ranges of another candidate need no new rounding.
        assert weights.data is not None
        rounded = self._round(operator, np.asarray(weights.data), axis, floor * _SPARE_FLOOR, method)
        self._known.setdefault(key, rounded)
        return rounded

    def _round(
        self, operator: Operator, weights: Array, axis: int | None, floor: Array, method: str
    ) -> RoundedWeights:
        integers, quantization = quantize_weights(
            weights, axis, floor=floor if axis is not None else floor.max()
        )
        moments = self._calibration.moments_of(operator)
        if moments is not None and method == "gptq":
            integers = _rounded_jointly(operator, weights, quantization, moments)
        if moments is None:
            real = quantization.dequantize(integers)
            mean = self._calibration.of(data_input(operator)).channel_mean
            shift = mean_shift(operator.kind, weights, real, mean)
            release_mapped()
            return RoundedWeights(integers, quantization, shift)
        shift = _shift_by_moments(operator, weights, integers, quantization, moments)
        release_mapped()
        return RoundedWeights(integers, quantization, shift)


def _shift_by_moments(
    operator: Operator, weights: Array, integers: Array, quantization: Quantization, moments: Moments
) -> Array:
    """What rounding adds to each output on average, [C]; a few outputs at a time, since wide layers are large."""
    steps, plain = (_by_output(operator, array, moments) for array in (integers, weights))
    scales = _scales_by_output(quantization, plain)
    shift = np.empty(plain.shape[:2])
    for start in range(0, plain.shape[1], _OUTPUTS_AT_ONCE):
        part = slice(start, start + _OUTPUTS_AT_ONCE)
        real = steps[:, part].astype(np.float32) * scales[:, part, None].astype(np.float32)
        error = real.astype(np.float64) - plain[:, part]
        shift[:, part] = np.einsum("bok,bk->bo", error, moments.mean)
    return shift.reshape(-1)


def _scales_by_output(quantization: Quantization, stacked: Array) -> Array:
    """Of each output, [B, O], where one scale may be all's."""
    scales = np.asarray(quantization.scales, np.float64)
    return np.broadcast_to(scales, stacked.shape[0] * stacked.shape[1]).reshape(stacked.shape[:2])


def _by_output(operator: Operator, weights: Array, moments: Moments) -> Array:
    """Weights as [B, outputs of each, K], B and K as in the moments."""
    if operator.kind == "DEPTHWISE_CONV_2D":
        groups = moments.mean.shape[0]
        per_channel = weights.reshape(-1, groups, weights.shape[3] // groups)  # [K, channels, multiplier]
        return np.asarray(per_channel.transpose(1, 2, 0))
    return weights.reshape(1, weights.shape[0], -1)


def _rounded_jointly(
    operator: Operator, weights: Array, quantization: Quantization, moments: Moments
) -> Array:
    stacked = _by_output(operator, weights, moments)
    scales = _scales_by_output(quantization, stacked)
    integers = round_in_blocks(stacked, scales, moments, WEIGHT_MAX)
    if operator.kind == "DEPTHWISE_CONV_2D":
        return np.ascontiguousarray(integers.transpose(2, 0, 1)).reshape(weights.shape)
    return integers.reshape(weights.shape)
