"""Conv over one, two or three axes of space, with constant or computed weights; channels last."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import constant_input, input_of, int_of
from edgewise_converters.lower.layout import channels_last
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.windows import Window, pad_window, plan_window
from edgewise_converters.tflite.graph import Option, Tensor

MAX_SPATIAL_AXES = 3


@lowers("Conv")
def lower_conv(low: Lowering, node: ir.Node) -> None:
    """Conv to CONV_2D, DEPTHWISE_CONV_2D or CONV_3D; padding that TFLite has no word for goes into a PAD."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, name = low.shape(data), str(result.name)
    weights = read_weights(low, node)
    window = plan_window(node, shape[2:], weights.shape[2:], low.shape(result)[2:])
    layout = channels_last(len(shape))
    bias = constant_bias(node, 2)
    tensor = convolve(low, low.read(data, layout), weights, bias, window, int_of(node, "group", 1), name)
    low.bind(result, add_computed_bias(low, node, tensor), layout)


def read_weights(low: Lowering, node: ir.Node) -> Tensor:
    """The weights in ONNX's order, constant or computed."""
    weights = node.inputs[1]
    assert weights is not None
    axes = len(low.shape(weights)) - 2
    if not 1 <= axes <= MAX_SPATIAL_AXES:
        raise low.refuse(node, f"its weights have {axes} spatial axes, expected 1 to {MAX_SPATIAL_AXES}")
    array = constant_input(node, 1)
    return low.read(weights) if array is None else low.floats(array, f"{node.outputs[0].name}/weights")


def constant_bias(node: ir.Node, index: int) -> Array | None:
    """The bias if it is constant; None where there is none or it is computed."""
    return constant_input(node, index)


def add_computed_bias(low: Lowering, node: ir.Node, tensor: Tensor) -> Tensor:
    """``tensor`` plus a bias that is not known before running."""
    bias = input_of(node, 2)
    if bias is None or low.constant(bias) is not None:
        return tensor
    return Algebra(low, str(node.outputs[0].name)).add(tensor, low.read(bias))


def arrange(low: Lowering, weights: Tensor, perm: tuple[int, ...], name: str) -> Tensor:
    """Weights in another order of axes: now if they are constant, else at run time."""
    if weights.data is not None:
        return low.floats(weights.data.transpose(perm), name)
    return low.transpose(weights, perm, name)


def reshape_weights(low: Lowering, weights: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """Weights in another shape: now if they are constant, else at run time."""
    if weights.data is not None:
        return low.floats(weights.data.reshape(shape), name)
    return low.reshape(weights, shape, name)


def part_of_weights(low: Lowering, weights: Tensor, begin: int, end: int, name: str) -> Tensor:
    """Some of the first axis of the weights."""
    if weights.data is not None:
        return low.floats(weights.data[begin:end], name)
    return Algebra(low, name).part(weights, 0, begin, end)


def convolve(
    low: Lowering, source: Tensor, weights: Tensor, bias: Array | None, window: Window, group: int, name: str
) -> Tensor:
    """The convolution of ``source`` (channels last) with ``weights`` in ONNX's order [outputs, inputs / group, ...]."""
    outputs = weights.shape[0]
    if len(window.kernel) == 1:
        line = (outputs, weights.shape[1], 1, *weights.shape[2:])
        plane = low.reshape(source, (source.shape[0], 1, *source.shape[1:]), f"{name}/plane")
        flat = reshape_weights(low, weights, line, f"{name}/weights")
        tensor = convolve(low, plane, flat, bias, window.over_a_plane(), group, f"{name}/over_a_plane")
        return low.reshape(tensor, (source.shape[0], *window.output, outputs), name)
    source = pad_window(low, source, window, name)
    bias = np.zeros(outputs, np.float32) if bias is None else bias
    if len(window.kernel) == MAX_SPATIAL_AXES:
        return _convolve_3d(low, source, weights, bias, window, group, name)
    depthwise = group == source.shape[-1] and weights.shape[1] == 1 and (group > 1 or outputs == 1)
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    inputs = [source, arrange(low, weights, order, f"{name}/weights"), low.floats(bias, f"{name}/bias")]
    options: dict[str, Option] = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
    }
    if depthwise:
        options["depthMultiplier"] = outputs // group
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    return low.emit(kind, inputs, (source.shape[0], *window.output, outputs), name, options=options)


def volume_options(window: Window) -> dict[str, Option]:
    """The options of CONV_3D and CONV_3D_TRANSPOSE."""
    options: dict[str, Option] = {"padding": window.padding}
    for letter, stride, dilation in zip("DHW", window.strides, window.dilations, strict=True):
        options[f"stride{letter}"] = stride
        options[f"dilation{letter}Factor"] = dilation
    return options


def _convolve_3d(
    low: Lowering, source: Tensor, weights: Tensor, bias: Array, window: Window, group: int, name: str
) -> Tensor:
    """CONV_3D, once for each group."""
    f = Algebra(low, name)
    inputs, outputs = source.shape[-1] // group, weights.shape[0] // group
    parts = []
    for g in range(group):
        some = f.part(source, 4, g * inputs, (g + 1) * inputs)
        own = weights if group == 1 else part_of_weights(
            low, weights, g * outputs, (g + 1) * outputs, f"{name}/group"
        )  # fmt: skip
        kernel = arrange(low, own, (2, 3, 4, 1, 0), f"{name}/weights")
        shift = low.floats(bias[g * outputs : (g + 1) * outputs], f"{name}/bias")
        shape = (source.shape[0], *window.output, outputs)
        parts.append(low.emit("CONV_3D", [some, kernel, shift], shape, name, options=volume_options(window)))
    return f.concat(parts, 4)
