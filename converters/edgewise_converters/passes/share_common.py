"""What is computed twice from the same values is computed once: attention masks, angles, positions.

Needs: any graph. Leaves: no two nodes of one operator with the same inputs and attributes. Exact.
"""

import onnx_ir as ir
from onnx_ir.passes import common

_LARGEST_CONSTANT = 64
"""Elements up to which constants are compared by value."""


def apply(model: ir.Model) -> bool:
    """Share what is common; returns whether anything went."""
    shared = bool(common.DeduplicateInitializersPass(size_limit=_LARGEST_CONSTANT)(model).modified)
    return bool(common.CommonSubexpressionEliminationPass()(model).modified) or shared
