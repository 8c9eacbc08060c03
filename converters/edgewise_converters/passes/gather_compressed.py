"""Compress by a constant condition becomes Gather.

Needs: a constant condition. Leaves: no such Compress. Exact.
"""

import numpy as np
import onnx_ir as ir

from edgewise_converters.passes.graph_edit import add_constant, constant, replace
from edgewise_converters.passes.subgraphs import add_node


def apply(model: ir.Model) -> bool:
    """Rewrite every such Compress; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        condition = constant(node.inputs[1]) if node.op_type == "Compress" else None
        if condition is None or node.domain not in ("", "ai.onnx"):
            continue
        chosen = np.flatnonzero(condition).astype(np.int64)
        indices = add_constant(model.graph, f"{node.name}/chosen", chosen)
        data, axis = node.inputs[0], node.attributes["axis"].as_int() if "axis" in node.attributes else None
        if axis is None:
            everything = add_constant(model.graph, f"{node.name}/flat", np.array([-1], np.int64))
            data = add_node(node, "Reshape", [data, everything])
        replace(model.graph, [node], "Gather", [data, indices], node.outputs[0], axis=axis or 0)
        changed = True
    return changed
