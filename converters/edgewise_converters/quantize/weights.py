"""Weights and biases as integers."""

import numpy as np

from edgewise.tensors import Array, Quantization

WEIGHT_MAX = 127
"""Symmetric int8 leaves -128 unused, as the TFLite 8-bit specification demands of weights."""
_BIAS_LIMIT = 2**30
"""Half of int32: the sum of products is added to the bias in the same 32 bits."""
_WIDE_BIAS_LIMIT = 2**46
"""int16x8 kernels add in 48 bits (TFLite's MultiplyByQuantizedMultiplier of int64)."""
_LEAST_PART = 2.0**-20
"""Smallest range of a channel's weights, as a part of the channels' median."""
_INT8, _INT32 = np.dtype(np.int8), np.dtype(np.int32)


def channel_axis(kind: str) -> int:
    """The axis of output channels in an operator's weights (TFLite 8-bit quantization specification)."""
    return 3 if kind == "DEPTHWISE_CONV_2D" else 0


def quantize_weights(
    weights: Array,
    axis: int | None,
    *,
    floor: Array | None = None,
    dtype: np.dtype[np.generic] = _INT8,
) -> tuple[Array, Quantization]:
    """Symmetric integers, one scale per index of ``axis`` or one in all if None.

    ``floor`` bounds the scales from below; the lowest integer of ``dtype`` stays unused.
    """
    limit = np.iinfo(dtype).max  # type: ignore[type-var]  # numpy's stub knows no dtype by name
    others = tuple(a for a in range(weights.ndim) if a != axis)
    largest = np.abs(weights).max(axis=others if axis is not None else None).reshape(-1).astype(np.float64)
    # A channel without weights takes a scale like its neighbours': only its bias matters.
    usual = float(np.median(largest[largest > 0])) if (largest > 0).any() else 1.0
    # One with next to none, too: a scale far below the others' leaves the range of the kernels' multipliers.
    scales = np.where(largest > 0, np.maximum(largest, usual * _LEAST_PART), usual) / limit
    if floor is not None:
        scales = np.maximum(scales, floor)
    scales = scales.astype(np.float32)
    shape = [1] * weights.ndim
    if axis is not None:
        shape[axis] = -1
    steps = np.rint(weights / scales.reshape(shape))
    integers = np.clip(steps, -limit, limit).astype(dtype)
    quantization = Quantization(tuple(map(float, scales)), (0,) * len(scales), axis or 0)
    return integers, quantization


def smallest_scales(bias: Array, input_scale: float) -> Array:
    """Weight scales below which the bias would not fit into its int32, float64 [C]."""
    return np.abs(bias).astype(np.float64) / (input_scale * _BIAS_LIMIT)


def quantize_bias(
    bias: Array, input_scale: float, weights: Quantization, *, dtype: np.dtype[np.generic] = _INT32
) -> tuple[Array, Quantization]:
    """int32, or int64 beside int16 activations, in the scale of the products: input scale times weight scale."""
    scales = np.float32(input_scale) * np.asarray(weights.scales, np.float32)
    if len(scales) == 1 and bias.size > 1:
        steps = np.rint(bias.astype(np.float64) / np.float64(scales[0]))
    else:
        steps = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    limit = _BIAS_LIMIT if dtype == np.int32 else _WIDE_BIAS_LIMIT
    integers = np.clip(steps, -limit, limit).astype(dtype)
    return integers, Quantization(tuple(map(float, scales)), (0,) * len(scales), 0)


def mean_shift(kind: str, weights: Array, rounded: Array, input_mean: Array) -> Array:
    """What rounding the weights adds to each output channel on average, [C].

    (W_q - W) E[x], in closed form (Nagel et al. 2019, arXiv:1906.04721, section 4.2). Exact but for zero padding.
    """
    error = (rounded - weights).astype(np.float64)
    if kind == "DEPTHWISE_CONV_2D":
        multiplier = weights.shape[3] // input_mean.size
        return np.asarray(error.sum(axis=(0, 1, 2)) * np.repeat(input_mean, multiplier))
    groups = input_mean.size // weights.shape[-1]
    per_input = error.reshape(error.shape[0], -1, error.shape[-1]).sum(axis=1)
    means = input_mean.reshape(groups, -1)
    rows = np.repeat(means, error.shape[0] // groups, axis=0)
    return np.asarray((per_input * rows).sum(axis=1))
