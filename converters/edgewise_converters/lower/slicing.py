"""Slice, Concat, Split, ReverseSequence, CenterCropPad: parts taken along axes, and put together."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import (
    constant_input,
    input_of,
    int_of,
    ints_of,
    ints_of_either,
    normal_axes,
)
from edgewise_converters.lower.broadcasting import common_layout
from edgewise_converters.lower.kernel_types import as_int32
from edgewise_converters.lower.layout import stored_shape
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_MAX_SLICE_RANK = 5
"""TFLite kernels/strided_slice.cc."""


@lowers("Slice")
def lower_slice(low: Lowering, node: ir.Node) -> None:
    """STRIDED_SLICE with bounds clamped as ONNX says."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, place = low.shape(data), low.stored(data)
    starts, ends = ints_of_either(node, "starts", 1), ints_of_either(node, "ends", 2)
    if starts is None or ends is None:
        raise low.refuse(node, "its bounds are computed, expected constants")
    axes = normal_axes(ints_of_either(node, "axes", 3) or list(range(len(starts))), len(shape))
    steps = ints_of_either(node, "steps", 4) or [1] * len(starts)
    if 0 in steps:
        raise low.refuse(node, f"its steps are {steps}, expected none of zero")
    begin, end, step = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, from_, to, by in zip(axes, starts, ends, steps, strict=True):
        chosen = range(shape[axis])[from_:to:by]
        begin[axis] = end[axis] = shape[axis]
        if chosen:
            begin[axis], step[axis] = chosen[0], by
            end[axis] = chosen[-1] + (1 if by > 0 else -1)
    first, last, stride = ([values[axis] for axis in place.layout] for values in (begin, end, step))
    low.bind(result, cut(low, place.tensor, first, last, stride, str(result.name)), place.layout)


def cut(
    low: Lowering, tensor: Tensor, begin: Sequence[int], end: Sequence[int], steps: Sequence[int], name: str
) -> Tensor:
    """The part of a tensor from ``begin`` to before ``end``, -1 being before the first where a step is negative."""
    sizes = [len(range(b, e, s)) for b, e, s in zip(begin, end, steps, strict=True)]
    whole = [size == dim and step == 1 for size, dim, step in zip(sizes, tensor.shape, steps, strict=True)]
    if all(whole):
        return tensor
    source = tensor
    bounds = list(zip(begin, end, steps, sizes, strict=True))
    if len(tensor.shape) > _MAX_SLICE_RANK:
        runs = _runs(whole)
        source = low.reshape(
            tensor, [int(np.prod([tensor.shape[a] for a in run])) for run in runs], f"{name}/fewer"
        )
        bounds = [
            bounds[run[0]] if len(run) == 1 else (0, source.shape[i], 1, source.shape[i])
            for i, run in enumerate(runs)
        ]
    if len(bounds) > _MAX_SLICE_RANK:
        return _one_by_one(low, tensor, begin, end, steps, name)
    inputs = [source, *(low.ints([b[i] for b in bounds], f"{name}/{what}") for i, what in enumerate(_BOUNDS))]
    # An end of -1 would be the last element: the mask says to go past the first.
    options = {"endMask": sum(1 << i for i, (_, last, _, _) in enumerate(bounds) if last < 0)}
    part = low.emit("STRIDED_SLICE", inputs, [b[3] for b in bounds], name, options=options)
    return low.reshape(part, sizes, f"{name}/axes")


_BOUNDS = ("begin", "end", "steps")


def _runs(whole: Sequence[bool]) -> list[list[int]]:
    """Neighbouring axes that are kept whole, taken together."""
    runs: list[list[int]] = []
    for axis, kept in enumerate(whole):
        if kept and runs and whole[runs[-1][-1]]:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _one_by_one(
    low: Lowering, tensor: Tensor, begin: Sequence[int], end: Sequence[int], steps: Sequence[int], name: str
) -> Tensor:
    """Cut axis after axis, so that the others can be taken together."""
    for axis in range(len(tensor.shape)):
        one = [range(dim) for dim in tensor.shape]
        first = [begin[axis] if a == axis else 0 for a in range(len(one))]
        last = [end[axis] if a == axis else len(r) for a, r in enumerate(one)]
        by = [steps[axis] if a == axis else 1 for a in range(len(one))]
        tensor = cut(low, tensor, first, last, by, f"{name}/{axis}")
    return tensor


