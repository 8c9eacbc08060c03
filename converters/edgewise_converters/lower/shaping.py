"""Operators that move or choose elements: reshape, transpose, concatenate, split, slice, pad, resize."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import (
    constant_input,
    float_of,
    input_of,
    int_of,
    ints_of,
    ints_of_either,
    normal_axes,
    string_of,
)  # fmt: skip
from edgewise_converters.lower.convolution import strided_slice
from edgewise_converters.lower.elementwise import common_layout
from edgewise_converters.lower.layout import (
    CHANNELS_LAST,
    after_transpose,
    identity,
    reshape_layouts,
    stored_shape,
)  # fmt: skip
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.schema import MirrorMode

_COORDINATES_OPSET = 11
"""Before it Resize had no choice of coordinates, and its scales were the second input."""
_SCALE_TOLERANCE = 1e-5


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def lower_reshape(low: Lowering, node: ir.Node) -> None:
    """RESHAPE in the order the data already has, wherever the axes are only split or merged."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    before, after = low.shape(data), low.shape(result)
    read, written = reshape_layouts(before, after, low.stored(data).layout)
    tensor = low.reshape(low.read(data, read), stored_shape(after, written), str(result.name))
    low.bind(result, tensor, written)


@lowers("Transpose")
def lower_transpose(low: Lowering, node: ir.Node) -> None:
    """Nothing is moved: the axes get other names, until an operator needs an order."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    perm = ints_of(node, "perm", list(reversed(range(len(place.layout)))))
    low.bind(result, place.tensor, after_transpose(place.layout, perm))


@lowers("Concat")
def lower_concat(low: Lowering, node: ir.Node) -> None:
    """CONCATENATION along the axis where it is stored."""
    values = [value for value in node.inputs if value is not None and 0 not in low.shape(value)]
    result = node.outputs[0]
    shape = low.shape(result)
    layout = common_layout(low, values, len(shape))
    axis = layout.index(normal_axes([int_of(node, "axis", 0)], len(shape))[0])
    tensors: list[Tensor | None] = [low.read(value, layout) for value in values]
    tensor = low.emit(
        "CONCATENATION", tensors, stored_shape(shape, layout), str(result.name), options={"axis": axis}
    )
    low.bind(result, tensor, layout)


@lowers("Split")
def lower_split(low: Lowering, node: ir.Node) -> None:
    """SPLIT into equal parts, SPLIT_V into others."""
    data = node.inputs[0]
    assert data is not None
    place = low.stored(data)
    axis = place.layout.index(normal_axes([int_of(node, "axis", 0)], len(place.layout))[0])
    shapes = [stored_shape(low.shape(output), place.layout) for output in node.outputs]
    name = str(node.outputs[0].name)
    where = low.ints(axis, f"{name}/axis")  # type: ignore[arg-type]
    sizes = [shape[axis] for shape in shapes]
    if len(set(sizes)) == 1:
        tensors = low.emit_many(
            "SPLIT", [where, place.tensor], shapes, name, options={"numSplits": len(sizes)}
        )
    else:
        inputs = [place.tensor, low.ints(sizes, f"{name}/sizes"), where]
        tensors = low.emit_many("SPLIT_V", inputs, shapes, name, options={"numSplits": len(sizes)})
    for output, tensor in zip(node.outputs, tensors, strict=True):
        low.bind(output, tensor, place.layout)


@lowers("Slice")
def lower_slice(low: Lowering, node: ir.Node) -> None:
    """STRIDED_SLICE with bounds clamped as ONNX says; negative steps need a reversal we do not write."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, place = low.shape(data), low.stored(data)
    starts, ends = ints_of_either(node, "starts", 1), ints_of_either(node, "ends", 2)
    if starts is None or ends is None:
        raise low.refuse(node, "its bounds are computed, expected constants")
    axes = normal_axes(ints_of_either(node, "axes", 3) or list(range(len(starts))), len(shape))
    steps = ints_of_either(node, "steps", 4) or [1] * len(starts)
    if min(steps) < 1:
        raise low.refuse(node, f"its steps are {steps}, expected positive ones")
    begin, end, step = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, from_, to, by in zip(axes, starts, ends, steps, strict=True):
        size = shape[axis]
        begin[axis] = min(max(from_ + size if from_ < 0 else from_, 0), size)
        end[axis] = max(min(max(to + size if to < 0 else to, 0), size), begin[axis])
        step[axis] = by
    first, last, stride = ([values[axis] for axis in place.layout] for values in (begin, end, step))
    tensor = strided_slice(low, place.tensor, first, last, stride, str(result.name))
    low.bind(result, tensor, place.layout)


