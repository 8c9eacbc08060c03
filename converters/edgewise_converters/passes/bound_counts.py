"""Operators whose number of results depends on the data give the most they can, and outputs are cut to what there is.

A TFLite file states every shape before it runs, but for outputs at its end. So a NonMaxSuppression gives as many rows
as it may select, and the number of those that count; what only moves rows or computes one by one goes on with all.

Needs: static shapes, a constant limit. Leaves: no NonMaxSuppression, NonZero or Compress whose results go straight to
outputs; nodes of the domain below instead. Exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.passes import domains
from edgewise_converters.passes.counted_axes import Counted, axis_behind
from edgewise_converters.passes.graph_edit import scalar

DOMAIN = domains.BOUNDED
TAKE = "TakeFirst"
"""Of its first input, along its axis, as much as its second says."""
_MOST_ROWS = 1 << 20
_ASK_FOR_SHAPES = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class _Bound:
    """What a node may give at most, and along which axis the number varies."""

    shape: tuple[int, ...]
    axis: int


def apply(model: ir.Model) -> bool:
    """Bound every such node whose limit is known; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx") or node.op_type not in _BOUNDS:
            continue
        bound = _BOUNDS[node.op_type](node)
        if bound is None or not 0 < int(np.prod(bound.shape)) <= _MOST_ROWS or _asks_for_its_number(node):
            continue
        _replace(model.graph, node, bound)
        changed = True
    if changed:
        model.graph.opset_imports[DOMAIN] = 1
    return changed


def refuse(model: ir.Model, where: str) -> None:
    """Raise UnsupportedOperator where a bounded node stands in a graph that may not have one."""
    for node in model.graph:
        if node.domain == DOMAIN:
            raise UnsupportedOperator(
                _original(node), str(node.name), f"how much it gives depends on the data, {where}"
            )


def cut_outputs(model: ir.Model) -> None:
    """Cut every output that holds rows which do not count. Raises UnsupportedOperator where rows are mixed."""
    counted: dict[int, Counted] = {}
    for node in list(model.graph):
        if node.domain == DOMAIN:
            counted[id(node.outputs[0])] = Counted(node.attributes["axis"].as_int(), node)
            continue
        reads = {i: counted[id(v)] for i, v in enumerate(node.inputs) if v is not None and id(v) in counted}
        if not reads:
            continue
        source = next(iter(reads.values())).source
        axis = None if any(each.source is not source for each in reads.values()) else axis_behind(node, reads)
        if axis is None:
            said = f"how much it gives depends on the data, and node '{node.name}' ({node.op_type}) mixes its rows"
            raise UnsupportedOperator(_original(source), str(source.name), said)
        counted.update((id(output), Counted(axis, source)) for output in node.outputs)
    for place, output in enumerate(model.graph.outputs):
        if id(output) in counted:
            model.graph.outputs[place] = _taken(model.graph, output, counted[id(output)])


def _asks_for_its_number(node: ir.Node) -> bool:
    """Whether anything that is made of its results asks for a shape, which would be that of all rows."""
    return any(reader.op_type in _ASK_FOR_SHAPES for reader in _readers(node))


def _readers(node: ir.Node) -> Iterator[ir.Node]:
    """All nodes that read what is made of a node's results."""
    waiting, seen = [node], {id(node)}
    while waiting:
        for output in waiting.pop().outputs:
            for user, _ in output.uses():
                if id(user) not in seen:
                    seen.add(id(user))
                    waiting.append(user)
                    yield user


def _replace(graph: ir.Graph, node: ir.Node, bound: _Bound) -> None:
    old = node.outputs[0]
    rows = ir.Value(
        name=old.name, shape=ir.Shape(bound.shape), type=old.type or ir.TensorType(ir.DataType.INT64)
    )
    count = ir.Value(name=f"{old.name}/count", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.INT32))
    attributes = [attribute for name, attribute in node.attributes.items() if name != "axis"]
    attributes += [ir.AttrInt64("axis", bound.axis), ir.AttrInt64("flat", int("axis" not in node.attributes))]
    new = ir.Node(
        DOMAIN, f"Bounded{node.op_type}", node.inputs, attributes, outputs=[rows, count], name=node.name
    )
    graph.insert_before(node, new)
    old.replace_all_uses_with(rows, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _taken(graph: ir.Graph, output: ir.Value, counted: Counted) -> ir.Value:
    name = output.name
    output.name = f"{name}/all"
    taken = ir.Value(name=name, shape=output.shape, type=output.type)
    inputs = [output, counted.source.outputs[1]]
    attributes = [ir.AttrInt64("axis", counted.axis)]
    graph.append(ir.Node(DOMAIN, TAKE, inputs, attributes, outputs=[taken], name=f"{name}/take"))
    return taken


def _original(node: ir.Node) -> str:
    return node.op_type.removeprefix("Bounded")


def _shape(value: ir.Value | None) -> tuple[int, ...] | None:
    if value is None or value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        return None
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]  # every dim is a number here


def _boxes(node: ir.Node) -> _Bound | None:
    scores, most = _shape(node.inputs[1]), scalar(node.inputs[2] if len(node.inputs) > 2 else None)
    if scores is None or most is None:
        return None
    batch, classes, boxes = scores
    return _Bound((batch * classes * min(boxes, int(most)), 3), 0)


def _places(node: ir.Node) -> _Bound | None:
    shape = _shape(node.inputs[0])
    return None if not shape else _Bound((len(shape), int(np.prod(shape))), 1)


def _chosen(node: ir.Node) -> _Bound | None:
    data, condition = _shape(node.inputs[0]), _shape(node.inputs[1])
    if not data or condition is None:
        return None
    if "axis" not in node.attributes:
        return _Bound((min(int(np.prod(data)), condition[0]),), 0)
    axis = node.attributes["axis"].as_int() % len(data)
    return _Bound((*data[:axis], min(data[axis], condition[0]), *data[axis + 1 :]), axis)


_BOUNDS: dict[str, Callable[[ir.Node], _Bound | None]] = {
    "NonMaxSuppression": _boxes,
    "NonZero": _places,
    "Compress": _chosen,
}