@lowers("Concat")
def lower_concat(low: Lowering, node: ir.Node) -> None:
    """CONCATENATION along the axis where it is stored."""
    values = [value for value in node.inputs if value is not None and 0 not in low.shape(value)]
    result = node.outputs[0]
    shape = low.shape(result)
    layout = common_layout(low, values, result)
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
    where = low.ints(axis, f"{name}/axis")
    sizes = [shape[axis] for shape in shapes]
    if place.tensor.dtype in _NOT_SPLIT:
        tensors = _cut_apart(low, place.tensor, axis, sizes, name)
    elif len(set(sizes)) == 1:
        tensors = low.emit_many(
            "SPLIT", [where, place.tensor], shapes, name, options={"numSplits": len(sizes)}
        )
    else:
        inputs = [place.tensor, low.ints(sizes, f"{name}/sizes"), where]
        tensors = low.emit_many("SPLIT_V", inputs, shapes, name, options={"numSplits": len(sizes)})
    for output, tensor in zip(node.outputs, tensors, strict=True):
        low.bind(output, tensor, place.layout)


_NOT_SPLIT = (np.dtype(np.bool_), np.dtype(np.int64))
"""What TFLite kernels/split.cc lacks, in one runtime or the other."""


def _cut_apart(low: Lowering, tensor: Tensor, axis: int, sizes: Sequence[int], name: str) -> list[Tensor]:
    parts, start = [], 0
    for number, size in enumerate(sizes):
        begin, end = [0] * len(tensor.shape), list(tensor.shape)
        begin[axis], end[axis] = start, start + size
        parts.append(cut(low, tensor, begin, end, [1] * len(begin), f"{name}/{number}"))
        start += size
    return parts


@lowers("ReverseSequence")
def lower_reverse_sequence(low: Lowering, node: ir.Node) -> None:
    """REVERSE_SEQUENCE: the first so many steps of each member of the batch turned round."""
    data, lengths, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and lengths is not None
    place = low.stored(data)
    options = {
        "seqDim": place.layout.index(int_of(node, "time_axis", 0)),
        "batchDim": place.layout.index(int_of(node, "batch_axis", 1)),
    }
    where, name = low.read(lengths), str(result.name)

    def reverse(tensor: Tensor) -> Tensor:
        return low.emit("REVERSE_SEQUENCE", [tensor, where], tensor.shape, name, options=options)

    low.bind(result, as_int32(low, place.tensor, name, reverse, lacks=(np.bool_, np.int8)), place.layout)


@lowers("CenterCropPad")
def lower_center_crop_pad(low: Lowering, node: ir.Node) -> None:
    """STRIDED_SLICE of what is too long, PAD of what is too short."""
    data, result, wanted = node.inputs[0], node.outputs[0], constant_input(node, 1)
    assert data is not None
    if wanted is None:
        raise low.refuse(node, f"its shape is computed by '{input_of(node, 1)}', expected a constant")
    shape, place, name = low.shape(data), low.stored(data), str(result.name)
    axes = normal_axes(ints_of(node, "axes", list(range(len(shape)))), len(shape))
    begin, end, rows = [0] * len(shape), list(shape), [(0, 0)] * len(shape)
    for axis, size in zip(axes, wanted.reshape(-1).tolist(), strict=True):
        missing = size - shape[axis]
        if missing < 0:
            begin[axis] = -missing // 2
            end[axis] = begin[axis] + size
        else:
            rows[axis] = (missing // 2, missing - missing // 2)
    first, last = ([values[axis] for axis in place.layout] for values in (begin, end))
    tensor = cut(low, place.tensor, first, last, [1] * len(first), f"{name}/cropped")
    if any(amount for row in rows for amount in row):
        where = low.ints([rows[axis] for axis in place.layout], f"{name}/pads")
        target = stored_shape(low.shape(result), place.layout)
        tensor = as_int32(
            low, tensor, name, lambda wide: low.emit("PAD", [wide, where], target, name), lacks=(np.bool_,)
        )
    low.bind(result, tensor, place.layout)
