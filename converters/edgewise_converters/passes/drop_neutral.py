"""A product with ones and a sum with zeros compute nothing.

Needs: constants as initializers, static shapes. Leaves: no Mul or Div by ones, no Add or Sub of zeros, that keeps shape
and type and does not make an output of the model. Exact (but for the sign of zero).
"""

import onnx_ir as ir

from edgewise_converters.passes.graph_edit import constant

_NEUTRAL = {"Mul": 1, "Div": 1, "Add": 0, "Sub": 0}
_EITHER_SIDE = frozenset({"Mul", "Add"})


def apply(model: ir.Model) -> bool:
    """Drop every such node; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        data = _unchanged(node)
        result = node.outputs[0]
        if data is None or result.is_graph_output():
            continue
        result.replace_all_uses_with(data)
        model.graph.remove(node, safe=True)
        changed = True
    return changed


def _unchanged(node: ir.Node) -> ir.Value | None:
    """The operand that a node hands on as it is; None where it computes something."""
    if node.op_type not in _NEUTRAL or node.domain not in ("", "ai.onnx"):
        return None
    first, second = node.inputs[0], node.inputs[1]
    pairs = [(first, second), (second, first)] if node.op_type in _EITHER_SIDE else [(first, second)]
    for data, other in pairs:
        array, result = constant(other), node.outputs[0]
        if data is None or array is None or result.shape is None or data.dtype != result.dtype:
            continue
        if (
            data.shape == result.shape
            and array.dtype.kind in "fiu"
            and bool((array == _NEUTRAL[node.op_type]).all())
        ):
            return data
    return None
