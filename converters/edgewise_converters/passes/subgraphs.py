"""The body of an If, Loop or Scan put into the graph around it."""

from collections.abc import Sequence

import onnx_ir as ir

from edgewise_converters.passes.graph_edit import add_constant

_COUNT = "edgewise.copies"


def splice(before: ir.Node, body: ir.Graph, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Put a copy of ``body``, fed with ``arguments``, before a node; what the copy's outputs are in the graph."""
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    copy = body.clone(allow_outer_scope_values=True)
    results = list(copy.outputs)
    copy.outputs.clear()
    for name, value in list(copy.initializers.items()):
        assert value.const_value is not None
        constant = add_constant(graph, f"{before.name}/{name}", value.const_value.numpy())
        value.replace_all_uses_with(constant)
        results = [constant if result is value else result for result in results]
    for formal, actual in zip(copy.inputs, arguments, strict=True):
        formal.replace_all_uses_with(actual)
        results = [actual if result is formal else result for result in results]
    nodes = list(copy)
    copy.remove(nodes)
    prefix = f"{before.name}/{_next(before)}"
    for number, node in enumerate(nodes):
        node.name = f"{prefix}/{node.name or number}"
        for output in node.outputs:
            output.name = f"{prefix}/{output.name}"
    graph.insert_before(before, nodes)
    return results


def hand_over(node: ir.Node, results: Sequence[ir.Value]) -> None:
    """Replace a node by values that hold its outputs already, under the names the outputs had."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    for output, result in zip(node.outputs, results, strict=True):
        keeper = ir.Node("", "Identity", [result], num_outputs=1, name=f"{node.name}/{output.name}")
        graph.insert_before(node, keeper)
        kept = keeper.outputs[0]
        kept.shape, kept.type, kept.name = output.shape, output.type, output.name
        output.replace_all_uses_with(kept, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def add_node(
    before: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], **attributes: object
) -> ir.Value:
    """The only output of a new node before another."""
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    attrs = [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()]
    node = ir.Node("", op_type, inputs, attrs, num_outputs=1, name=f"{before.name}/{_next(before)}/{op_type}")
    node.outputs[0].name = node.name
    graph.insert_before(before, node)
    return node.outputs[0]


def _next(node: ir.Node) -> int:
    """How many names were derived from this node's before: a value's name must be its own."""
    count = int(node.meta.get(_COUNT, 0))
    node.meta[_COUNT] = count + 1
    return count
