"""Loop and Scan with a known number of rounds: the body written once for each.

Needs: the trip count as a constant and a condition that stays true (Loop), static shapes (Scan). Leaves: no Scan, and
no Loop but those refused. Exact.
"""

import numpy as np
import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.scan_as_loop import as_loop
from edgewise_converters.passes.subgraphs import add_node, hand_over, splice

_MAX_ROUNDS = 64
"""More rounds than that make a graph that is slow to load; each repeats the whole body."""


def apply(model: ir.Model) -> bool:
    """Unroll every one that can be; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Loop":
            changed |= _unroll_loop(model.graph, node)
        elif node.op_type == "Scan":
            changed |= _unroll_scan(model, node)
    return changed


def check(model: ir.Model) -> None:
    """Raise UnsupportedOperator naming the first Loop or Scan that is left, and why."""
    for node in model.graph:
        if node.op_type not in ("Loop", "Scan") or node.domain not in ("", "ai.onnx"):
            continue
        why = "its number of rounds depends on the data, expected a constant and a condition that stays true"
        if node.op_type == "Scan":
            why = "the length of what it scans is not known before running"
        elif (
            (trips := constant(node.inputs[0])) is not None
            and trips.size
            and int(trips.flat[0]) > _MAX_ROUNDS
        ):
            why = f"it has {int(trips.flat[0])} rounds, expected at most {_MAX_ROUNDS}"
        raise UnsupportedOperator(node.op_type, str(node.name), why)


def _unroll_loop(graph: ir.Graph, node: ir.Node) -> bool:
    body = node.attributes["body"].as_graph()
    rounds = _trip_count(node, body)
    if rounds is None:
        return False
    carried = [value for value in node.inputs[2:] if value is not None]
    scans: list[list[ir.Value]] = [[] for _ in node.outputs[len(carried) :]]
    if rounds == 0 and scans:
        return False
    yes = add_constant(graph, f"{node.name}/condition", np.array(True))
    for number in range(rounds):
        count = add_constant(graph, f"{node.name}/round", np.array(number, np.int64))
        results = splice(node, body, [count, yes, *carried])[1:]
        carried = results[: len(carried)]
        for collected, result in zip(scans, results[len(carried) :], strict=True):
            collected.append(_with_axis(graph, node, result, 0))
    hand_over(node, [*carried, *(add_node(node, "Concat", parts, axis=0) for parts in scans)])
    return True


def _trip_count(node: ir.Node, body: ir.Graph) -> int | None:
    """How often the body runs, if that is known and few."""
    trips, start = constant(node.inputs[0]), constant(node.inputs[1])
    if (node.inputs[1] is not None and start is None) or trips is None or trips.size != 1:
        return None
    if start is not None and not start.reshape(-1)[0]:
        return 0
    rounds = max(int(trips.reshape(-1)[0]), 0)
    return rounds if rounds <= _MAX_ROUNDS and _stays_true(body.outputs[0], body) else None


def _stays_true(condition: ir.Value, body: ir.Graph) -> bool:
    """Whether a body hands on the condition it got, or the constant true."""
    value = condition
    while (node := value.producer()) is not None and node.op_type in ("Identity", "Cast"):
        source = node.inputs[0]
        assert source is not None
        value = source
    array = constant(value)
    if array is None and node is not None and node.op_type == "Constant" and "value" in node.attributes:
        array = node.attributes["value"].as_tensor().numpy()
    return value is body.inputs[1] or (array is not None and bool(array.all()))


def _unroll_scan(model: ir.Model, node: ir.Node) -> bool:
    """Scan-9 and later; the batched form before is another operator."""
    graph = model.graph
    if graph.opset_imports.get("", 1) < 9:
        raise UnsupportedOperator(
            "Scan", str(node.name), "opset 8 scans whole batches, expected opset 9 or later"
        )
    body, scanned = node.attributes["body"].as_graph(), node.attributes["num_scan_inputs"].as_int()
    inputs = [value for value in node.inputs if value is not None]
    carried, sources = inputs[:-scanned], inputs[-scanned:]
    axes, backward = _ints(node, "scan_input_axes", scanned), _ints(node, "scan_input_directions", scanned)
    lengths = [_length(value, axis) for value, axis in zip(sources, axes, strict=True)]
    if lengths[0] is None or lengths[0] < 1:
        return False
    if lengths[0] > _MAX_ROUNDS:
        as_loop(graph, node, lengths[0])
        return True
    made = len(node.outputs) - len(carried)
    out_axes, reverse = _ints(node, "scan_output_axes", made), _ints(node, "scan_output_directions", made)
    scans: list[list[ir.Value]] = [[] for _ in range(made)]
    for number in range(lengths[0]):
        slices = [
            _take(graph, node, value, axis, lengths[0] - 1 - number if back else number)
            for value, axis, back in zip(sources, axes, backward, strict=True)
        ]
        results = splice(node, body, [*carried, *slices])
        carried = results[: len(carried)]
        for collected, result, axis in zip(scans, results[len(carried) :], out_axes, strict=True):
            collected.append(_with_axis(graph, node, result, axis))
    joined = [
        add_node(node, "Concat", parts[::-1] if back else parts, axis=axis)
        for parts, axis, back in zip(scans, out_axes, reverse, strict=True)
    ]
    hand_over(node, [*carried, *joined])
    return True


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else [0] * count


def _length(value: ir.Value, axis: int) -> int | None:
    dim = value.shape[axis] if value.shape is not None else None
    return dim if isinstance(dim, int) else None


def _take(graph: ir.Graph, before: ir.Node, value: ir.Value, axis: int, index: int) -> ir.Value:
    where = add_constant(graph, f"{before.name}/index", np.array(index, np.int64))
    return add_node(before, "Gather", [value, where], axis=axis)


def _with_axis(graph: ir.Graph, before: ir.Node, value: ir.Value, axis: int) -> ir.Value:
    """Unsqueeze has its axes as an attribute before opset 13, as an input since."""
    if graph.opset_imports.get("", 1) < _UNSQUEEZE_BY_INPUT:
        return add_node(before, "Unsqueeze", [value], axes=[axis])
    axes = add_constant(graph, f"{before.name}/axis", np.array([axis], np.int64))
    return add_node(before, "Unsqueeze", [value, axes])


_UNSQUEEZE_BY_INPUT = 13
