"""onnxruntime's operators that round their inputs as they run (domain com.microsoft) become float ones.

Needs: constant weights, scales and zero points. Leaves: none of the operators below. Exact but for the rounding of the
inputs, which the operators do to 8 bits and these do not (onnxruntime, ContribOperators.md).
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.quantized_values import Grid, dequantize
from edgewise_converters.passes.subgraphs import add_node, hand_over

_DOMAIN = "com.microsoft"
_LSTM_INPUTS = 8
"""X, W, R, B, lengths, initial states and peepholes; then the scales and zero points of W and R."""


def apply(model: ir.Model) -> bool:
    """Spell out every one; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.domain != _DOMAIN:
            continue
        if node.op_type == "DynamicQuantizeLSTM":
            changed |= _lstm(model.graph, node)
        elif node.op_type == "DynamicQuantizeMatMul":
            changed |= _matmul(node)
    return changed


def _matmul(node: ir.Node) -> bool:
    """A B + bias, of which B is stored."""
    given = [*node.inputs, *[None] * 5]
    scale, zero = constant(given[2]), constant(given[3])
    weights = given[1]
    if weights is None or scale is None or constant(weights) is None:
        return False
    zeros = np.zeros(1, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    grid = Grid(np.asarray(scale, np.float32).reshape(-1), zeros, len(weights.shape or ()) - 1)
    product = add_node(node, "MatMul", [given[0], dequantize(node, weights, grid)])
    hand_over(node, [product if given[4] is None else add_node(node, "Add", [product, given[4]])])
    return True


def _lstm(graph: ir.Graph, node: ir.Node) -> bool:
    """LSTM, whose weights are those of the quantized one with rows and columns exchanged."""
    given = [*node.inputs, *[None] * 12]
    arrays = [constant(given[index]) for index in (1, 2, 8, 9, 10, 11)]
    if any(array is None for array in arrays):
        return False
    known = [np.asarray(array) for array in arrays]
    real = [
        add_constant(graph, f"{node.name}/w", _real(known[0], known[2], known[3])),
        add_constant(graph, f"{node.name}/r", _real(known[1], known[4], known[5])),
    ]
    inputs = [given[0], *real, *given[3:_LSTM_INPUTS]]
    while inputs[-1] is None:
        inputs.pop()
    made = ir.Node(
        "",
        "LSTM",
        inputs,
        list(node.attributes.values()),
        num_outputs=len(node.outputs),
        name=f"{node.name}/float",
    )
    for number, (output, old) in enumerate(zip(made.outputs, node.outputs, strict=True)):
        output.name = f"{node.name}/float/{number}" if old.name else ""
    graph.insert_before(node, made)
    hand_over(node, made.outputs)
    return True


def _real(integers: Array, scale: Array, zero: Array) -> Array:
    """[directions, columns, rows] as float32 [directions, rows, columns]; scales by direction, or by row of each."""
    shape = (integers.shape[0], 1, -1)
    centred = integers.astype(np.int32) - zero.astype(np.int32).reshape(shape)
    real = centred * scale.astype(np.float32).reshape(shape)
    return np.ascontiguousarray(real.transpose(0, 2, 1), dtype=np.float32)
