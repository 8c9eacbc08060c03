"""Functions inline, constants as initializers, no identities, no dead code.

Needs: any valid model. Leaves: one flat graph (but for bodies of If and Loop) without Constant, Identity and
inference-time Dropout nodes. Exact.
"""

import onnx_ir as ir
from onnx_ir.passes import common


def inline(model: ir.Model) -> None:
    """Inline functions, and give every value a name of its own."""
    common.InlinePass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.NameFixPass()(model)


def apply(model: ir.Model) -> bool:
    """Remove what computes nothing; returns whether anything went."""
    changed = _bypass_identities(model)
    changed |= bool(
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model).modified
    )
    changed |= bool(common.RemoveUnusedNodesPass()(model).modified)
    return changed


def _bypass_identities(model: ir.Model) -> bool:
    changed = False
    for node in list(model.graph):
        if not is_identity(node):
            continue
        source, result = node.inputs[0], node.outputs[0]
        assert source is not None
        if any(output.uses() for output in node.outputs[1:]):
            continue
        if result.is_graph_output():
            for user, index in list(result.uses()):
                user.replace_input_with(index, source)
                changed = True
            continue
        result.replace_all_uses_with(source)
        model.graph.remove(node, safe=True)
        changed = True
    return changed


def is_identity(node: ir.Node) -> bool:
    """Whether the first output is the first input, whatever that holds."""
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "Identity":
        return True
    if node.op_type == "Dropout":
        ratio, training = ([*node.inputs, None, None][i] for i in (1, 2))
        return training is None or _is_zero(training) or (ratio is not None and _is_zero(ratio))
    if node.op_type == "Cast":
        source = node.inputs[0]
        return (
            source is not None
            and source.dtype is not None
            and int(source.dtype) == node.attributes["to"].as_int()
        )
    return False


def _is_zero(value: ir.Value) -> bool:
    return value.const_value is not None and not value.const_value.numpy().any()
