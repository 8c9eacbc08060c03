"""From the canonical graph to TFLite operators: one file per operator family.

`lowering.py` holds the state, `layout.py` says where axes lie, and each family registers its operators with
`@lowers`. NHWC is chosen once per value; a transpose is written only where an operator needs another order.
"""

from edgewise_converters.lower import convolution, elementwise, matmul, pooling, reduction, shaping
from edgewise_converters.lower.graph import LoweredGraph, lower_graph
from edgewise_converters.lower.lowering import LOWERERS

__all__ = [
    "LOWERERS", "LoweredGraph", "convolution", "elementwise", "lower_graph", "matmul", "pooling", "reduction", "shaping",
]  # fmt: skip
