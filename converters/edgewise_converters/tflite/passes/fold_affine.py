"""Scales and shifts per channel move into the weights and bias before them.

Needs: constant weights. Leaves: no MUL, ADD, SUB or DIV with a constant per channel behind a convolution or dense layer
without an activation that nobody else reads, also where a RESHAPE that keeps the channels stands between. Exact but
for float32 rounding (computed in float64).
"""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.passes.graph_edit import Links, drop, is_fused, with_constant

_OUTPUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""The axis of output channels in the weights."""


def apply(graph: Graph) -> bool:
    """Fold the first of every chain; returns whether anything changed."""
    links = Links.of(graph)
    gone: list[Operator] = []
    for operator in graph.operators:
        affine = _affine(operator)
        if affine is None:
            continue
        data, scale, shift = affine
        last, weighted = _weighted_before(data, links)
        if weighted is None or links.only_reader(data) is not operator or not _can_take(weighted):
            continue
        _take(weighted, scale, shift)
        last.outputs = operator.outputs
        if is_fused(operator):
            weighted.options["fusedActivationFunction"] = operator.options["fusedActivationFunction"]
        gone.append(operator)
        links = Links.of(graph)
    drop(graph, gone)
    return bool(gone)


def _weighted_before(data: Tensor, links: Links) -> tuple[Operator, Operator | None]:
    """What writes ``data``, and the operator with weights that is this or stands before this reshape."""
    last = links.producer(data)
    if last is None or last.kind != "RESHAPE":
        return last or Operator("", [], []), last
    inner = last.inputs[0]
    if inner is None or inner.shape[-1:] != data.shape[-1:] or links.only_reader(inner) is not last:
        return last, None
    return last, links.producer(inner)


def _affine(operator: Operator) -> tuple[Tensor, Array, Array] | None:
    """The data, scale and shift per channel (float64, [C]) if the operator computes data * scale + shift."""
    pair = with_constant(operator) if operator.kind in ("MUL", "ADD", "SUB", "DIV") else None
    if pair is None:
        return None
    data, array = pair
    channels = data.shape[-1] if data.shape else 0
    if data.shape != operator.output.shape or array.size not in (1, channels) or array.shape[-1:] == (0,):
        return None
    if array.size > 1 and array.shape[-1] != channels:
        return None
    vector = np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))
    one, zero = np.ones(channels), np.zeros(channels)
    reversed_ = operator.inputs[0] is not data
    if operator.kind == "MUL":
        return data, vector, zero
    if operator.kind == "ADD":
        return data, one, vector
    if operator.kind == "SUB":
        return (data, -one, vector) if reversed_ else (data, one, -vector)
    return None if reversed_ or not vector.all() else (data, one / vector, zero)


def _can_take(weighted: Operator) -> bool:
    if weighted.kind not in _OUTPUT_AXIS or is_fused(weighted):
        return False
    weights, bias = weighted.inputs[1], weighted.inputs[2] if len(weighted.inputs) > 2 else None
    if weights is None or weights.data is None or not weights.is_float:
        return False
    return bias is None or bias.data is not None


def _take(weighted: Operator, scale: Array, shift: Array) -> None:
    weights, bias = weighted.inputs[1], weighted.inputs[2] if len(weighted.inputs) > 2 else None
    assert weights is not None and weights.data is not None
    shape = [1] * len(weights.shape)
    shape[_OUTPUT_AXIS[weighted.kind]] = -1
    scaled = (weights.data * scale.reshape(shape)).astype(np.float32)
    old = np.zeros_like(shift) if bias is None or bias.data is None else bias.data.astype(np.float64)
    moved = (old.reshape(-1) * scale + shift).astype(np.float32)
    name = weighted.output.name
    new_weights = weights if np.all(scale == 1) else Tensor.constant(f"{weights.name}/scaled", scaled)
    new_bias = Tensor.constant(bias.name if bias is not None else f"{name}/bias", moved)
    weighted.inputs = [weighted.inputs[0], new_weights, new_bias]
