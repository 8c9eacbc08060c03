"""Every value gets its dtype and shape.

Needs: static shapes of the graph's inputs. Leaves: what ONNX's own inference can tell from them. Exact.
"""

import onnx_ir as ir
from onnx_ir.passes import common

from edgewise_converters.errors import SourceError


def apply(model: ir.Model) -> bool:
    """Infer shapes; returns False, since nothing is computed differently."""
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    return False


def check(model: ir.Model) -> None:
    """Raise SourceError naming the first node that has an output of open shape.

    Where an operator is not ONNX's own its shape is unknown for that reason, which lowering will say.
    """
    if any(node.domain not in ("", "ai.onnx") for node in model.graph):
        return
    for node in model.graph:
        for output in node.outputs:
            if not output.uses() and not output.is_graph_output():
                continue
            if output.shape is None or not all(isinstance(dim, int) for dim in output.shape):
                raise SourceError(
                    f"node '{node.name}' ({node.op_type}): the shape of its output '{output.name}' depends on the data "
                    f"({output.shape}), expected one known from the inputs' shapes"
                )
