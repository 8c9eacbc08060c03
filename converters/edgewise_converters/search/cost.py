"""What a width costs, roughly: enough to tell a cheap rescue from an expensive one."""

import numpy as np

from edgewise_converters.cores import cores
from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.quantize.widths import Width, Widths
from edgewise_converters.tflite.graph import Graph, Operator

TIME = {Width.INT8: 1.0, Width.HYBRID: 1.1, Width.FLOAT: 2.5, Width.INT16: 75.0}
"""Time of a product, in units of int8's.

float32 as a Cortex-A76 has it (it computes int8 products four to an instruction; older cores lose less by float32);
int16x8 by measurement in LiteRT, which computes it with plain reference kernels.
"""
_WORTH_THREADS = 1_000_000_000
"""Products of one inference. By measurement: of 0.3 billion (MobileNetV2) two threads take a tenth more CPU time."""
_ELEMENTWISE_INT16 = 3.0
_BYTES = {Width.INT8: 1, Width.HYBRID: 1, Width.INT16: 1, Width.FLOAT: 4}


def products(operator: Operator) -> int:
    """Multiplications of an operator with weights; of any other, the elements it writes."""
    elements = sum(int(np.prod(output.shape)) for output in operator.outputs)
    if not has_weights(operator):
        return elements
    weights = operator.inputs[1]
    assert weights is not None
    if operator.kind == "DEPTHWISE_CONV_2D":
        return elements * int(np.prod(weights.shape[1:3]))
    return elements * int(np.prod(weights.shape[1:]))


def products_of(graph: Graph) -> int:
    """Of one inference."""
    return sum(products(operator) for operator in graph.operators)


def threads_for(graph: Graph) -> int:
    """Threads that make an inference quicker; a small network's would wait for each other most of the time."""
    return cores() if products_of(graph) >= _WORTH_THREADS else 1


def time_of(graph: Graph, widths: Widths) -> float:
    """Of one inference, in int8 products; shapes that only move count nothing."""
    total = 0.0
    for operator in graph.operators:
        width = widths[id(operator)]
        factor = TIME[width]
        if width is Width.INT16 and not has_weights(operator):
            factor = _ELEMENTWISE_INT16
        total += products(operator) * factor
    return total


def weight_bytes(graph: Graph, widths: Widths) -> int:
    """Of all weights, each counted once."""
    sizes: dict[int, int] = {}
    for operator in graph.operators:
        if has_weights(operator):
            weights = operator.inputs[1]
            assert weights is not None
            size = int(np.prod(weights.shape)) * _BYTES[widths[id(operator)]]
            sizes[id(weights)] = max(size, sizes.get(id(weights), 0))
    return sum(sizes.values())
