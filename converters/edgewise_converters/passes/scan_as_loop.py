"""A long Scan becomes a Loop that takes its slices itself.

Needs: opset 9 or later, known lengths. Leaves: no Scan but those refused. Exact.
"""

import numpy as np
import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.passes.graph_edit import add_constant
from edgewise_converters.passes.subgraphs import add_node, hand_over


def as_loop(graph: ir.Graph, node: ir.Node, rounds: int) -> None:
    """Replace one Scan of ``rounds`` slices."""
    scanned = node.attributes["num_scan_inputs"].as_int()
    inputs = [value for value in node.inputs if value is not None]
    carried, sources = inputs[:-scanned], inputs[-scanned:]
    made = len(node.outputs) - len(carried)
    body = _body(node, len(carried), sources, rounds)
    trips = add_constant(graph, f"{node.name}/rounds", np.array(rounds, np.int64))
    yes = add_constant(graph, f"{node.name}/condition", np.array(True))
    attribute = ir.AttrGraph("body", body)
    loop = ir.Node(
        "",
        "Loop",
        [trips, yes, *carried],
        [attribute],
        num_outputs=len(node.outputs),
        name=f"{node.name}/loop",
    )
    for number, (output, old) in enumerate(zip(loop.outputs, node.outputs, strict=True)):
        output.name, output.type = f"{node.name}/loop/{number}", old.type
    graph.insert_before(node, loop)
    axes, backward = _ints(node, "scan_output_axes", made), _ints(node, "scan_output_directions", made)
    results = [
        _arranged(graph, node, output, _perm(body, place, axis), bool(back), rounds)
        for place, (output, axis, back) in enumerate(
            zip(loop.outputs[len(carried) :], axes, backward, strict=True), 1 + len(carried)
        )
    ]
    hand_over(node, [*loop.outputs[: len(carried)], *results])


def _body(node: ir.Node, carried: int, sources: list[ir.Value], rounds: int) -> ir.Graph:
    """The body with the number of the round and a condition before its states, and slices that it takes itself."""
    copy = node.attributes["body"].as_graph().clone(allow_outer_scope_values=True)
    count = len(sources)
    axes, backward = _ints(node, "scan_input_axes", count), _ints(node, "scan_input_directions", count)
    number = ir.Value(name="round", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
    holds = ir.Value(name="holds", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.BOOL))
    new: list[ir.Node] = []
    for source, axis, back, formal in zip(sources, axes, backward, list(copy.inputs)[carried:], strict=True):
        index = number
        if back:
            last = add_constant(copy, f"last/{formal.name}", np.array(rounds - 1, np.int64))
            new.append(ir.Node("", "Sub", [last, number], num_outputs=1, name=f"index/{formal.name}"))
            index = new[-1].outputs[0]
            index.name = f"index/{formal.name}"
        attribute = ir.AttrInt64("axis", axis)
        new.append(
            ir.Node("", "Gather", [source, index], [attribute], num_outputs=1, name=f"slice/{formal.name}")
        )
        new[-1].outputs[0].name = f"slice/{formal.name}"
        new[-1].outputs[0].type = formal.type
        formal.replace_all_uses_with(new[-1].outputs[0], replace_graph_outputs=True)
    keeper = ir.Node("", "Identity", [holds], num_outputs=1, name="holds")
    keeper.outputs[0].name, keeper.outputs[0].type = "still/holds", holds.type
    states = list(copy.inputs)[:carried]
    copy.inputs.clear()
    copy.inputs.extend([number, holds, *states])
    first = next(iter(copy), None)
    nodes = [*new, keeper]
    if first is None:
        copy.extend(nodes)
    else:
        copy.insert_before(first, nodes)
    copy.outputs.insert(0, keeper.outputs[0])
    return copy


def _perm(body: ir.Graph, output: int, axis: int) -> list[int] | None:
    """How the first axis of what was collected gets to ``axis``; None where it is there."""
    if axis == 0:
        return None
    shape = body.outputs[output].shape
    if shape is None:
        raise UnsupportedOperator(
            "Scan", str(body.name), "it collects along another axis what has no known rank, expected axis 0"
        )
    perm = list(range(1, len(shape) + 1))
    perm.insert(axis % (len(shape) + 1), 0)
    return perm


def _arranged(
    graph: ir.Graph, node: ir.Node, value: ir.Value, perm: list[int] | None, back: bool, rounds: int
) -> ir.Value:
    """What was collected along the first axis, in the order and along the axis that Scan wants."""
    if back:
        order = add_constant(graph, f"{node.name}/order", np.arange(rounds)[::-1].astype(np.int64))
        value = add_node(node, "Gather", [value, order], axis=0)
    return value if perm is None else add_node(node, "Transpose", [value], perm=perm)


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else [0] * count
