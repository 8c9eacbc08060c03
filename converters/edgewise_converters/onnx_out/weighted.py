"""Layers with constant weights, convolutions and dense ones alike, as groups of outputs that multiply patches."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.onnx_out.dense import Dense, dense_of
from edgewise_converters.passes.graph_edit import constant


@dataclass(frozen=True)
class Convolution:
    """A Conv over any number of spatial axes with constant weights."""

    node: ir.Node
    data: ir.Value
    weights: Array
    """Outputs first, float32 [O, inputs per group, *kernel]."""
    bias: Array | None
    groups: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    """Before and after, by spatial axis."""


def convolution_of(node: ir.Node) -> Convolution | None:
    """The convolution that a Conv with constant float32 weights and static shapes is, else None."""
    if node.domain not in ("", "ai.onnx") or node.op_type != "Conv":
        return None
    data, weights = node.inputs[0], constant(node.inputs[1])
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    bias = constant(node.inputs[2]) if has_bias else None
    if data is None or weights is None or weights.dtype != np.float32 or (has_bias and bias is None):
        return None
    if constant(data) is not None or data.shape is None or node.outputs[0].shape is None:
        return None
    if not all(isinstance(dim, int) for dim in (*data.shape, *node.outputs[0].shape)):
        return None
    spatial = weights.ndim - 2
    strides = _ints(node, "strides", (1,) * spatial)
    dilations = _ints(node, "dilations", (1,) * spatial)
    pads = _pads(node, data, weights.shape[2:], strides, dilations)
    return Convolution(node, data, weights, bias, _ints(node, "group", (1,))[0], strides, dilations, pads)


def weighted_of(node: ir.Node) -> Convolution | Dense | None:
    """The layer that a node is, if it has constant weights."""
    return convolution_of(node) or dense_of(node)


def grouped(layer: Convolution | Dense) -> Array:
    """The weights as [groups, outputs of each, K]: what is multiplied with K numbers of each patch."""
    if isinstance(layer, Dense):
        return layer.weights.T[np.newaxis]
    outputs = layer.weights.shape[0]
    return layer.weights.reshape(layer.groups, outputs // layer.groups, -1)


def as_stored(layer: Convolution | Dense, weights: Array) -> Array:
    """Weights of `grouped` in the shape of the layer's own, a dense layer's being inputs by outputs."""
    if isinstance(layer, Dense):
        return np.ascontiguousarray(weights[0].T)
    return np.ascontiguousarray(weights.reshape(layer.weights.shape))


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    if name not in node.attributes:
        return default
    value = node.attributes[name].value
    return (value,) if isinstance(value, int) else tuple(value)


def _pads(
    node: ir.Node,
    data: ir.Value,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Explicit pads, or those that auto_pad amounts to (ONNX operator specification, Conv)."""
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    rank = len(kernel)
    if mode in ("NOTSET", "VALID"):
        flat = _ints(node, "pads", (0,) * 2 * rank) if mode == "NOTSET" else (0,) * 2 * rank
        return tuple((flat[axis], flat[axis + rank]) for axis in range(rank))
    assert data.shape is not None
    pads = []
    for axis in range(rank):
        size = int(str(data.shape[axis + 2]))
        outputs = -(-size // strides[axis])
        total = max((outputs - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - size, 0)
        small = total // 2
        pads.append((small, total - small) if mode == "SAME_UPPER" else (total - small, small))
    return tuple(pads)
