"""ConvTranspose over one, two or three axes of space; channels last."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import constant_input, int_of, ints_of, string_of
from edgewise_converters.lower.convolution import (
    MAX_SPATIAL_AXES,
    add_computed_bias,
    arrange,
    part_of_weights,
    read_weights,
    reshape_weights,
)  # fmt: skip
from edgewise_converters.lower.layout import channels_last
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Option, Tensor
from edgewise_converters.tflite.schema import Padding


@dataclass(frozen=True)
class _Reach:
    """What the windows write, and which part of it is the answer; per axis of space."""

    strides: tuple[int, ...]
    full: tuple[int, ...]
    begin: tuple[int, ...]
    """What is cut off before."""
    output: tuple[int, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """How far the answer goes beyond the last window: output_padding, which holds the bias only."""
        ends = (b + o for b, o in zip(self.begin, self.output, strict=True))
        return tuple(max(end - full, 0) for end, full in zip(ends, self.full, strict=True))


@lowers("ConvTranspose")
def lower_conv_transpose(low: Lowering, node: ir.Node) -> None:
    """TRANSPOSE_CONV or CONV_3D_TRANSPOSE with VALID padding for each group, cropped where ONNX pads."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, out_shape, name = low.shape(data), low.shape(result), str(result.name)
    weights = _dilated(low, node, read_weights(low, node))
    reach = _reach(node, shape[2:], out_shape[2:], weights.shape[2:])
    layout = channels_last(len(shape))
    source = low.read(data, layout)
    bias = constant_input(node, 2)
    inside = None if any(reach.missing) else bias
    if len(reach.full) == 1:
        source = low.reshape(source, (shape[0], 1, shape[2], shape[1]), f"{name}/plane")
        line = (*weights.shape[:2], 1, weights.shape[2])
        weights = reshape_weights(low, weights, line, f"{name}/weights")
        reach = _Reach((1, *reach.strides), (1, *reach.full), (0, *reach.begin), (1, *reach.output))
    f = Algebra(low, name)
    tensor = _cut(f, _spread(f, source, weights, inside, reach, int_of(node, "group", 1)), reach)
    if bias is not None and inside is None:
        tensor = f.add(tensor, bias)
    tensor = f.reshape(tensor, (shape[0], *out_shape[2:], out_shape[1]))
    low.bind(result, add_computed_bias(low, node, tensor), layout)


def _dilated(low: Lowering, node: ir.Node, weights: Tensor) -> Tensor:
    """Weights with zeros between them, which is what dilation means."""
    space = weights.shape[2:]
    dilations = ints_of(node, "dilations", [1] * len(space))
    if all(dilation == 1 for dilation in dilations):
        return weights
    if weights.data is None:
        raise low.refuse(node, "it is dilated and its weights are computed, expected constant weights")
    wide = [(size - 1) * dilation + 1 for size, dilation in zip(space, dilations, strict=True)]
    array = np.zeros((*weights.shape[:2], *wide), np.float32)
    array[(slice(None), slice(None), *(slice(None, None, dilation) for dilation in dilations))] = weights.data
    return low.floats(array, f"{node.outputs[0].name}/weights")


def _reach(node: ir.Node, space: tuple[int, ...], out: tuple[int, ...], kernel: tuple[int, ...]) -> _Reach:
    strides = ints_of(node, "strides", [1] * len(space))
    full = [(size - 1) * stride + k for size, stride, k in zip(space, strides, kernel, strict=True)]
    return _Reach(tuple(strides), tuple(full), tuple(_cut_before(node, full, out)), tuple(out))


def _cut_before(node: ir.Node, full: list[int], out: tuple[int, ...]) -> list[int]:
    """What is cut off before each axis (ONNX ConvTranspose: total_padding split as auto_pad says)."""
    mode = string_of(node, "auto_pad", "NOTSET")
    if mode == "NOTSET" and "output_shape" not in node.attributes:
        return ints_of(node, "pads", [0] * (2 * len(out)))[: len(out)]
    if mode == "VALID":
        return [0] * len(out)
    extra = ints_of(node, "output_padding", [0] * len(out))
    totals = [max(size + more - o, 0) for size, more, o in zip(full, extra, out, strict=True)]
    return [total // 2 if mode == "SAME_UPPER" else total - total // 2 for total in totals]


def _spread(
    f: Algebra, source: Tensor, weights: Tensor, bias: Array | None, reach: _Reach, group: int
) -> Tensor:
    """What the windows write; ``weights`` are [inputs, outputs / group, ...]."""
    last = len(source.shape) - 1
    inputs, outputs = weights.shape[0] // group, weights.shape[1]
    bias = np.zeros(outputs * group, np.float32) if bias is None else bias
    parts = []
    for g in range(group):
        some = f.part(source, last, g * inputs, (g + 1) * inputs)
        own = weights if group == 1 else part_of_weights(
            f.low, weights, g * inputs, (g + 1) * inputs, f"{f.name}/group"
        )  # fmt: skip
        parts.append(_spread_group(f, some, own, bias[g * outputs : (g + 1) * outputs], reach))
    return f.concat(parts, last)


def _spread_group(f: Algebra, source: Tensor, weights: Tensor, bias: Array, reach: _Reach) -> Tensor:
    shape = (source.shape[0], *reach.full, weights.shape[1])
    letters = "DHW"[-len(reach.full) :]
    options: dict[str, Option] = {"padding": Padding.VALID}
    options |= {f"stride{letter}": stride for letter, stride in zip(letters, reach.strides, strict=True)}
    volume = len(reach.full) == MAX_SPATIAL_AXES
    order = (2, 3, 4, 1, 0) if volume else (1, 2, 3, 0)
    inputs = [
        f.low.ints(shape, f"{f.name}/shape"),
        arrange(f.low, weights, order, f"{f.name}/weights"),
        source,
        f.low.floats(bias, f"{f.name}/bias"),
    ]
    kind = "CONV_3D_TRANSPOSE" if volume else "TRANSPOSE_CONV"
    return f.low.emit(kind, inputs, shape, f.name, dtype=np.float32, options=options)


def _cut(f: Algebra, tensor: Tensor, reach: _Reach) -> Tensor:
    """The part that is the answer, filled with zeros where it goes beyond."""
    tensor = f.pad(tensor, [(0, 0), *((0, more) for more in reach.missing), (0, 0)])
    end = [begin + size for begin, size in zip(reach.begin, reach.output, strict=True)]
    return f.slice(tensor, [0, *reach.begin, 0], [tensor.shape[0], *end, tensor.shape[-1]])
