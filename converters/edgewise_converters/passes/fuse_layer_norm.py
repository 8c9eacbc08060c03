"""The spelled-out forms of layer and RMS normalization become those operators.

Needs: constants as initializers, static shapes. Leaves: LayerNormalization for (x - mean) / sqrt(variance + epsilon)
over the last axes (Ba et al. 2016, arXiv:1607.06450), RMSNormalization for x / sqrt(mean(x^2) + epsilon) (Zhang and
Sennrich 2019, arXiv:1910.07467), both with the scale, and the shift, that follow. Exact but for float32 rounding.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.passes.graph_edit import (
    add_constant,
    constant,
    only_user,
    producer,
    replace,
    scalar,
    with_scalar,
)  # fmt: skip
from edgewise_converters.readers.onnx_file import static_shape


@dataclass
class _Normalization:
    """What is known of one occurrence; ``nodes`` are those it replaces, in order."""

    data: ir.Value
    axes: list[int]
    epsilon: float
    centred: bool
    nodes: list[ir.Node]
    result: ir.Value
    scale: ir.Value | None = None
    shift: ir.Value | None = None


def apply(model: ir.Model) -> bool:
    """Fuse every occurrence; returns whether anything was fused."""
    changed = False
    for node in list(model.graph):
        if node.graph is not None and node.op_type == "Sqrt" and node.domain in ("", "ai.onnx"):
            found = _around(node)
            if found is not None:
                _take_scale_and_shift(found)
                _fuse(model.graph, found)
                changed = True
    return changed


def _around(root: ir.Node) -> _Normalization | None:
    """The normalization whose deviation this square root is."""
    added = producer(root.inputs[0], "Add")
    pair = with_scalar(added) if added is not None else None
    mean = producer(pair[0], "ReduceMean") if pair is not None else None
    square = mean.inputs[0].producer() if mean is not None and mean.inputs[0] is not None else None
    if added is None or pair is None or mean is None or square is None:
        return None
    deviation, axes, quotient = _root_of_square(square), _last_axes(mean), _quotient(root)
    inner = [square, mean, added, root]
    if deviation is None or not axes or quotient is None or quotient[0] is not deviation:
        return None
    nodes = inner + quotient[1]
    if not _is_inside([*inner, *quotient[1][:-1]]):
        return None
    plain = _Normalization(deviation, axes, pair[1], False, nodes, nodes[-1].outputs[0])
    return _centred(plain) or plain


def _root_of_square(node: ir.Node) -> ir.Value | None:
    """What a node multiplies with itself."""
    if node.op_type == "Mul" and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    return node.inputs[0] if node.op_type == "Pow" and scalar(node.inputs[1]) == 2.0 else None


def _last_axes(mean: ir.Node) -> list[int]:
    """The axes of a mean that keeps them, where they are the last ones; else none."""
    data = mean.inputs[0]
    if data is None or data.shape is None or not all(isinstance(dim, int) for dim in data.shape):
        return []
    if "keepdims" in mean.attributes and not mean.attributes["keepdims"].as_int():
        return []
    said = constant(mean.inputs[1]) if len(mean.inputs) > 1 else None
    if "axes" in mean.attributes:
        said = np.array(mean.attributes["axes"].as_ints())
    rank = len(data.shape)
    axes = sorted(int(axis) % rank for axis in said.reshape(-1)) if said is not None else []
    return axes if axes and axes == list(range(axes[0], rank)) else []


def _quotient(root: ir.Node) -> tuple[ir.Value, list[ir.Node]] | None:
    """What is divided by the root, and the nodes that do it."""
    node = only_user(root.outputs[0])
    if node is None:
        return None
    if node.op_type == "Div" and node.inputs[1] is root.outputs[0] and scalar(node.inputs[0]) is None:
        return (node.inputs[0], [node]) if node.inputs[0] is not None else None
    inverts = node.op_type == "Reciprocal" or (node.op_type == "Div" and scalar(node.inputs[0]) == 1.0)
    product = only_user(node.outputs[0]) if inverts else None
    if product is None or product.op_type != "Mul":
        return None
    other = product.inputs[1] if product.inputs[0] is node.outputs[0] else product.inputs[0]
    return (other, [node, product]) if other is not None else None


def _is_inside(nodes: list[ir.Node]) -> bool:
    """Whether nobody else reads what these nodes make."""
    return all(only_user(node.outputs[0]) is not None for node in nodes)


def _centred(found: _Normalization) -> _Normalization | None:
    """The same with its mean taken away first, if it is that."""
    minus = producer(found.data, "Sub")
    data, mean_value = (minus.inputs[0], minus.inputs[1]) if minus is not None else (None, None)
    mean = producer(mean_value, "ReduceMean")
    if minus is None or mean is None or data is None or mean.inputs[0] is not data:
        return None
    known = {id(node) for node in found.nodes}
    leaks = found.data.is_graph_output() or any(id(user) not in known for user, _ in found.data.uses())
    if leaks or only_user(mean.outputs[0]) is None or _last_axes(mean) != found.axes:
        return None
    nodes = [mean, minus, *found.nodes]
    return _Normalization(data, found.axes, found.epsilon, True, nodes, found.result)


def _take_scale_and_shift(found: _Normalization) -> None:
    """Take in the product, and for layer normalization the sum, with numbers along the normalized axes."""
    for op_type in ("Mul", "Add") if found.centred else ("Mul",):
        node = only_user(found.result)
        if node is None or node.op_type != op_type:
            return
        other = node.inputs[1] if node.inputs[0] is found.result else node.inputs[0]
        array = constant(other)
        shape = static_shape(found.data)[found.axes[0] :]
        if (
            other is None
            or array is None
            or array.size != np.prod(shape)
            or array.shape[-len(shape) :] != shape
        ):
            return
        assert node.graph is not None
        value = (
            other
            if array.shape == shape
            else add_constant(node.graph, f"{other.name}/row", array.reshape(shape))
        )
        found.scale, found.shift = (value, None) if op_type == "Mul" else (found.scale, value)
        found.nodes.append(node)
        found.result = node.outputs[0]


def _fuse(graph: ir.Graph, found: _Normalization) -> None:
    shape = static_shape(found.data)[found.axes[0] :]
    assert found.data.dtype is not None
    scale = found.scale or add_constant(
        graph, f"{found.result.name}/scale", np.ones(shape, found.data.dtype.numpy())
    )
    inputs: list[ir.Value | None] = [found.data, scale]
    if found.centred and found.shift is not None:
        inputs.append(found.shift)
    kind = "LayerNormalization" if found.centred else "RMSNormalization"
    replace(graph, found.nodes, kind, inputs, found.result, axis=found.axes[0], epsilon=found.epsilon)
