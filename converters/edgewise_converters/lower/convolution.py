"""Conv, ConvTranspose: constant weights, NHWC."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import constant_input, input_of, int_of, ints_of
from edgewise_converters.lower.layout import CHANNELS_LAST, stored_shape
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.windows import Window, plan_window
from edgewise_converters.tflite.graph import Tensor


@lowers("Conv")
def lower_conv(low: Lowering, node: ir.Node) -> None:
    """Conv to CONV_2D or DEPTHWISE_CONV_2D; padding that TFLite has no word for goes into a PAD."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    weights = _weights(low, node)
    shape, out_shape = low.shape(data), low.shape(result)
    window = plan_window(node, shape[2:], weights.shape[2:], out_shape[2:])
    group, channels = int_of(node, "group", 1), shape[1]
    bias = _bias(low, node, weights.shape[0])
    depthwise = group == channels and weights.shape[1] == 1 and (group > 1 or weights.shape[0] == 1)
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    name = str(result.name)
    source = pad_window(low, low.read(data, CHANNELS_LAST), window, name)
    inputs = [
        source,
        low.floats(weights.transpose(order), f"{name}/weights"),
        low.floats(bias, f"{name}/bias"),
    ]
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
    }
    if depthwise:
        options["depthMultiplier"] = weights.shape[0] // group
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    low.bind(
        result,
        low.emit(kind, inputs, stored_shape(out_shape, CHANNELS_LAST), name, options=options),
        CHANNELS_LAST,
    )


def _weights(low: Lowering, node: ir.Node) -> Array:
    weights = constant_input(node, 1)
    if weights is None:
        raise low.refuse(node, "its weights are computed, expected constants")
    if weights.ndim != 4:
        raise low.refuse(node, f"its weights have {weights.ndim - 2} spatial axes, expected 2")
    return weights


def _bias(low: Lowering, node: ir.Node, channels: int) -> Array:
    bias = constant_input(node, 2)
    if input_of(node, 2) is not None and bias is None:
        raise low.refuse(node, "its bias is computed, expected a constant")
    return np.zeros(channels, np.float32) if bias is None else bias


def pad_window(
    low: Lowering, tensor: Tensor, window: Window, name: str, *, fill: float | None = None
) -> Tensor:
    """Put a PAD (or a PADV2 with ``fill``) before a window where it needs one."""
    if not window.needs_pad:
        return tensor
    (top, bottom), (left, right) = window.explicit
    batch, height, width, channels = tensor.shape
    shape = (batch, height + top + bottom, width + left + right, channels)
    amounts = low.ints([[0, 0], [top, bottom], [left, right], [0, 0]], f"{name}/pads")  # type: ignore[list-item]
    if fill is None:
        return low.emit("PAD", [tensor, amounts], shape, f"{name}/padded")
    return low.emit("PADV2", [tensor, amounts, low.floats([fill], f"{name}/fill")], shape, f"{name}/padded")


@lowers("ConvTranspose")
def lower_conv_transpose(low: Lowering, node: ir.Node) -> None:
    """ConvTranspose to TRANSPOSE_CONV with VALID padding, cropped by a STRIDED_SLICE where ONNX pads."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    weights = _weights(low, node)
    if int_of(node, "group", 1) != 1 or any(d != 1 for d in ints_of(node, "dilations", [1, 1])):
        raise low.refuse(node, "it is grouped or dilated, expected group 1 and dilation 1")
    shape, out_shape = low.shape(data), low.shape(result)
    strides = ints_of(node, "strides", [1, 1])
    kernel = weights.shape[2:]
    pads = _transposed_pads(node, shape[2:], out_shape[2:], strides, kernel)
    name = str(result.name)
    full = [(shape[2 + a] - 1) * strides[a] + kernel[a] for a in (0, 1)]
    # TRANSPOSE_CONV writes what the windows reach; output_padding beyond that reach would be bias only.
    if any(pads[a] + out_shape[2 + a] > full[a] for a in (0, 1)):
        raise low.refuse(node, "its output padding reaches past the last window")
    full_shape = (out_shape[0], *full, out_shape[1])
    bias = _bias(low, node, out_shape[1])
    inputs = [
        low.ints(full_shape, f"{name}/shape"),
        low.floats(weights.transpose(1, 2, 3, 0), f"{name}/weights"),
        low.read(data, CHANNELS_LAST),
        low.floats(bias, f"{name}/bias"),
    ]
    options = {"padding": 1, "strideH": strides[0], "strideW": strides[1]}
    tensor = low.emit("TRANSPOSE_CONV", inputs, full_shape, name, dtype=np.float32, options=options)
    if tuple(full) != out_shape[2:]:
        begin = [0, pads[0], pads[1], 0]
        end = [out_shape[0], pads[0] + out_shape[2], pads[1] + out_shape[3], out_shape[1]]
        tensor = strided_slice(low, tensor, begin, end, [1, 1, 1, 1], f"{name}/cropped")
    low.bind(result, tensor, CHANNELS_LAST)


def _transposed_pads(
    node: ir.Node, space: tuple[int, ...], out: tuple[int, ...], strides: list[int], kernel: tuple[int, ...]
) -> list[int]:
    """What is cut off before each axis (ONNX ConvTranspose: total_padding split as auto_pad says)."""
    if "pads" in node.attributes and "output_shape" not in node.attributes:
        return list(node.attributes["pads"].as_ints())[:2]
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    extra = ints_of(node, "output_padding", [0, 0])
    totals = [strides[a] * (space[a] - 1) + extra[a] + kernel[a] - out[a] for a in (0, 1)]
    return [
        max(total, 0) // 2 if mode == "SAME_UPPER" else max(total, 0) - max(total, 0) // 2 for total in totals
    ]


def strided_slice(
    low: Lowering, tensor: Tensor, begin: list[int], end: list[int], steps: list[int], name: str
) -> Tensor:
    """Emit a STRIDED_SLICE with positive steps and bounds within the tensor."""
    shape = [-(-(e - b) // s) for b, e, s in zip(begin, end, steps, strict=True)]
    inputs = [
        tensor,
        low.ints(begin, f"{name}/begin"),
        low.ints(end, f"{name}/end"),
        low.ints(steps, f"{name}/steps"),
    ]
    return low.emit("STRIDED_SLICE", inputs, shape, name)
