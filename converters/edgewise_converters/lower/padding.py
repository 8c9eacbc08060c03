"""Pad in every mode, Expand and Tile: tensors made larger."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import (
    constant_input,
    float_of,
    input_of,
    ints_of_either,
    normal_axes,
    string_of,
)
from edgewise_converters.lower.gathering import gather
from edgewise_converters.lower.kernel_types import as_int32
from edgewise_converters.lower.layout import identity, stored_shape
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.slicing import cut
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.schema import MirrorMode

_MAX_PAD_RANK = 5
"""TFLite kernels/pad.cc."""
_Rows = Sequence[tuple[int, int]]


@lowers("Pad")
def lower_pad(low: Lowering, node: ir.Node) -> None:
    """PAD with zeros, PADV2 with another number, MIRROR_PAD or GATHER for what repeats; below zero is a cut."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place, shape, name = low.stored(data), low.shape(data), str(result.name)
    pads = ints_of_either(node, "pads", 1)
    if pads is None:
        raise low.refuse(node, "its pads are computed, expected constants")
    axes = normal_axes(ints_of_either(node, "axes", 3) or list(range(len(shape))), len(shape))
    amounts = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    rows = [amounts.get(axis, (0, 0)) for axis in place.layout]
    mode = string_of(node, "mode", "constant")

    def pad(tensor: Tensor) -> Tensor:
        if mode != "constant":
            return _repeating(low, tensor, rows, mode, name)
        return _with_number(low, node, _cropped(low, tensor, rows, name), _grown(rows), name)

    low.bind(result, as_int32(low, place.tensor, name, pad, lacks=(np.bool_,)), place.layout)


def _grown(rows: _Rows) -> list[tuple[int, int]]:
    return [(max(before, 0), max(after, 0)) for before, after in rows]


def _cropped(low: Lowering, tensor: Tensor, rows: _Rows, name: str) -> Tensor:
    begin = [max(-before, 0) for before, _ in rows]
    end = [dim - max(-after, 0) for dim, (_, after) in zip(tensor.shape, rows, strict=True)]
    return cut(low, tensor, begin, end, [1] * len(begin), f"{name}/cropped")


def _with_number(low: Lowering, node: ir.Node, tensor: Tensor, rows: _Rows, name: str) -> Tensor:
    if not any(amount for row in rows for amount in row):
        return tensor
    target = [dim + before + after for dim, (before, after) in zip(tensor.shape, rows, strict=True)]
    small, few, size = tensor, list(rows), list(target)
    if len(rows) > _MAX_PAD_RANK:
        small, few = _fewer_axes(low, tensor, rows, name)
        size = [dim + before + after for dim, (before, after) in zip(small.shape, few, strict=True)]
    if len(few) > _MAX_PAD_RANK:
        raise low.refuse(
            node, f"it pads {len(rows)} axes, expected at most {_MAX_PAD_RANK} that are padded or apart"
        )
    where = low.ints(few, f"{name}/pads")
    computed, number = input_of(node, 2), constant_input(node, 2)
    if computed is not None and number is None:
        fill = low.reshape(low.read(computed), [1], f"{name}/fill")
        if fill.dtype != tensor.dtype:
            fill = low.emit("CAST", [fill], [1], f"{name}/number", dtype=tensor.dtype.type)
        padded = low.emit("PADV2", [small, where, fill], size, name)
    elif (value := _number(node, number)) == 0:
        padded = low.emit("PAD", [small, where], size, name)
    else:
        fill = Tensor.constant(low.name(f"{name}/fill"), np.array([value], tensor.dtype))
        padded = low.emit("PADV2", [small, where, fill], size, name)
    return low.reshape(padded, target, f"{name}/axes")


def _number(node: ir.Node, number: Array | None) -> float | int:
    if number is None or not number.size:
        return float_of(node, "value", 0.0)
    value: float | int = number.reshape(-1)[0].item()
    return value


def _fewer_axes(
    low: Lowering, tensor: Tensor, rows: _Rows, name: str
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Neighbouring axes that are not padded, taken together."""
    sizes: list[int] = []
    few: list[tuple[int, int]] = []
    for dim, row in zip(tensor.shape, rows, strict=True):
        if few and row == few[-1] == (0, 0):
            sizes[-1] *= dim
        else:
            sizes.append(dim)
            few.append(row)
    return low.reshape(tensor, sizes, f"{name}/fewer"), few


def _repeating(low: Lowering, tensor: Tensor, rows: _Rows, mode: str, name: str) -> Tensor:
    """reflect, edge and wrap, axis by axis; one MIRROR_PAD where it says the same."""
    target = [dim + before + after for dim, (before, after) in zip(tensor.shape, rows, strict=True)]
    mirrors = mode == "reflect" and len(rows) <= _MAX_PAD_RANK
    if mirrors and all(min(row) >= 0 and max(row) < dim for dim, row in zip(tensor.shape, rows, strict=True)):
        where = low.ints(rows, f"{name}/pads")
        return low.emit("MIRROR_PAD", [tensor, where], target, name, options={"mode": MirrorMode.REFLECT})
    for axis, (before, after) in enumerate(rows):
        if before or after:
            chosen = _sources(tensor.shape[axis], before, after, mode)
            shape = [len(chosen) if a == axis else dim for a, dim in enumerate(tensor.shape)]
            tensor = gather(
                low, tensor, low.ints(chosen, f"{name}/chosen"), shape, f"{name}/{axis}", axis=axis
            )
    return tensor


def _sources(size: int, before: int, after: int, mode: str) -> list[int]:
    """Which element each place along a padded axis repeats."""
    kept = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
    chosen = np.pad(kept, (max(before, 0), max(after, 0)), mode=mode)  # type: ignore[call-overload]  # numpy's overloads want literals
    return [int(i) for i in chosen]


@lowers("Expand")
def lower_expand(low: Lowering, node: ir.Node) -> None:
    """BROADCAST_TO, in the layout the data has."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape = low.shape(result)
    layout = low.stored(data).layout if len(low.shape(data)) == len(shape) else identity(len(shape))
    tensor, target = low.read_broadcast(data, len(shape), layout), stored_shape(shape, layout)
    if tensor.shape != target:
        where = low.ints(target, f"{result.name}/shape")
        tensor = low.emit("BROADCAST_TO", [tensor, where], target, str(result.name))
    low.bind(result, tensor, layout)


@lowers("Tile")
def lower_tile(low: Lowering, node: ir.Node) -> None:
    """TILE by constant repeats."""
    data, result, repeats = node.inputs[0], node.outputs[0], constant_input(node, 1)
    assert data is not None
    if repeats is None:
        raise low.refuse(node, "its repeats are computed, expected constants")
    place, name = low.stored(data), str(result.name)
    counts = low.ints([int(repeats[axis]) for axis in place.layout], f"{name}/repeats")
    target, tensor = stored_shape(low.shape(result), place.layout), place.tensor
    tiled = as_int32(
        low, tensor, name, lambda wide: low.emit("TILE", [wide, counts], target, name), lacks=(np.int16,)
    )
    low.bind(result, tiled, place.layout)
