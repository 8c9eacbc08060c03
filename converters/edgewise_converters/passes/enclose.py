"""An If, Loop or Scan that cannot be written out becomes a node with models of its own for branches or body.

Needs: static shapes of all that its bodies read. Leaves: nodes of the domain below, whose inputs name everything that
the bodies read; each body is canonical. Exact. What the bodies give must have shapes that are known and, for what goes
round in a loop, always the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.passes import domains
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.subgraphs import hand_over

DOMAIN = domains.CONTROL
_BODIES = "edgewise.bodies"
Canonicalize = Callable[[ir.Model], None]


@dataclass(frozen=True, eq=False)
class Branches:
    """What an If computes; its inputs are the condition and what the models take, in this order."""

    then: ir.Model
    otherwise: ir.Model


@dataclass(frozen=True, eq=False)
class LoopBody:
    """What a Loop repeats; its inputs are the trip count, the condition, the states and what the body reads besides.

    The body takes the number of the round, the condition, the states and the rest; it gives the condition, the states
    and one entry of each sequence.
    """

    body: ir.Model
    states: int
    stays_true: bool
    """Whether the body never changes the condition."""
    rounds: int | None
    """The trip count where it is known."""


def branches_of(node: ir.Node) -> Branches:
    """The models of an enclosed If."""
    found = node.meta[_BODIES]
    assert isinstance(found, Branches)
    return found


def loop_of(node: ir.Node) -> LoopBody:
    """The model of an enclosed Loop."""
    found = node.meta[_BODIES]
    assert isinstance(found, LoopBody)
    return found


def apply(model: ir.Model, canonicalize: Canonicalize) -> bool:
    """Enclose every If and Loop that is left and whose inputs' shapes are known; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx") or node.op_type not in ("If", "Loop"):
            continue
        make = _enclose_if if node.op_type == "If" else _enclose_loop
        changed |= make(model, node, canonicalize)
    if changed:
        model.graph.opset_imports[DOMAIN] = 1
    return changed


def _enclose_if(model: ir.Model, node: ir.Node, canonicalize: Canonicalize) -> bool:
    bodies = [node.attributes[name].as_graph() for name in ("then_branch", "else_branch")]
    outer = _distinct(value for body in bodies for value in _captured(body))
    if not all(_is_static(value) for value in outer):
        return False
    models = [_model(model, body, [], outer) for body in bodies]
    for each in models:
        canonicalize(each)
    pairs = zip(models[0].graph.outputs, models[1].graph.outputs, strict=True)
    for first, second in pairs:
        if not _is_static(first) or first.shape != second.shape:
            raise UnsupportedOperator(
                "If",
                str(node.name),
                f"its condition depends on the data and its branches give different shapes, {first.shape} and "
                f"{second.shape}; if it depends on an input that is always the same, give its number with "
                "--value NAME=NUMBER",
            )
    made = _replace(node, [node.inputs[0], *outer], models[0].graph.outputs)
    made.meta[_BODIES] = Branches(*models)
    return True


def _enclose_loop(model: ir.Model, node: ir.Node, canonicalize: Canonicalize) -> bool:
    body = node.attributes["body"].as_graph()
    states, outer = list(node.inputs[2:]), _distinct(_captured(body))
    if any(value is None or not _is_static(value) for value in (*states, *outer)):
        return False
    enclosed = _model(model, body, states, outer)
    stays_true = _stays_true(enclosed.graph)
    canonicalize(enclosed)
    results = list(enclosed.graph.outputs)[1:]
    for state, result in zip(states, results, strict=False):
        if state is None or result.shape != state.shape:
            raise UnsupportedOperator(
                "Loop",
                str(node.name),
                f"a value that goes round has shape {None if state is None else state.shape} before and "
                f"{result.shape} after a round, expected one that stays",
            )
    rounds, start = constant(node.inputs[0]), constant(node.inputs[1])
    endless = stays_true and (node.inputs[1] is None or (start is not None and bool(start.all())))
    known = int(rounds.reshape(-1)[0]) if rounds is not None and endless else None
    scans = results[len(states) :]
    _check(node, scans, known, has_end=node.inputs[0] is not None or not stays_true)
    for scan in scans:
        assert scan.shape is not None and known is not None
        scan.meta["edgewise.stacked"] = ir.Shape([known, *scan.shape])
    made = _replace(node, [*node.inputs[:2], *states, *outer], results)
    made.meta[_BODIES] = LoopBody(enclosed, len(states), stays_true, known)
    return True


def _check(node: ir.Node, scans: Sequence[ir.Value], rounds: int | None, *, has_end: bool) -> None:
    why = ""
    if scans and (rounds is None or rounds < 1):
        why = "how many results it collects depends on the data, expected a constant number of rounds"
    elif not has_end:
        why = "it has neither a number of rounds nor a condition that changes"
    if why:
        raise UnsupportedOperator("Loop", str(node.name), why)