@lowers("Pad")
def lower_pad(low: Lowering, node: ir.Node) -> None:
    """PAD with zeros, PADV2 with another number, MIRROR_PAD for reflect."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place, shape = low.stored(data), low.shape(data)
    pads = ints_of_either(node, "pads", 1)
    if pads is None:
        raise low.refuse(node, "its pads are computed, expected constants")
    axes = normal_axes(ints_of_either(node, "axes", 3) or list(range(len(shape))), len(shape))
    amounts = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    if min(pads, default=0) < 0:
        raise low.refuse(node, f"its pads are {pads}, expected none below zero")
    rows = [amounts.get(axis, (0, 0)) for axis in place.layout]
    name, target = str(result.name), stored_shape(low.shape(result), place.layout)
    where = low.ints(rows, f"{name}/pads")  # type: ignore[arg-type]
    mode, fill = string_of(node, "mode", "constant"), constant_input(node, 2)
    if fill is None and input_of(node, 2) is not None:
        raise low.refuse(node, "the number it pads with is computed, expected a constant")
    value = float(fill.reshape(-1)[0]) if fill is not None and fill.size else float_of(node, "value", 0.0)
    if mode == "reflect":
        tensor = low.emit(
            "MIRROR_PAD", [place.tensor, where], target, name, options={"mode": MirrorMode.REFLECT}
        )
    elif mode != "constant":
        raise low.refuse(node, f"its mode is {mode}, expected constant or reflect")
    elif value == 0.0:
        tensor = low.emit("PAD", [place.tensor, where], target, name)
    else:
        number = Tensor.constant(low.name(f"{name}/fill"), np.array([value], place.tensor.dtype))
        tensor = low.emit("PADV2", [place.tensor, where, number], target, name)
    low.bind(result, tensor, place.layout)


@lowers("Resize", "Upsample")
def lower_resize(low: Lowering, node: ir.Node) -> None:
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR, in the coordinate conventions that TFLite shares with ONNX."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    before, after = low.shape(data), low.shape(result)
    if len(before) != 4 or before[:2] != after[:2]:
        raise low.refuse(node, f"it resizes {before} to {after}, expected height and width of four axes")
    _check_scales(low, node, before, after)
    mode = string_of(node, "mode", "nearest")
    align, half = _conventions(low, node, mode, before, after)
    kind = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    size = low.ints(after[2:], f"{result.name}/size")
    target = stored_shape(after, CHANNELS_LAST)
    inputs = [low.read(data, CHANNELS_LAST), size]
    options = {"alignCorners": align, "halfPixelCenters": half}
    tensor = low.emit(kind, inputs, target, str(result.name), options=options)
    low.bind(result, tensor, CHANNELS_LAST)


def _check_scales(low: Lowering, node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Refuse what TFLite, which knows the sizes only, would do with another scale than ONNX does."""
    shrinks = any(new < old for old, new in zip(before, after, strict=True))
    if int_of(node, "antialias", 0) and shrinks:
        raise low.refuse(node, "antialias is set")
    policy = string_of(node, "keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise low.refuse(node, f"keep_aspect_ratio_policy is {policy}, expected stretch")
    if "scales" in node.attributes:
        scales: list[float] = list(node.attributes["scales"].as_floats())
    else:
        array = constant_input(node, 1 if low.opset < _COORDINATES_OPSET else 2)
        scales = [] if array is None else array.reshape(-1).tolist()
    axes = normal_axes(ints_of(node, "axes", list(range(len(before)))), len(before))
    for axis, scale in zip(axes, scales, strict=False):
        if abs(before[axis] * scale - after[axis]) > _SCALE_TOLERANCE * after[axis]:
            raise low.refuse(
                node,
                f"scale {scale:g} of {before[axis]} gives a fraction, expected whole pixels; give sizes instead",
            )


def _conventions(
    low: Lowering, node: ir.Node, mode: str, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[bool, bool]:
    """(alignCorners, halfPixelCenters) of the TFLite operator that reads the same pixels."""
    old = low.opset < _COORDINATES_OPSET
    convention = "asymmetric" if old else string_of(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        whole = all(new % old == 0 for old, new in zip(before[2:], after[2:], strict=True))
        # Before the attribute existed, growing rounded down and shrinking rounded up.
        rounding = string_of(node, "nearest_mode", "round_prefer_floor")
        if old:
            rounding = "floor" if all(b <= a for b, a in zip(before, after, strict=True)) else "ceil"
        if convention == "asymmetric" and rounding == "floor":
            return False, False
        if whole and convention in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round"):
            return False, False  # every new pixel lies nearest to the old one that floor gives
        raise low.refuse(node, f"nearest with {convention} and {rounding}")
    if mode != "linear":
        raise low.refuse(node, f"its mode is {mode}, expected nearest or linear")
    if convention == "align_corners":
        return True, False
    if convention == "half_pixel" or (convention == "pytorch_half_pixel" and min(after[2:]) > 1):
        return False, True
    if convention == "asymmetric":
        return False, False
    raise low.refuse(node, f"linear with coordinates {convention}")


@lowers("DepthToSpace", "SpaceToDepth")
def lower_depth_and_space(low: Lowering, node: ir.Node) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH; ONNX's CRD order is spelled out as reshape and transpose."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    block, name = int_of(node, "blocksize", 1), str(result.name)
    target = stored_shape(low.shape(result), CHANNELS_LAST)
    source = low.read(data, CHANNELS_LAST)
    if node.op_type == "DepthToSpace" and string_of(node, "mode", "DCR") == "CRD":
        batch, height, width, channels = source.shape
        depth = channels // (block * block)
        # CRD has the block inside the depth, TFLite outside: reorder the channels first.
        split = low.reshape(source, (batch * height * width, depth, block * block), f"{name}/split")
        swapped = low.transpose(split, [0, 2, 1], f"{name}/swapped")
        source = low.reshape(swapped, (batch, height, width, channels), f"{name}/joined")
    kind = "DEPTH_TO_SPACE" if node.op_type == "DepthToSpace" else "SPACE_TO_DEPTH"
    low.bind(result, low.emit(kind, [source], target, name, options={"blockSize": block}), CHANNELS_LAST)


@lowers("Gather")
def lower_gather(low: Lowering, node: ir.Node) -> None:
    """GATHER along an axis, in ONNX's own order."""
    data, indices, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    shape = low.shape(data)
    axis = normal_axes([int_of(node, "axis", 0)], len(shape))[0]
    chosen = constant_input(node, 1)
    if chosen is None:
        where = low.read(indices)
    else:
        where = Tensor.constant(
            low.name(f"{result.name}/indices"),
            np.where(chosen < 0, chosen + shape[axis], chosen).astype(np.int32),
        )
    source = low.read(data)
    low.bind(
        result,
        low.emit(
            "GATHER",
            [source, where],
            low.shape(result),
            str(result.name),
            dtype=source.dtype,
            options={"axis": axis},
        ),
    )


@lowers("Expand")
def lower_expand(low: Lowering, node: ir.Node) -> None:
    """BROADCAST_TO."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape = low.shape(result)
    tensor = low.read_broadcast(data, len(shape), identity(len(shape)))
    target = low.ints(shape, f"{result.name}/shape")
    low.bind(result, low.emit("BROADCAST_TO", [tensor, target], shape, str(result.name)))


@lowers("Tile")
def lower_tile(low: Lowering, node: ir.Node) -> None:
    """TILE by constant repeats."""
    data, result, repeats = node.inputs[0], node.outputs[0], constant_input(node, 1)
    assert data is not None
    if repeats is None:
        raise low.refuse(node, "its repeats are computed, expected constants")
    place = low.stored(data)
    counts = low.ints([int(repeats[axis]) for axis in place.layout], f"{result.name}/repeats")
    target = stored_shape(low.shape(result), place.layout)
    low.bind(result, low.emit("TILE", [place.tensor, counts], target, str(result.name)), place.layout)
