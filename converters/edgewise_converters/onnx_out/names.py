"""Short names inside a written graph: exporters' long ones can outweigh a small network's integers."""

from collections.abc import Iterator

import onnx

_LONGEST = 24


def shorten(graph: onnx.GraphProto) -> None:
    """Give long inner values the end of their name, made unique; inputs and outputs keep theirs.

    Names of nodes and shapes of inner values go: onnxruntime infers them.
    """
    graphs = list(_graphs(graph))
    ends = {value.name for g in graphs for value in [*g.input, *g.output]}
    taken = ends | {name for g in graphs for name in _names(g)}
    renamed: dict[str, str] = {}
    for g in graphs:
        for name in _names(g):
            if len(name) > _LONGEST and name not in ends and name not in renamed:
                renamed[name] = _unique(name[-_LONGEST:], taken)
    for g in graphs:
        _rename(g, renamed)
        del g.value_info[:]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.output
    for tensor in graph.initializer:
        yield tensor.name


def _unique(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


def _rename(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    for node in graph.node:
        node.name = ""
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    del graph.metadata_props[:]