def _replace(node: ir.Node, inputs: Sequence[ir.Value | None], results: Sequence[ir.Value]) -> ir.Node:
    """Put an enclosed node where ``node`` stood, with the types and shapes that its bodies give."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    made = ir.Node(DOMAIN, node.op_type, inputs, num_outputs=len(node.outputs), name=f"{node.name}/enclosed")
    for number, (output, result) in enumerate(zip(made.outputs, results, strict=True)):
        stacked = result.meta.get("edgewise.stacked")
        output.name = f"{node.name}/enclosed/{number}"
        output.shape, output.type = (stacked or result.shape), result.type
    graph.insert_before(node, made)
    for old, new in zip(node.outputs, made.outputs, strict=True):
        old.shape, old.type = new.shape, new.type
    hand_over(node, made.outputs)
    return made


def _model(
    model: ir.Model, body: ir.Graph, states: Sequence[ir.Value | None], outer: Sequence[ir.Value]
) -> ir.Model:
    """A body as a model that takes its own inputs, shaped as ``states`` behind its first, and then ``outer``."""
    copy = body.clone(allow_outer_scope_values=True)
    opsets = {domain: version for domain, version in model.graph.opset_imports.items() if domain != DOMAIN}
    copy.opset_imports.clear()
    copy.opset_imports.update(opsets)
    own = len(copy.inputs) - len(states)
    for formal in list(copy.inputs)[:own]:
        formal.shape = ir.Shape([])
    for formal, actual in zip(list(copy.inputs)[own:], states, strict=True):
        assert actual is not None
        formal.shape, formal.type = actual.shape, actual.type
    for number, value in enumerate(outer):
        entry = ir.Value(name=f"outer/{number}/{value.name}", shape=value.shape, type=value.type)
        _replace_within(copy, value, entry)
        copy.inputs.append(entry)
    _take_constants(copy)
    for node in copy.all_nodes():
        for output in node.outputs:
            output.shape = None
    _give_outputs_of_their_own(copy)
    return ir.Model(copy, ir_version=model.ir_version)


def _take_constants(graph: ir.Graph) -> None:
    """Constants of the graph around become the body's own."""
    for value in _distinct(_read_outside(graph)):
        array = constant(value)
        if array is not None:
            _replace_within(graph, value, add_constant(graph, f"outer/{value.name}", array))


def _give_outputs_of_their_own(graph: ir.Graph) -> None:
    """Each output is made by a node, and by one alone."""
    seen: set[int] = set()
    for number, output in enumerate(graph.outputs):
        if output.producer() is None or id(output) in seen:
            node = ir.Node("", "Identity", [output], num_outputs=1, name=f"output/{number}")
            node.outputs[0].name, node.outputs[0].type = f"output/{number}", output.type
            graph.append(node)
            graph.outputs[number] = node.outputs[0]
        seen.add(id(output))


def _stays_true(body: ir.Graph) -> bool:
    """Whether a body hands on the condition it got, or the constant true."""
    value = body.outputs[0]
    while (node := value.producer()) is not None and node.op_type in ("Identity", "Cast"):
        assert node.inputs[0] is not None
        value = node.inputs[0]
    array = constant(value)
    if array is None and node is not None and node.op_type == "Constant" and "value" in node.attributes:
        array = node.attributes["value"].as_tensor().numpy()
    return value is body.inputs[1] or (array is not None and bool(np.all(array)))


def _captured(body: ir.Graph) -> Iterator[ir.Value]:
    """What a body reads of the graphs around it, but for constants."""
    return (value for value in _read_outside(body) if value.const_value is None)


def _read_outside(body: ir.Graph) -> Iterator[ir.Value]:
    graphs = list(_nested(body))
    inside = {id(value) for graph in graphs for value in (*graph.inputs, *graph.initializers.values())}
    inside |= {id(output) for graph in graphs for node in graph for output in node.outputs}
    for graph in graphs:
        for value in (*(v for node in graph for v in node.inputs), *graph.outputs):
            if value is not None and id(value) not in inside:
                yield value


def _nested(graph: ir.Graph) -> Iterator[ir.Graph]:
    yield graph
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from _nested(attribute.as_graph())


def _replace_within(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    for each in _nested(graph):
        for node in each:
            for index, value in enumerate(node.inputs):
                if value is old:
                    node.replace_input_with(index, new)
        for index, output in enumerate(each.outputs):
            if output is old:
                each.outputs[index] = new


def _distinct(values: Iterator[ir.Value]) -> list[ir.Value]:
    return list({id(value): value for value in values}.values())


def _is_static(value: ir.Value) -> bool:
    return (
        value.shape is not None
        and value.type is not None
        and all(isinstance(dim, int) for dim in value.shape)
    )
