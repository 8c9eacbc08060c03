"""Reshape and its kin, Transpose, DepthToSpace, SpaceToDepth: the same elements in another order or shape."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import int_of, ints_of, string_of
from edgewise_converters.lower.layout import (
    CHANNELS_LAST,
    after_transpose,
    identity,
    moves_data,
    reshape_layouts,
    stored_shape,
)
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_PICTURE_RANK = 4


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def lower_reshape(low: Lowering, node: ir.Node) -> None:
    """RESHAPE in the order the data already has, wherever the axes are only split or merged."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    before, after = low.shape(data), low.shape(result)
    if np.prod(before, dtype=np.int64) != np.prod(after, dtype=np.int64):
        raise low.refuse(node, f"it makes {after} of {before}, expected as many elements")
    have = low.stored(data).layout
    read, written = reshape_layouts(before, after, have)
    is_picture = len(after) == _PICTURE_RANK and written == CHANNELS_LAST
    if (
        moves_data(before, have, read) and not is_picture
    ):  # then at once to the order that matrix products want
        read, written = identity(len(before)), identity(len(after))
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


@lowers("BitCast")
def lower_bit_cast(low: Lowering, node: ir.Node) -> None:
    """BITCAST: the same bits, read as another type of the same size."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None and result.dtype is not None
    place = low.stored(data)
    dtype = np.dtype(result.dtype.numpy()).type
    tensor = low.emit("BITCAST", [place.tensor], place.tensor.shape, str(result.name), dtype=dtype)
    low.bind(result, tensor, place.layout)


@lowers("DepthToSpace", "SpaceToDepth")
def lower_depth_and_space(low: Lowering, node: ir.Node) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH; ONNX's CRD order is spelled out as reshape and transpose."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    block, name = int_of(node, "blocksize", 1), str(result.name)
    target = stored_shape(low.shape(result), CHANNELS_LAST)
    tensor = low.read(data, CHANNELS_LAST)
    crd = string_of(node, "mode", "DCR") == "CRD"
    if node.op_type == "DepthToSpace":
        if crd:  # the block lies inside the depth, TFLite has it outside
            tensor = _exchange(low, tensor, tensor.shape[-1] // block**2, block**2, f"{name}/outside")
        tensor = low.emit("DEPTH_TO_SPACE", [tensor], target, name, options={"blockSize": block})
    else:
        tensor = low.emit("SPACE_TO_DEPTH", [tensor], target, name, options={"blockSize": block})
        if crd:
            tensor = _exchange(low, tensor, block**2, tensor.shape[-1] // block**2, f"{name}/inside")
    low.bind(result, tensor, CHANNELS_LAST)


def _exchange(low: Lowering, tensor: Tensor, outer: int, inner: int, name: str) -> Tensor:
    """Channels of [outer, inner] as [inner, outer]."""
    batch, height, width, channels = tensor.shape
    split = low.reshape(tensor, (batch * height * width, outer, inner), f"{name}/split")
    swapped = low.transpose(split, [0, 2, 1], f"{name}/swapped")
    return low.reshape(swapped, (batch, height, width, channels), f"{name}/joined")
