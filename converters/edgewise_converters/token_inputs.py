"""Which whole numbers an input takes: those that index the tables they are looked up in (token ids)."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_SAME_NUMBERS = frozenset({"CAST", "RESHAPE", "SELECT_V2", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"})
_LOOK_UP = frozenset({"GATHER", "GATHER_ND", "SCATTER_ND", "EMBEDDING_LOOKUP"})
_UNKNOWN = -1


@dataclass(frozen=True)
class _Index:
    """A tensor computed from an input: its numbers plus ``offset``, or something else of them (-1)."""

    tensor: Tensor
    offset: int


def table_sizes(graph: Graph) -> dict[str, int]:
    """By name of an input of whole numbers, how many rows the smallest constant table has that it is looked up in.

    Inputs that are not looked up are left out, and those whose numbers change on the way: their limits are unknown.
    """
    readers = graph.consumers()
    found: dict[str, int] = {}
    for tensor in graph.inputs:
        if tensor.dtype.kind in "iu":
            sizes = list(_sizes(readers, tensor))
            if sizes and _UNKNOWN not in sizes:
                found[tensor.name] = min(sizes)
    return found


def _sizes(readers: dict[int, list[Operator]], start: Tensor) -> Iterator[int]:
    """The table sizes that the numbers of ``start`` meet; -1 for a look-up that says nothing of them."""
    seen: set[tuple[int, int]] = set()
    waiting = [_Index(start, 0)]
    while waiting:
        index = waiting.pop()
        if (id(index.tensor), index.offset) in seen:
            continue
        seen.add((id(index.tensor), index.offset))
        for operator in readers.get(id(index.tensor), []):
            if operator.kind in _LOOK_UP and operator.inputs[0] is not index.tensor:
                yield from _met(operator, index)
            elif operator.output.dtype.kind in "iu" and operator.kind not in _LOOK_UP:
                waiting.append(_Index(operator.output, _offset(operator, index)))


def _met(operator: Operator, index: _Index) -> Iterator[int]:
    table = operator.inputs[0]
    axis = operator.options.get("axis", 0)
    if operator.kind != "GATHER" or table is None or table.data is None or not isinstance(axis, int):
        yield _UNKNOWN
        return
    size = table.shape[axis]
    if index.offset == 0:
        yield size
    elif index.offset != size:  # the size is added to indices that count from the end
        yield _UNKNOWN


def _offset(operator: Operator, index: _Index) -> int:
    """How far the numbers are from the input's after an operator."""
    if operator.kind in _SAME_NUMBERS:
        return index.offset
    addend = next((t.data for t in operator.inputs if t is not None and t.data is not None), None)
    if operator.kind == "ADD" and addend is not None and addend.size == 1 and index.offset == 0:
        return int(addend.reshape(-1)[0]) if addend.reshape(-1)[0] > 0 else _UNKNOWN
    return _UNKNOWN
