"""From the canonical graph to TFLite operators: one file per operator family.

`lowering.py` holds the state, `layout.py` says where axes lie, and each family registers its operators with
`@lowers`. NHWC is chosen once per value; a transpose is written only where an operator needs another order.
"""

from importlib import import_module

from edgewise_converters.lower.graph import LoweredGraph, lower_graph
from edgewise_converters.lower.lowering import LOWERERS

FAMILIES = (
    "activations", "along_axis", "attention", "bounded", "comparison", "convolution", "data_dependent", "deformable",
    "determinant", "einsum", "elementwise", "enclosed", "fourier", "gathering", "linear_attention", "matmul",
    "normalisation", "padding", "pooling", "quantized", "recurrent", "reduction", "reshaping", "resize",
    "sampling", "scattering", "slicing", "sorting", "transcendental", "transposed_convolution",
)  # fmt: skip

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")  # a family registers its operators when it is imported

__all__ = ["FAMILIES", "LOWERERS", "LoweredGraph", "lower_graph"]
