"""How far off each range of an activation puts what the operators that read it write."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.backends import Backend
from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.rules import SAME_SCALE, data_input
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor
from edgewise_converters.tflite.pieces import Piece, cut, run_in_pieces
from edgewise_converters.tflite.plain_interpreter import open_any
from edgewise_converters.tflite.writer import serialize

_SMALLEST = 1e-30
_INT8 = np.dtype(np.int8)


def reader_errors(
    graph: Graph,
    ways: Mapping[int, Sequence[Quantization]],
    samples: Sequence[Sequence[Array]],
    *,
    threads: int,
    tick: Callable[[], None],
) -> dict[int, list[float]]:
    """By id of tensor, for each of its ways to be int8: noise power behind its readers as a part of their signal's.

    ``graph`` is float32, and so are the readers here: all noise is the one tensor's. Of several readers the parts are
    added up. ``samples`` are inputs in the graph's order; ``tick`` is called once a sample and round. The rounds are as
    many as there are ways of the tensor that has most: each runs the graph with one way of every tensor. Raises
    VerificationFailed where the graph does not run.
    """
    found = {key: [0.0] * len(grids) for key, grids in ways.items()}
    rounds = max(map(len, ways.values()), default=0)
    pieces = cut(graph)

    def look(piece: Piece, feeds: Sequence[Sequence[Array]]) -> None:
        known = {id(t) for o in piece.operators for t in o.outputs} | set(map(id, graph.inputs))
        leaving = [t for t in graph.outputs if id(t) in known]
        part = Graph(graph.name, list(piece.entries), leaving, list(piece.operators))
        for turn in range(rounds):
            probe = _Probe(part, {key: grids[turn] for key, grids in ways.items() if turn < len(grids)})
            for key, noise in probe.noises(feeds, threads).items():
                found[key][turn] += noise
            for _ in samples if piece is pieces[-1] else ():
                tick()

    _piece_after_piece(pieces, graph, samples, threads, look)
    return found


def _piece_after_piece(
    pieces: Sequence[Piece],
    graph: Graph,
    samples: Sequence[Sequence[Array]],
    threads: int,
    look: Callable[[Piece, Sequence[Sequence[Array]]], None],
) -> None:
    """Call ``look`` with every piece and, for each sample, what enters it."""
    if len(pieces) == 1:
        look(pieces[0], samples)
        return
    entries: list[list[Array]] = []

    def keep(piece: Piece, values: Mapping[int, Array]) -> None:
        entries.append([np.array(values[id(tensor)]) for tensor in piece.entries])

    def done(piece: Piece) -> None:
        look(piece, list(entries))
        entries.clear()

    run_in_pieces(pieces, samples, [], keep, inputs=graph.inputs, threads=threads, done=done)


@dataclass(frozen=True)
class _Pair:
    """A reader's output twice, by what the tensor (its id) holds and by what int8 leaves of it."""

    tensor: int
    clean: Tensor
    rough: Tensor


class _Probe:
    """The graph beside which every reader of some tensors works again, on what int8 leaves of them."""

    def __init__(self, graph: Graph, grids: Mapping[int, Quantization]) -> None:
        self._readers = graph.consumers()
        self._ends = {id(tensor) for tensor in graph.outputs}
        self._graph = Graph(graph.name, graph.inputs, [], list(graph.operators))
        self._axis = Tensor.constant("axis", np.zeros(1, np.int32))
        self._pairs = [
            pair
            for tensor in graph.tensors()
            if id(tensor) in grids
            for pair in self._read_again(id(tensor), tensor, self._rounded(tensor, grids[id(tensor)]))
        ]
        for pair in self._pairs:
            difference = self._write("SQUARED_DIFFERENCE", [pair.clean, pair.rough], pair.rough.like("noise"))
            self._graph.outputs.append(self._sum(difference))
            self._graph.outputs.append(
                self._sum(self._write("SQUARE", [pair.clean], pair.clean.like("signal")))
            )

    def noises(self, samples: Sequence[Sequence[Array]], threads: int) -> dict[int, float]:
        """By id of tensor."""
        if not self._pairs:
            return {}
        self._graph.remove_unused()
        backend = open_any(serialize(self._graph, description="readers", metadata={}), threads=threads)
        sums = np.zeros(len(self._graph.outputs))
        for sample in samples:
            sums += self._answers(backend, sample)
        backend.close()
        noises: dict[int, float] = {}
        for place, pair in enumerate(self._pairs):
            noise, signal = sums[2 * place : 2 * place + 2]
            share = float(noise / max(signal, _SMALLEST))
            # Masks next to minus infinity overflow when squared: nothing is known of this reader then.
            noises[pair.tensor] = noises.get(pair.tensor, 0.0) + (share if np.isfinite(share) else 0.0)
        return noises

    def _answers(self, backend: Backend, sample: Sequence[Array]) -> Array:
        return np.array([float(array) for array in backend.run(list(sample))])

    def _rounded(self, tensor: Tensor, grid: Quantization) -> Tensor:
        steps = Tensor(f"{tensor.name}/int8", tensor.shape, _INT8, None, grid)
        return self._write("DEQUANTIZE", [self._write("QUANTIZE", [tensor], steps)], tensor.like("rounded"))

    def _read_again(self, key: int, clean: Tensor, rough: Tensor) -> Iterator[_Pair]:
        """By every reader; what only moves the values is no reader, but the ones behind it are."""
        if id(clean) in self._ends:
            yield _Pair(key, clean, rough)
        for reader in self._readers.get(id(clean), []):
            if not _can_run_twice(reader):
                continue
            again = [output.like(f"{output.name}/again") for output in reader.outputs]
            inputs = [rough if tensor is clean else tensor for tensor in reader.inputs]
            self._graph.operators.append(Operator(reader.kind, inputs, again, reader.options))
            moves = reader.kind in SAME_SCALE and data_input(reader) is clean
            for output, twin in zip(reader.outputs, again, strict=True):
                if moves and (
                    id(output) in self._readers or id(output) in self._ends
                ):  # else: in another piece
                    yield from self._read_again(key, output, twin)
                else:
                    yield _Pair(key, output, twin)

    def _sum(self, tensor: Tensor) -> Tensor:
        size = int(np.prod(tensor.shape))
        flat = Tensor(tensor.name, (size,), tensor.dtype)
        shape = Tensor.constant("shape", np.array([size], np.int32))
        self._write("RESHAPE", [tensor, shape], flat, {"newShape": (size,)})
        return self._write("SUM", [flat, self._axis], Tensor("sum", (), tensor.dtype), {"keepDims": False})

    def _write(
        self, kind: str, inputs: list[Tensor], output: Tensor, options: Mapping[str, Option] | None = None
    ) -> Tensor:
        self._graph.operators.append(Operator(kind, list(inputs), [output], dict(options or {})))
        return output


def _can_run_twice(reader: Operator) -> bool:
    """Whether its results are real numbers whose number is known, and it holds no graph of its own."""
    return all(output.is_float and output.open_axis is None for output in reader.outputs) and not any(
        isinstance(option, Graph) for option in reader.options.values()
    )
