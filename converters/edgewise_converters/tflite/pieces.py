"""A float graph run piece after piece, so that a large one's weights are in a runtime only a part at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.spill import Spill, Spilled, release_mapped
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.plain_interpreter import open_any
from edgewise_converters.tflite.writer import serialize

LARGE_BYTES = 64 << 20
"""Weights; a graph with less of them is one piece."""
_PIECE_BYTES = 16 << 20
"""Weights and activations of a piece: a runtime holds the weights twice more, as a file and packed for its kernels."""
_MAPPED_BYTES = 1 << 16

Visit = Callable[["Piece", Mapping[int, Array]], None]


@dataclass(frozen=True, eq=False)
class Piece:
    """Operators that follow each other in a graph."""

    operators: tuple[Operator, ...]
    entries: tuple[Tensor, ...]
    """What they read and do not write, without constants."""
    alive: tuple[Tensor, ...]
    """What was written before, or enters the graph, and is read here or later."""


def map_weights(graph: Graph) -> None:
    """Move a large graph's weights to the disk, from where they are read when they are needed."""
    if not _is_large(graph):
        return
    sharing: dict[int, list[Tensor]] = {}
    for tensor in graph.tensors():
        if tensor.data is not None and tensor.data.nbytes >= _MAPPED_BYTES:
            sharing.setdefault(id(tensor.data), []).append(tensor)
    spill = Spill()
    places = []
    for (
        tensors
    ) in sharing.values():  # one after the other, so that each is let go of before the next is written
        data = tensors[0].data
        assert data is not None
        places.append(spill.put(data))
        for tensor in tensors:
            tensor.data = None
    for tensors, data in zip(sharing.values(), spill.map(places), strict=True):
        for tensor in tensors:
            tensor.data = data
    release_mapped()


def _is_large(graph: Graph) -> bool:
    return sum(map(_weights, graph.operators)) >= LARGE_BYTES


def cut(graph: Graph, *, most: int = _PIECE_BYTES) -> list[Piece]:
    """The pieces of a graph: one unless it is large, else of about ``most`` bytes each.

    What follows an operator whose results may have several sizes stays with it: a piece's inputs have one.
    """
    may_cut = _is_large(graph)
    runs: list[list[Operator]] = [[]]
    filled = 0
    for operator in graph.operators:
        size = _weights(operator) + sum(int(np.prod(t.shape)) * t.dtype.itemsize for t in operator.outputs)
        if may_cut and runs[-1] and filled + size > most:
            runs.append([])
            filled = 0
        runs[-1].append(operator)
        filled += size
        may_cut = may_cut and not _has_open_sizes(operator)
    pieces: list[Piece] = []
    reads = [_reads(run) for run in runs]
    ready = {id(tensor): tensor for tensor in graph.inputs}
    for place, run in enumerate(runs):
        later = set().union(*reads[place:])
        alive = tuple(tensor for key, tensor in ready.items() if key in later)
        entries = tuple(graph.inputs) if len(runs) == 1 else tuple(t for t in alive if id(t) in reads[place])
        pieces.append(Piece(tuple(run), entries, alive))
        ready |= {id(tensor): tensor for operator in run for tensor in operator.outputs}
    return pieces


def run_in_pieces(
    pieces: Sequence[Piece],
    feeds: Iterable[Sequence[Array]],
    wanted: Sequence[Tensor],
    visit: Visit,
    *,
    inputs: Sequence[Tensor],
    threads: int = 1,
    done: Callable[[Piece], None] = lambda _: None,
) -> None:
    """Show ``visit``, for every piece and sample, a piece's entries and those of ``wanted`` that it writes, by id.

    ``feeds`` are values of ``inputs``, the graph's. What is shown must not be kept: it is the runtime's own memory.
    ``done`` is called behind the last sample of each piece. Between pieces values wait in a temporary file. Raises
    VerificationFailed for a graph that does not run, ConversionError for a full disk.
    """
    given: Sequence[Tensor] = inputs
    for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
        carried = following.alive if following else ()
        written = {id(tensor) for operator in piece.operators for tensor in operator.outputs}
        asked = {id(t): t for t in (*wanted, *carried) if id(t) in written}
        network = Graph("piece", list(piece.entries), list(asked.values()), list(piece.operators))
        backend = open_any(serialize(network, description="piece", metadata={}), threads=threads)
        waiting: list[list[Spilled]] = []
        later = Spill()
        for feed in feeds:
            values = dict(zip(map(id, given), feed, strict=True))
            outputs = backend.run([values[id(tensor)] for tensor in piece.entries], views=True)
            values |= zip(asked, outputs, strict=True)
            waiting.append([later.put(values[id(tensor)]) for tensor in carried])
            visit(piece, values)
            del outputs, values  # views must be gone before the next run
        backend.close()
        done(piece)
        release_mapped()
        given, feeds = carried, ([one.read() for one in sample] for sample in waiting)


def _has_open_sizes(operator: Operator) -> bool:
    inside = any(isinstance(option, Graph) for option in operator.options.values())
    return inside or any(tensor.open_axis is not None for tensor in operator.outputs)


def _weights(operator: Operator) -> int:
    return sum(t.data.nbytes for t in operator.inputs if t is not None and t.data is not None)


def _reads(operators: Sequence[Operator]) -> set[int]:
    return {id(t) for o in operators for t in o.inputs if t is not None and not t.is_constant}
