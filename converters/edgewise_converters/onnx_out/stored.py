"""Weights stored in fewer bits than they are computed with: onnxruntime restores them once, when it loads the file.

The restoring nodes have constants only as inputs, so that onnxruntime's constant folding does away with them (measured:
docs/onnx-format.md). The file is smaller, the model in memory and its speed are those of float32.
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.graph_edit import add_constant, constant

_FEWEST_HALVES = 64
"""Constants of fewer elements stay float32: a node would take more room than it saves."""
FEWEST_WEIGHTS = 1024
_HALF_MAX = float(np.finfo(np.float16).max)
_BYTE_MAX = 127
_SHARED_BY: dict[str, dict[int, int]] = {
    "Conv": {1: 0}, "ConvTranspose": {1: 1}, "MatMul": {0: -1, 1: -1}, "Gemm": {1: 0}, "Gather": {0: 0},
    "LSTM": {1: 1, 2: 1}, "GRU": {1: 1, 2: 1}, "RNN": {1: 1, 2: 1},
}  # fmt: skip
"""By operator and input: along which axis of the weights each index has a scale of its own."""


def store_float16(graph: ir.Graph) -> int:
    """Store large float32 constants as float16; returns how many. Those beyond its range stay."""
    count = 0
    for value in _constants(graph, _FEWEST_HALVES):
        array = constant(value)
        assert array is not None
        if np.abs(array).max() > _HALF_MAX:
            continue
        stored = add_constant(graph, f"{value.name}/float16", array.astype(np.float16))
        _restore(graph, value, [_as_float(stored, f"{value.name}/restored")])
        count += 1
    return count


def store_int8(graph: ir.Graph) -> int:
    """Store the weights of float32 layers as int8, one scale per output channel or row; returns how many."""
    count = 0
    for value in _constants(graph, FEWEST_WEIGHTS):
        axis = _scale_axis(value)
        array = constant(value)
        if axis is None or array is None or array.ndim < 2:
            continue
        others = tuple(a for a in range(array.ndim) if a != axis % array.ndim)
        peaks = np.abs(array).max(axis=others, keepdims=True)
        scales = (np.where(peaks > 0, peaks, 1.0) / _BYTE_MAX).astype(np.float32)
        integers = np.clip(np.rint(array / scales), -_BYTE_MAX, _BYTE_MAX).astype(np.int8)
        store_steps(graph, value, integers, scales)
        count += 1
    return count


def store_steps(graph: ir.Graph, value: ir.Value, integers: Array, scales: Array) -> None:
    """Store a constant as int8 ``integers`` times float32 ``scales`` of a shape that broadcasts."""
    steps = _as_float(add_constant(graph, f"{value.name}/int8", integers), f"{value.name}/steps")
    numbers = add_constant(graph, f"{value.name}/scales", scales)
    _restore(graph, value, [steps, _node("Mul", [steps.outputs[0], numbers], f"{value.name}/restored")])


def _constants(graph: ir.Graph, fewest: int) -> list[ir.Value]:
    """Float32 initializers of at least so many elements that nodes of this graph read."""
    found = []
    for value in graph.initializers.values():
        array = constant(value)
        if array is None or array.dtype != np.float32 or array.size < fewest or value.is_graph_output():
            continue
        if value.uses() and np.isfinite(array).all():
            found.append(value)
    return found


def _scale_axis(value: ir.Value) -> int | None:
    """The axis that all readers of a constant agree on, None where one does not take it for weights."""
    axes = {
        _SHARED_BY.get(node.op_type, {}).get(index) if node.domain in ("", "ai.onnx") else None
        for node, index in value.uses()
    }
    return axes.pop() if len(axes) == 1 else None


def _restore(graph: ir.Graph, value: ir.Value, nodes: list[ir.Node]) -> None:
    """Let everybody read what these nodes, put first in the graph, make; and drop the constant itself."""
    graph.insert_before(next(iter(graph)), nodes)
    for user, index in list(value.uses()):
        user.replace_input_with(index, nodes[-1].outputs[0])
    del graph.initializers[str(value.name)]


def _as_float(stored: ir.Value, name: str) -> ir.Node:
    return _node("Cast", [stored], name, [ir.AttrInt64("to", int(ir.DataType.FLOAT))])


def _node(
    op_type: str, inputs: list[ir.Value], name: str, attributes: list[ir.Attr] | None = None
) -> ir.Node:
    node = ir.Node("", op_type, inputs, attributes or [], num_outputs=1, name=name)
    node.outputs[0].name, node.outputs[0].type = name, ir.TensorType(ir.DataType.FLOAT)
    return node
