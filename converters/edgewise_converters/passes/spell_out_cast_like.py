"""CastLike becomes Cast to the type it was likened to.

Needs: the dtype of the second input. Leaves: no CastLike. Exact.
"""

import onnx_ir as ir

from edgewise_converters.passes.graph_edit import replace


def apply(model: ir.Model) -> bool:
    """Rewrite every CastLike whose type is known; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.op_type != "CastLike" or node.domain not in ("", "ai.onnx"):
            continue
        like = node.inputs[1]
        if like is None or like.dtype is None:
            continue
        replace(model.graph, [node], "Cast", [node.inputs[0]], node.outputs[0], to=int(like.dtype))
        changed = True
    return changed
