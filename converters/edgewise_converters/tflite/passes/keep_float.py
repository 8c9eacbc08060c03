"""Marks normalisations that are spelled out: int8 does not carry their variances.

Needs: nothing. Leaves: every operator between the input of a statistic and the normalised output marked, where an
RSQRT, or a SQRT that is divided by, is in the middle. Changes no number.
"""

from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.passes.graph_edit import Links

_ROOTS = frozenset({"RSQRT", "SQRT"})
_STATISTICS = frozenset(
    {"ADD", "SUB", "MUL", "MEAN", "SUM", "SQUARED_DIFFERENCE", "MAXIMUM", "NEG", "RESHAPE", "DIV"}
)
_APPLYING = frozenset({"MUL", "SUB", "ADD", "DIV", "NEG", "RESHAPE"})
_FARTHEST = 8


def apply(graph: Graph) -> bool:
    """Mark; returns whether there was anything to mark."""
    links = Links.of(graph)
    found = False
    for root in graph.operators:
        if root.kind not in _ROOTS or not root.output.is_float:
            continue
        root.in_float = found = True
        data = _backward(root, links)
        _forward(root, data, links)
    return found


def _backward(root: Operator, links: Links) -> set[int]:
    """Mark what computes the statistic; returns the ids of the tensors it is computed from."""
    entries: set[int] = set()
    frontier = [(tensor, 0) for tensor in root.inputs if tensor is not None]
    means = 0
    while frontier:
        tensor, depth = frontier.pop()
        before = links.producer(tensor)
        averages = before is not None and before.kind in ("MEAN", "SUM")
        if before is None or before.kind not in _STATISTICS or depth >= _FARTHEST:
            entries.add(id(tensor))
            continue
        before.in_float = True
        means += averages
        frontier += [
            (source, depth + 1)
            for source in before.inputs
            if source is not None and not source.is_constant and not (averages and _is_full(source, links))
        ]
        entries.update(id(s) for s in before.inputs if s is not None and averages and _is_full(s, links))
    return entries


def _is_full(tensor: Tensor, links: Links) -> bool:
    """Whether a tensor that is averaged is the data itself, not its squares or differences."""
    before = links.producer(tensor)
    return before is None or before.kind not in ("SQUARED_DIFFERENCE", "MUL", "SUB")


def _forward(root: Operator, entries: set[int], links: Links) -> None:
    """Mark what applies the statistic to the data."""
    inside = {id(root.output)}
    frontier = [root.output]
    for _ in range(_FARTHEST * 4):
        if not frontier:
            return
        tensor = frontier.pop()
        for reader in links.consumers.get(id(tensor), []):
            fits = reader.kind in _APPLYING and all(
                other is None
                or other.is_constant
                or id(other) in inside | entries
                or _is_marked(other, links)
                for other in reader.inputs
            )
            if fits and id(reader.output) not in inside:
                reader.in_float = True
                inside.add(id(reader.output))
                frontier.append(reader.output)


def _is_marked(tensor: Tensor, links: Links) -> bool:
    before = links.producer(tensor)
    return before is not None and before.in_float
