"""DeformConv: a convolution whose window reads at computed places."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import input_of, int_of, ints_of
from edgewise_converters.lower.convolution import read_weights
from edgewise_converters.lower.layout import CHANNELS_LAST
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.sampling import gather_weighted, linear_taps
from edgewise_converters.tflite.graph import Tensor


@lowers("DeformConv", in_float=True)
def lower_deform_conv(low: Lowering, node: ir.Node) -> None:
    """Every place of the window from the four pixels around it, then one product of matrices per group."""
    data, result, bias = node.inputs[0], node.outputs[0], input_of(node, 3)
    assert data is not None
    if len(low.shape(data)) != 4:
        raise low.refuse(node, f"its input has {len(low.shape(data))} axes, expected four")
    f, weights = Algebra(low, str(result.name)), read_weights(low, node)
    columns = _columns(low, f, node, low.read(data, CHANNELS_LAST), weights.shape[2:])
    group = int_of(node, "group", 1)
    inputs, outputs = weights.shape[1], weights.shape[0] // group
    rows = f.transpose(weights, [0, 2, 3, 1])
    parts = []
    for g in range(group):
        some = f.part(columns, 2, g * inputs, (g + 1) * inputs)
        flat = f.reshape(some, (some.shape[0], some.shape[1] * inputs))
        own = f.reshape(f.part(rows, 0, g * outputs, (g + 1) * outputs), (outputs, flat.shape[1]))
        parts.append(f.product(flat, own, transpose_right=True))
    shape = low.shape(result)
    tensor = f.reshape(f.concat(parts, 1), (shape[0], *shape[2:], shape[1]))
    low.bind(result, tensor if bias is None else f.add(tensor, low.read(bias)), CHANNELS_LAST)


def _columns(low: Lowering, f: Algebra, node: ir.Node, source: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """[batch * places, window, channels]: what the window reads at each place."""
    batch, _, height, width = low.shape(node.outputs[0])
    window, places, groups = int(np.prod(kernel)), height * width, int_of(node, "offset_group", 1)
    offsets, masks = node.inputs[2], input_of(node, 4)
    assert offsets is not None
    moved = f.reshape(low.read(offsets), (batch, groups * window, 2, places))
    # Sorted so that both coordinates of a group lie together: [batch, groups * window, places] each.
    y, x = (f.reshape(f.part(moved, 2, i, i + 1), (batch, groups * window, places)) for i in (0, 1))
    mask = None if masks is None else f.reshape(low.read(masks), (batch, groups * window, places))
    channels = source.shape[3] // groups
    parts = []
    for g in range(groups):
        taps = []
        for axis, offset in enumerate((y, x)):
            own = f.part(offset, 1, g * window, (g + 1) * window)
            place = f.add(own, _grid(node, axis, kernel, (height, width)))
            taps.append(linear_taps(f, f.reshape(place, (batch, window * places, 1)), source.shape[1 + axis]))
        pixels = gather_weighted(f, f.part(source, 3, g * channels, (g + 1) * channels), taps)
        if mask is not None:
            counted = f.part(mask, 1, g * window, (g + 1) * window)
            pixels = f.mul(pixels, f.reshape(counted, (batch, window * places, 1)))
        parts.append(pixels)
    read = f.reshape(f.concat(parts, 2), (batch, window, places, source.shape[3]))
    return f.reshape(f.transpose(read, [0, 2, 1, 3]), (batch * places, window, source.shape[3]))


def _grid(node: ir.Node, axis: int, kernel: tuple[int, ...], output: tuple[int, ...]) -> Array:
    """[1, window, places]: where the window would read without offsets, along height (0) or width (1)."""
    strides, dilations = ints_of(node, "strides", [1, 1]), ints_of(node, "dilations", [1, 1])
    first = ints_of(node, "pads", [0, 0, 0, 0])[axis]
    within = np.indices(kernel)[axis].reshape(-1, 1) * dilations[axis]
    starts = np.indices(output)[axis].reshape(1, -1) * strides[axis] - first
    return np.asarray((within + starts)[None], np.float32)
