"""The original model adding up in another order, to see how much of its answer is float32 rounding.

onnxruntime's own mean over 160 x 160 numbers is 36 dB off the exact one; a file whose means are better would be
blamed for the difference.
"""

from pathlib import Path

import numpy as np
import onnx

from edgewise_converters.errors import SourceError
from edgewise_converters.readers.onnx_skeleton import read_skeleton

_AXES_INPUT_OPSET = 18
"""From here on ReduceMean takes its axes as an input."""


def resummed(path: Path) -> bytes | None:
    """The model with every mean over several axes taken over the last ones first, then over the rest.

    Its large weights stay in the file: whoever runs it must know the folder. None where it has no such mean.
    """
    try:
        model = read_skeleton(path)
    except Exception as error:  # protobuf and onnx raise many kinds
        raise SourceError(f"{path}: cannot be read again: {type(error).__name__}") from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    constants = _constants(model.graph)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        inner = _inner_axes(node, constants)
        if inner:
            partial = f"{node.output[0]}/partial"
            nodes.append(_mean(node.input[0], inner, partial, model.graph, opset))
            node.input[0] = partial
        nodes.append(onnx.NodeProto())
        nodes[-1].CopyFrom(node)
    if len(nodes) == len(model.graph.node):
        return None
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _constants(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """By name, the constants that could be axes."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    return {
        name: onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1
    }


def _inner_axes(node: onnx.NodeProto, constants: dict[str, list[int]]) -> list[int]:
    """The axes of a mean to be taken first; none where it has but one, or is none."""
    if node.op_type == "GlobalAveragePool":
        return [-1]
    if node.op_type != "ReduceMean":
        return []
    axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), [])
    if len(node.input) > 1:
        axes = constants.get(node.input[1], [])
    return sorted(axes)[1:]


def _mean(source: str, axes: list[int], result: str, graph: onnx.GraphProto, opset: int) -> onnx.NodeProto:
    """A ReduceMean that keeps its axes."""
    if opset < _AXES_INPUT_OPSET:
        return onnx.helper.make_node("ReduceMean", [source], [result], axes=axes, keepdims=1)
    name = f"{result}/axes"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(axes, np.int64), name))
    return onnx.helper.make_node("ReduceMean", [source, name], [result], keepdims=1)
