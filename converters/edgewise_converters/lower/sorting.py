"""TopK, OneHot, Trilu, Col2Im: what needs an order, a place or a count of its own."""

import itertools

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.attributes import (
    constant_input,
    input_of,
    int_of,
    ints_of,
    ints_of_either,
    normal_axes,
)  # fmt: skip
from edgewise_converters.lower.gathering import not_negative
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.slicing import cut
from edgewise_converters.tflite.graph import Operator, Tensor

_NARROW = (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16))


@lowers("TopK")
def lower_top_k(low: Lowering, node: ir.Node) -> None:
    """TOPK_V2 over the last stored axis; the smallest are the largest of what is turned over."""
    data, (values, indices) = node.inputs[0], node.outputs
    assert data is not None
    count = [int_of(node, "k", 0)] if "k" in node.attributes else ints_of_either(node, "k", 1)
    if count is None:
        raise low.refuse(node, "its k is computed, expected a constant")
    shape, name = low.shape(data), str(values.name)
    axis = normal_axes([int_of(node, "axis", -1)], len(shape))[0]
    layout = (*(a for a in low.stored(data).layout if a != axis), axis)
    source, smallest = low.read(data, layout), not int_of(node, "largest", 1)
    wide = source
    if source.dtype in _NARROW:
        wide = low.emit("CAST", [source], source.shape, f"{name}/int32", dtype=np.int32)
    target = (*source.shape[:-1], count[0])
    turned = _turned_over(low, wide, f"{name}/turned") if smallest else wide
    top = Tensor(low.name(f"{name}/top"), target, turned.dtype)
    places = Tensor(low.name(f"{name}/places"), target, np.dtype(np.int32))
    k = Tensor.constant(low.name(f"{name}/k"), np.array(count[0], np.int32))
    low.graph.operators.append(Operator("TOPK_V2", [turned, k], [top, places]))
    best = _turned_over(low, top, f"{name}/back") if smallest else top
    if best.dtype != source.dtype:
        best = low.emit("CAST", [best], target, name, dtype=source.dtype.type)
    low.bind(values, best, layout)
    low.bind(indices, low.emit("CAST", [places], target, str(indices.name), dtype=np.int64), layout)


def _turned_over(low: Lowering, tensor: Tensor, name: str) -> Tensor:
    """The same numbers in the opposite order, without an overflow: -x, and -1 - x for integers."""
    if tensor.is_float:
        return low.emit("NEG", [tensor], tensor.shape, name)
    minus_one = Tensor.constant(low.name(f"{name}/minus_one"), np.array(-1, tensor.dtype))
    return low.emit("SUB", [minus_one, tensor], tensor.shape, name, dtype=tensor.dtype.type)


@lowers("OneHot")
def lower_one_hot(low: Lowering, node: ir.Node) -> None:
    """ONE_HOT; what lies outside the depth gives only off."""
    indices, values, result = node.inputs[0], node.inputs[2], node.outputs[0]
    assert indices is not None and values is not None
    depth, name, shape = constant_input(node, 1), str(result.name), low.shape(result)
    if depth is None:
        raise low.refuse(node, "its depth is computed, expected a constant")
    size = int(depth.reshape(-1)[0])
    where = low.read(indices)
    if where.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
        where = low.emit("CAST", [where], where.shape, f"{name}/indices", dtype=np.int32)
    where = not_negative(low, where, [size], f"{name}/positive")
    pair = low.read(values)
    off, on = (
        low.reshape(cut(low, pair, [i], [i + 1], [1], f"{name}/{what}"), (), f"{name}/{what}")
        for i, what in enumerate(("off", "on"))
    )
    axis = normal_axes([int_of(node, "axis", -1)], len(shape))[0]
    classes = Tensor.constant(low.name(f"{name}/depth"), np.array(size, np.int32))
    inputs = [where, classes, on, off]
    tensor = low.emit("ONE_HOT", inputs, shape, name, dtype=on.dtype.type, options={"axis": axis})
    low.bind(result, tensor)


@lowers("Trilu")
def lower_trilu(low: Lowering, node: ir.Node) -> None:
    """SELECT_V2 by a constant mask: what is cut off may be infinite."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    offset, name, shape = constant_input(node, 1), str(result.name), low.shape(data)
    if offset is None and input_of(node, 1) is not None:
        raise low.refuse(node, "its k is computed, expected a constant")
    k = 0 if offset is None else int(offset.reshape(-1)[0])
    every = np.ones((1, *shape[-2:]), np.bool_)
    mask = np.triu(every, k) if int_of(node, "upper", 1) else np.tril(every, k)
    source = low.reshape(low.read(data), (int(np.prod(shape[:-2])), *shape[-2:]), f"{name}/matrices")
    kept = Tensor.constant(low.name(f"{name}/mask"), mask)
    zero = Tensor.constant(low.name(f"{name}/zero"), np.zeros((1, 1, 1), source.dtype))
    tensor = low.emit("SELECT_V2", [kept, source, zero], source.shape, name, dtype=source.dtype.type)
    low.bind(result, low.reshape(tensor, shape, f"{name}/axes"))


@lowers("Col2Im")
def lower_col2im(low: Lowering, node: ir.Node) -> None:
    """SCATTER_ND adds the columns up in an image with its padding, which is cut off."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    image, block = ints_of_either(node, "image_shape", 1), ints_of_either(node, "block_shape", 2)
    if image is None or block is None:
        raise low.refuse(node, "its shapes are computed, expected constants")
    rank, name, shape = len(image), str(result.name), low.shape(result)
    pads = ints_of(node, "pads", [0] * (2 * rank))
    padded = [size + pads[i] + pads[i + rank] for i, size in enumerate(image)]
    where = _columns(
        padded, block, ints_of(node, "strides", [1] * rank), ints_of(node, "dilations", [1] * rank)
    )
    planes = shape[0] * shape[1]
    rows = low.transpose(
        low.reshape(low.read(data), (planes, where.size), f"{name}/planes"), [1, 0], f"{name}/rows"
    )
    target = (int(np.prod(padded)), planes)
    index = Tensor.constant(low.name(f"{name}/where"), where.reshape(-1, 1))
    total = low.emit(
        "SCATTER_ND",
        [index, rows, low.ints(target, f"{name}/size")],
        target,
        f"{name}/sum",
        dtype=rows.dtype.type,
    )
    whole = low.reshape(low.transpose(total, [1, 0], f"{name}/back"), (planes, *padded), f"{name}/padded")
    begin = [0, *pads[:rank]]
    end = [planes, *(pads[i] + size for i, size in enumerate(image))]
    low.bind(result, low.reshape(cut(low, whole, begin, end, [1] * len(end), name), shape, f"{name}/axes"))


def _columns(padded: list[int], block: list[int], strides: list[int], dilations: list[int]) -> Array:
    """Flat place in the padded image of every element of every column: block by block, then window by window."""
    counts = [
        (p - d * (b - 1) - 1) // s + 1 for p, b, s, d in zip(padded, block, strides, dilations, strict=True)
    ]
    places = []
    for within in itertools.product(*(range(b) for b in block)):
        axes = [
            np.arange(count) * stride + offset * dilation
            for count, stride, offset, dilation in zip(counts, strides, within, dilations, strict=True)
        ]
        places.append(np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), padded).reshape(-1))
    return np.asarray(np.concatenate(places), np.int32)
