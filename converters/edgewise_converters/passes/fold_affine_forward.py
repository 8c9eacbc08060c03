"""One scale and one shift for all of a tensor move into the weights and biases behind it.

Networks that train such a pair behind each activation (PP-LCNetV3) would round it twice more in int8.

Needs: constant weights. Leaves: no Mul, Add, Sub or Div with a single number between values that only Convs or Gemms
read, but one Add where padding with zeros makes the shift differ at the border. What is a vector of channels stays: it
evens channels out, which int8 needs. Exact but for float32 rounding of the weights (computed in float64).
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.fold_affine import affine_of
from edgewise_converters.passes.graph_edit import add_constant, constant, only_user, replace

_WEIGHTED = frozenset({"Conv", "Gemm"})
_MOST = 1e6
"""Scales beyond this, or below one in this, are left where they are."""


@dataclass(frozen=True)
class _Affine:
    """What one node, or two in a row, compute: data * scale + shift."""

    data: ir.Value
    scale: float
    shift: float
    nodes: tuple[ir.Node, ...]


def apply(model: ir.Model) -> bool:
    """Fold every one that can be folded; returns whether anything changed."""
    changed = False
    for node in list(model.graph):
        if node.graph is None or node.outputs[0].is_graph_output():
            continue
        affine = _affine(node)
        users = [user for user, _ in node.outputs[0].uses()]
        if affine is None or not users or not all(_can_take(user, node.outputs[0]) for user in users):
            continue
        if affine.shift == 0 or not any(map(_is_padded, users)):
            _fold(model.graph, affine, users, affine.data, affine.shift)
        elif affine.scale != 1:
            _fold(model.graph, affine, users, _shifted(model.graph, affine), 0.0)
        else:
            continue
        changed = True
    return changed


def _affine(node: ir.Node) -> _Affine | None:
    """What a node computes, together with the one before it where nobody else reads that."""
    last = _single(node)
    if last is None:
        return None
    before = last.data.producer()
    first = _single(before) if before is not None and only_user(last.data) is node else None
    if first is not None:
        shift = first.shift * last.scale + last.shift
        last = _Affine(first.data, first.scale * last.scale, shift, (*first.nodes, node))
    sensible = 1 / _MOST < abs(last.scale) < _MOST and abs(last.shift) < _MOST * abs(last.scale)
    return last if sensible else None


def _single(node: ir.Node) -> _Affine | None:
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or node.outputs[0].shape is None:
        return None
    found = affine_of(node)
    if found is None or found[0].dtype != ir.DataType.FLOAT:
        return None
    data, scale, shift = found
    if np.ptp(scale) or np.ptp(shift):
        return None
    return _Affine(data, float(scale[0]), float(shift[0]), (node,))


def _can_take(user: ir.Node, value: ir.Value) -> bool:
    if user.op_type not in _WEIGHTED or user.domain not in ("", "ai.onnx"):
        return False
    weights, bias = user.inputs[1], user.inputs[2] if len(user.inputs) > 2 else None
    if user.inputs[0] is not value or weights is None or weights is value or constant(weights) is None:
        return False
    if len(list(weights.uses())) != 1 or (bias is not None and constant(bias) is None):
        return False
    if user.op_type == "Conv":
        return True
    plain = all(user.attributes[k].as_float() == 1.0 for k in ("alpha", "beta") if k in user.attributes)
    return plain and not ("transA" in user.attributes and user.attributes["transA"].as_int())


def _is_padded(user: ir.Node) -> bool:
    if user.op_type == "Gemm":
        return False
    if "auto_pad" in user.attributes and user.attributes["auto_pad"].as_string() not in ("NOTSET", "VALID"):
        return True
    return "pads" in user.attributes and any(user.attributes["pads"].as_ints())


def _shifted(graph: ir.Graph, affine: _Affine) -> ir.Value:
    """data + shift / scale: what is left in front of convolutions that take the scale."""
    last = affine.nodes[-1]
    name = str(last.outputs[0].name)
    number = add_constant(graph, f"{name}/shift", np.asarray(affine.shift / affine.scale, np.float32))
    result = ir.Value(name=f"{name}/shifted", shape=affine.data.shape, type=affine.data.type)
    graph.insert_before(last, ir.Node("", "Add", [affine.data, number], outputs=[result], name=last.name))
    return result


def _fold(graph: ir.Graph, affine: _Affine, users: list[ir.Node], data: ir.Value, shift: float) -> None:
    for user in users:
        weights, bias = constant(user.inputs[1]), constant(user.inputs[2]) if len(user.inputs) > 2 else None
        assert weights is not None and user.inputs[1] is not None
        scaled = weights.astype(np.float64) * affine.scale
        sums = _sums(user, weights.astype(np.float64)) * shift
        moved = sums if bias is None else bias.astype(np.float64) + sums
        name = str(user.inputs[1].name)
        inputs = [data, add_constant(graph, f"{name}/taking", scaled.astype(weights.dtype)), user.inputs[2]
                  if len(user.inputs) > 2 else None]  # fmt: skip
        if shift:
            inputs[2] = add_constant(graph, f"{name}/bias", moved.astype(weights.dtype))
        attributes = {key: attribute.value for key, attribute in user.attributes.items()}
        replace(graph, [user], user.op_type, inputs, user.outputs[0], **attributes)
    for node in reversed(affine.nodes):
        graph.remove(node, safe=True)


def _sums(user: ir.Node, weights: Array) -> Array:
    """Of all weights of each output, [C_out]."""
    if user.op_type == "Gemm" and not ("transB" in user.attributes and user.attributes["transB"].as_int()):
        return np.asarray(weights.sum(axis=0))
    return np.asarray(weights.sum(axis=tuple(range(1, weights.ndim))))
