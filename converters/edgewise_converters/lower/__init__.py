"""From the canonical graph to TFLite operators: one file per operator family.

`lowering.py` holds the state, `layout.py` says where axes lie, and each family registers its operators with
`@lowers`. NHWC is chosen once per value; a transpose is written only where an operator needs another order.
"""

# The families register themselves when they are imported.
from edgewise_converters.lower import (
    activations,
    along_axis,
    attention,
    comparison,
    convolution,
    data_dependent,
    deformable,
    determinant,
    einsum,
    elementwise,
    fourier,
    gathering,
    linear_attention,
    matmul,
    normalisation,
    padding,
    pooling,
    quantized,
    recurrent,
    reduction,
    reshaping,
    resize,
    sampling,
    scattering,
    slicing,
    sorting,
    transcendental,
    transposed_convolution,
)
from edgewise_converters.lower.graph import LoweredGraph, lower_graph
from edgewise_converters.lower.lowering import LOWERERS

FAMILIES = (
    activations,
    along_axis,
    attention,
    comparison,
    convolution,
    data_dependent,
    deformable,
    determinant,
    einsum,
    elementwise,
    fourier,
    gathering,
    linear_attention,
    matmul,
    normalisation,
    padding,
    pooling,
    recurrent,
    quantized,
    reduction,
    reshaping,
    sampling,
    scattering,
    resize,
    slicing,
    sorting,
    transcendental,
    transposed_convolution,
)

__all__ = ["FAMILIES", "LOWERERS", "LoweredGraph", "lower_graph"]
