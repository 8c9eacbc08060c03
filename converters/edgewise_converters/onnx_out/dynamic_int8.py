"""Dynamic int8: dense layers multiply integers, their data rounded as the model runs; other weights are stored so.

The nodes are those that onnxruntime fuses into one kernel (MatMulIntegerToFloat behind DynamicQuantizeLinear). Its
ConvInteger is slower than its float32 Conv (docs/onnx-format.md), so convolutions stay float32 with stored int8.
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.onnx_out.dense import Dense, dense_of
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.stored import store_int8
from edgewise_converters.onnx_out.stored_layers import store_layers
from edgewise_converters.passes import clean
from edgewise_converters.passes.graph_edit import add_constant
from edgewise_converters.quantize.weights import quantize_weights

_FEWEST_WEIGHTS = 1024


def quantize_dynamic(model: ir.Model, rounding: LayerRounding | None = None) -> ir.Model:
    """The dynamic twin of a float model, which is left as it is.

    With ``rounding`` weights are rounded jointly where it knows what they meet.
    """
    twin = model.clone()
    rounded: dict[str, tuple[ir.Value, ir.Value, ir.Value]] = {}
    for node in list(twin.graph):
        dense = dense_of(node)
        if dense is not None and dense.weights.size >= _FEWEST_WEIGHTS:
            _rewrite(twin.graph, dense, rounded, rounding)
    clean.apply(twin)
    if rounding is not None:
        store_layers(twin.graph, rounding)
    store_int8(twin.graph)
    return twin


def _rewrite(
    graph: ir.Graph,
    dense: Dense,
    rounded: dict[str, tuple[ir.Value, ir.Value, ir.Value]],
    rounding: LayerRounding | None,
) -> None:
    node, name = dense.node, str(dense.node.outputs[0].name)
    data = str(dense.data.name)
    if data not in rounded:
        quantize = ir.Node("", "DynamicQuantizeLinear", [dense.data], num_outputs=3, name=f"{data}/rounded")
        for output, what in zip(quantize.outputs, ("uint8", "scale", "zero"), strict=True):
            output.name = f"{data}/{what}"
        graph.insert_before(node, quantize)
        rounded[data] = quantize.outputs[0], quantize.outputs[1], quantize.outputs[2]
    integers, scale, zero = rounded[data]
    steps, numbers, bias = _weights(dense, rounding)
    weights = add_constant(graph, f"{name}/weights/int8", steps)
    scales = add_constant(graph, f"{name}/weights/scale", numbers)
    zeros = add_constant(graph, f"{name}/weights/zero", np.zeros(len(numbers), np.int8))
    build = _Chain(graph, node, name)
    products = build.add("MatMulInteger", [integers, weights, zero, zeros], "int32")
    real = build.add("Cast", [products], "steps", [ir.AttrInt64("to", int(ir.DataType.FLOAT))])
    scale = build.add("Mul", [scale, scales], "scale")
    result = build.add("Mul", [real, scale], "scaled")
    if bias is not None:
        result = build.add("Add", [result, add_constant(graph, f"{name}/bias", bias)], "biased")
    build.take_over(result)


def _weights(dense: Dense, rounding: LayerRounding | None) -> tuple[Array, Array, Array | None]:
    """Integers [K, N], scales [N], and the bias [N], which makes up for what rounding adds on average."""
    if rounding is None or not rounding.knows(str(dense.node.outputs[0].name)):
        steps, quantization = quantize_weights(dense.weights, 1)
        return steps, np.asarray(quantization.scales, np.float32), dense.bias
    found = rounding.of(dense, 1.0, "gptq")
    bias = (0.0 if dense.bias is None else dense.bias) - found.shift
    return found.integers, found.scales, bias.astype(np.float32)


class _Chain:
    """New nodes in front of one that they will replace."""

    def __init__(self, graph: ir.Graph, node: ir.Node, name: str) -> None:
        self._graph, self._node, self._name = graph, node, name

    def add(
        self, op_type: str, inputs: list[ir.Value], what: str, attributes: list[ir.Attr] | None = None
    ) -> ir.Value:
        """The first output of a new node."""
        name = f"{self._name}/{what}"
        node = ir.Node("", op_type, inputs, attributes or [], num_outputs=1, name=name)
        node.outputs[0].name = name
        self._graph.insert_before(self._node, node)
        return node.outputs[0]

    def take_over(self, result: ir.Value) -> None:
        """Let the last new value stand for the replaced node's, under its name."""
        old = self._node.outputs[0]
        result.shape, result.type = old.shape, old.type
        ir.convenience.replace_nodes_and_values(self._graph, self._node, [self._node], [], [old], [result])
