"""Poolings over space."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import int_of, ints_of
from edgewise_converters.lower.convolution import pad_window
from edgewise_converters.lower.layout import CHANNELS_LAST, channels_last, stored_shape
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.windows import Window, plan_window
from edgewise_converters.tflite.graph import Tensor

LOWEST = float(np.finfo(np.float32).min)


@lowers("MaxPool")
def lower_max_pool(low: Lowering, node: ir.Node) -> None:
    """MaxPool to MAX_POOL_2D; padding other than SAME is filled with the lowest number."""
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        raise low.refuse(node, "its indices are used, expected only the maxima")
    window = _window(low, node)
    if window.dilations != (1, 1):
        raise low.refuse(node, f"it is dilated by {window.dilations}, expected 1")
    source = pad_window(low, _source(low, node), window, str(node.outputs[0].name), fill=LOWEST)
    _pool(low, node, "MAX_POOL_2D", source, window)


@lowers("AveragePool")
def lower_average_pool(low: Lowering, node: ir.Node) -> None:
    """AveragePool to AVERAGE_POOL_2D, which leaves padding out of the mean as count_include_pad=0 does."""
    window = _window(low, node)
    if window.dilations != (1, 1):
        raise low.refuse(node, f"it is dilated by {window.dilations}, expected 1")
    name, result = str(node.outputs[0].name), node.outputs[0]
    includes = int_of(node, "count_include_pad", 0)
    declared = window.pads
    if includes and any(side != (0, 0) for side in declared):
        window = Window(**{**vars(window), "padding": 1, "explicit": declared})
        if int_of(node, "ceil_mode", 0):
            raise low.refuse(node, "count_include_pad together with ceil_mode")
    source = pad_window(low, _source(low, node), window, name)
    if not window.needs_pad or includes:
        _pool(low, node, "AVERAGE_POOL_2D", source, window)
        return
    space = low.shape(node.inputs[0])[2:]  # type: ignore[arg-type]
    mean = _emit(low, "AVERAGE_POOL_2D", source, window, low.shape(result), f"{name}/mean")
    counts = np.outer(*(_counts(space[a], window, a) for a in (0, 1)))
    factor = low.floats((window.kernel[0] * window.kernel[1] / counts)[None, :, :, None], f"{name}/factor")
    low.bind(result, low.emit("MUL", [mean, factor], mean.shape, name), CHANNELS_LAST)


def _counts(size: int, window: Window, axis: int) -> Array:
    """How many of each window's positions lie on the input."""
    starts = np.arange(window.output[axis]) * window.strides[axis] - window.pads[axis][0]
    ends = np.minimum(starts + window.kernel[axis], size)
    return np.asarray(ends - np.maximum(starts, 0))


def _window(low: Lowering, node: ir.Node) -> Window:
    kernel = ints_of(node, "kernel_shape", [])
    if len(kernel) != 2:
        raise low.refuse(node, f"it has {len(kernel)} spatial axes, expected 2")
    data = node.inputs[0]
    assert data is not None
    return plan_window(node, low.shape(data)[2:], kernel, low.shape(node.outputs[0])[2:])


def _source(low: Lowering, node: ir.Node) -> Tensor:
    assert node.inputs[0] is not None
    return low.read(node.inputs[0], CHANNELS_LAST)


def _emit(
    low: Lowering, kind: str, source: Tensor, window: Window, shape: tuple[int, ...], name: str
) -> Tensor:
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "filterHeight": window.kernel[0],
        "filterWidth": window.kernel[1],
    }
    return low.emit(kind, [source], stored_shape(shape, CHANNELS_LAST), name, options=options)


def _pool(low: Lowering, node: ir.Node, kind: str, source: Tensor, window: Window) -> None:
    result = node.outputs[0]
    low.bind(result, _emit(low, kind, source, window, low.shape(result), str(result.name)), CHANNELS_LAST)


@lowers("GlobalAveragePool", "GlobalMaxPool")
def lower_global_pool(low: Lowering, node: ir.Node) -> None:
    """The mean or maximum over all spatial axes, which stay with length one."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    layout = channels_last(len(low.shape(data)))
    source = low.read(data, layout)
    axes = low.ints(list(range(1, len(layout) - 1)), f"{result.name}/axes")
    kind = "MEAN" if node.op_type == "GlobalAveragePool" else "REDUCE_MAX"
    shape = stored_shape(low.shape(result), layout)
    low.bind(
        result, low.emit(kind, [source, axes], shape, str(result.name), options={"keepDims": True}), layout
    )
