"""Normalisations: by mean and variance over some axes, by a sum of powers, over neighbouring channels."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import (
    float_of,
    input_of,
    int_of,
    ints_of,
    normal_axes,
)  # fmt: skip
from edgewise_converters.lower.layout import Layout, channels_last, identity, stored_shape
from edgewise_converters.lower.lowering import Lowering, Stored, lowers
from edgewise_converters.tflite.graph import Tensor

_CHANNELS_OPSET = 21
"""From it on GroupNormalization's scale and bias are per channel, before it per group."""
_MVN_EPSILON = 1e-9
"""What ONNX's MeanVarianceNormalization adds to the deviation (its function body)."""


def standardize(
    f: Algebra, data: Tensor, axes: Sequence[int], epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(data - mean) / sqrt(variance + epsilon) over stored ``axes``; also the mean and 1 / sqrt(...)."""
    mean = f.reduce("MEAN", data, axes)
    variance = f.reduce("MEAN", f.apply("SQUARED_DIFFERENCE", data, mean), axes)
    inverse = f.apply("RSQRT", f.add(variance, epsilon))
    return f.mul(f.sub(data, mean), inverse), mean, inverse


def _in_rows(low: Lowering, data: ir.Value, first: int) -> Stored:
    """The data with the axes from ``first`` on last, as a matrix product before or behind it has them."""
    place = low.stored(data)
    rank = len(place.layout)
    if place.layout[first:] == tuple(range(first, rank)):
        return place
    return Stored(low.read(data), identity(rank))


def _scale_and_shift(
    low: Lowering, f: Algebra, data: Tensor, node: ir.Node, layout: Layout, axis: int | None
) -> Tensor:
    """data * input 1 + input 2, which broadcast as ONNX says, or lie along ``axis``."""
    for index, kind in ((1, "MUL"), (2, "ADD")):
        value = input_of(node, index)
        if value is None or _changes_nothing(low.constant(value), neutral=2 - index):
            continue
        if axis is None:
            operand = low.read_broadcast(value, len(layout), layout)
        else:
            operand = along(low, value, axis, layout)
        data = f.apply(kind, data, operand)
    return data


def _changes_nothing(array: Array | None, *, neutral: int) -> bool:
    return array is not None and bool((array == neutral).all())


def along(low: Lowering, value: ir.Value, axis: int, layout: Layout) -> Tensor:
    """A vector as an operand whose length lies where ``axis`` is stored."""
    shape = [1] * len(layout)
    shape[layout.index(axis)] = low.shape(value)[0]
    array = low.constant(value)
    if array is not None:
        return low.floats(array.reshape(shape), f"{value.name}/along")
    return low.reshape(low.read(value), shape, f"{value.name}/along")


@lowers("LayerNormalization", in_float=True)
def lower_layer_normalization(low: Lowering, node: ir.Node) -> None:
    """Over all axes from one on; the mean and the inverse deviation are outputs too."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    rank = len(low.shape(data))
    f = Algebra(low, str(result.name))
    first = normal_axes([int_of(node, "axis", -1)], rank)[0]
    place = _in_rows(low, data, first)
    axes = [place.layout.index(axis) for axis in range(first, rank)]
    tensor, mean, inverse = standardize(f, place.tensor, axes, float_of(node, "epsilon", 1e-5))
    low.bind(result, _scale_and_shift(low, f, tensor, node, place.layout, None), place.layout)
    for output, extra in zip(node.outputs[1:], (mean, inverse), strict=False):
        if output.name:
            low.bind(output, extra, place.layout)


@lowers("RMSNormalization", "SimplifiedLayerNormalization", in_float=True)
def lower_rms_normalization(low: Lowering, node: ir.Node) -> None:
    """x / sqrt(mean(x^2) + epsilon) * scale over all axes from one on."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    rank = len(low.shape(data))
    f = Algebra(low, str(result.name))
    first = normal_axes([int_of(node, "axis", -1)], rank)[0]
    place = _in_rows(low, data, first)
    axes = [place.layout.index(axis) for axis in range(first, rank)]
    square = f.reduce("MEAN", f.mul(place.tensor, place.tensor), axes)
    inverse = f.apply("RSQRT", f.add(square, float_of(node, "epsilon", 1e-5)))
    tensor = f.mul(place.tensor, inverse)
    low.bind(result, _scale_and_shift(low, f, tensor, node, place.layout, None), place.layout)


@lowers("InstanceNormalization", in_float=True)
def lower_instance_normalization(low: Lowering, node: ir.Node) -> None:
    """Over space, for each channel of each picture."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    f = Algebra(low, str(result.name))
    axes = [j for j, axis in enumerate(place.layout) if axis > 1]
    tensor = standardize(f, place.tensor, axes, float_of(node, "epsilon", 1e-5))[0]
    low.bind(result, _scale_and_shift(low, f, tensor, node, place.layout, 1), place.layout)


@lowers("GroupNormalization", in_float=True)
def lower_group_normalization(low: Lowering, node: ir.Node) -> None:
    """Over space and the channels of a group, as [batch, space, groups, channels of a group]."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape = low.shape(data)
    layout = channels_last(len(shape))
    f = Algebra(low, str(result.name))
    source = low.read(data, layout)
    groups = int_of(node, "num_groups", 1)
    each, space = shape[1] // groups, int(np.prod(shape[2:]))
    grouped = f.reshape(source, (shape[0], space, groups, each))
    tensor = standardize(f, grouped, [1, 3], float_of(node, "epsilon", 1e-5))[0]
    if low.opset >= _CHANNELS_OPSET:
        tensor = f.reshape(tensor, source.shape)
        tensor = _scale_and_shift(low, f, tensor, node, layout, 1)
    else:
        for index, kind in ((1, "MUL"), (2, "ADD")):
            vector = node.inputs[index]
            assert vector is not None
            tensor = f.apply(kind, tensor, f.reshape(low.read(vector), (1, 1, groups, 1)))
        tensor = f.reshape(tensor, source.shape)
    low.bind(result, tensor, layout)


@lowers("MeanVarianceNormalization", in_float=True)
def lower_mean_variance_normalization(low: Lowering, node: ir.Node) -> None:
    """(x - mean) / (deviation + 1e-9) over the axes given, by default all but the channels."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    f = Algebra(low, str(result.name))
    rank = len(place.layout)
    axes = normal_axes(ints_of(node, "axes", [axis for axis in (0, 2, 3) if axis < rank]), rank)
    where = [place.layout.index(axis) for axis in axes]
    mean = f.reduce("MEAN", place.tensor, where)
    variance = f.reduce("MEAN", f.apply("SQUARED_DIFFERENCE", place.tensor, mean), where)
    deviation = f.add(f.apply("SQRT", variance), _MVN_EPSILON)
    low.bind(result, f.div(f.sub(place.tensor, mean), deviation), place.layout)


@lowers("BatchNormalization", in_float=True)
def lower_batch_normalization(low: Lowering, node: ir.Node) -> None:
    """Statistics that are computed, which passes/fold_affine.py cannot fold: scale and shift at run time."""
    if int_of(node, "training_mode", 0):
        raise low.refuse(
            node, "it is in training mode, expected inference; export the model in evaluation mode"
        )
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    f = Algebra(low, str(result.name))
    gamma, beta, mean, variance = (low.read(value) for value in node.inputs[1:5] if value is not None)
    scale = f.mul(gamma, f.apply("RSQRT", f.add(variance, float_of(node, "epsilon", 1e-5))))
    shift = f.sub(beta, f.mul(mean, scale))
    shape = [1] * len(place.layout)
    shape[place.layout.index(1)] = scale.shape[0]
    tensor = f.add(f.mul(place.tensor, f.reshape(scale, shape)), f.reshape(shift, shape))
    low.bind(result, tensor, place.layout)


@lowers("LpNormalization", in_float=True)
def lower_lp_normalization(low: Lowering, node: ir.Node) -> None:
    """x divided by the sum of its absolute values, or by the root of the sum of its squares; zero stays zero."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    f = Algebra(low, str(result.name))
    axis = place.layout.index(normal_axes([int_of(node, "axis", -1)], len(place.layout))[0])
    if int_of(node, "p", 2) == 1:
        norm = f.reduce("SUM", f.apply("ABS", place.tensor), [axis])
    else:
        norm = f.apply("SQRT", f.reduce("SUM", f.mul(place.tensor, place.tensor), [axis]))
    least = float(np.finfo(np.float32).tiny)  # a norm of zero has only zeros to divide
    low.bind(result, f.div(place.tensor, f.apply("MAXIMUM", norm, least)), place.layout)


@lowers("LRN", in_float=True)
def lower_lrn(low: Lowering, node: ir.Node) -> None:
    """LOCAL_RESPONSE_NORMALIZATION; for a window of even size, sums over channels by a band matrix."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, size = low.shape(data), int_of(node, "size", 1)
    layout = channels_last(len(shape))
    alpha, beta = float_of(node, "alpha", 1e-4), float_of(node, "beta", 0.75)
    bias = float_of(node, "bias", 1.0)
    source = low.read(data, layout)
    f = Algebra(low, str(result.name))
    if len(shape) == 4 and size % 2:
        options = {"radius": size // 2, "bias": bias, "alpha": alpha / size, "beta": beta}
        low.bind(result, f.apply("LOCAL_RESPONSE_NORMALIZATION", source, **options), layout)
        return
    squares = f.reshape(f.mul(source, source), (int(np.prod(shape)) // shape[1], shape[1]))
    weights = low.floats(_band(shape[1], size) * (alpha / size), f"{result.name}/band")
    sums = low.emit("FULLY_CONNECTED", [squares, weights, f.constant(np.full(shape[1], bias))],
                    squares.shape, f"{result.name}/sums")  # fmt: skip
    root = f.reshape(f.apply("POW", sums, beta), stored_shape(shape, layout))
    low.bind(result, f.div(source, root), layout)


def _band(channels: int, size: int) -> Array:
    """[channels, channels]: one where a channel lies in the window of another (ONNX LRN: floor and ceil of half)."""
    distance = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    return np.asarray((distance >= -((size - 1) // 2)) & (distance <= size // 2), np.float32)
