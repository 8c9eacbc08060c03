"""What values flow through a graph: it is run on samples, and every activation is looked at."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.moments import Moments, MomentsObserver
from edgewise_converters.spill import Spill, release_mapped
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.pieces import Piece, cut, run_in_pieces

_KEPT_VALUES = 1 << 16
"""Values kept of each tensor over all samples, to choose ranges by; extremes are exact."""
FILL = float(np.finfo(np.float32).min) / 2
"""What lies below is no data: it was put around the input of a maximum pooling, or masks attention."""


@dataclass
class Statistics:
    """What was seen of one tensor."""

    minimum: float
    maximum: float
    values: Array
    """Values picked at random over all samples, float32 [n]."""
    channel_mean: Array
    """Mean along the last axis's channels over everything else, float64 [C]; 0 where there are moments."""
    is_filled: bool = False
    """Whether some values were next to minus infinity: they are left out of all else here."""


@dataclass(frozen=True)
class Calibration:
    """Statistics of every float activation, by id of its tensor."""

    samples: int
    by_tensor: dict[int, Statistics]
    moments: dict[int, Moments] = field(default_factory=dict)
    """By id of the weights, for convolutions; operators with the same weights are looked at together."""

    def of(self, tensor: Tensor) -> Statistics:
        return self.by_tensor[id(tensor)]

    def moments_of(self, operator: Operator) -> Moments | None:
        """Of what an operator multiplies with its weights; None for what is no convolution."""
        return self.moments.get(id(operator.inputs[1])) if len(operator.inputs) > 1 else None


def calibrate(
    graph: Graph,
    batches: Iterable[list[Array]],
    *,
    count: int,
    tick: Callable[[], None],
    threads: int = 2,
    moments: bool = True,
    most_weights: int | None = None,
) -> Calibration:
    """Run ``graph`` on ``count`` lists of inputs (in the order and layout of its inputs) and gather statistics.

    Without ``moments`` nothing is gathered for joint rounding, which is quicker; with ``most_weights`` only for layers
    whose outputs have no more weights each, since their covariance has the square of that many numbers.
    """
    observed = [t for t in graph.tensors() if t.is_float and not t.is_constant]
    pieces = cut(graph)
    rng = np.random.default_rng(0)
    kept = max(64, _KEPT_VALUES // max(count, 1))
    readers = _observers(graph, count, most_weights) if moments else {}
    seen = {id(t): _Running(wants_mean=id(t) not in readers) for t in observed}
    looks = 0

    def look(piece: Piece, values: Mapping[int, Array]) -> None:
        nonlocal looks
        operators = set(map(id, piece.operators))
        is_first = piece is pieces[0]
        entries = graph.inputs if is_first else piece.entries
        written = [t for operator in piece.operators for t in operator.outputs if id(t) in values]
        for place, tensor in enumerate((*entries, *written)):
            array = values[id(tensor)]
            if id(tensor) in seen and (
                is_first or place >= len(entries)
            ):  # entries were seen as they were written
                seen[id(tensor)].add(array, kept, rng)
            for operator, observer in readers.get(id(tensor), ()):
                if id(operator) in operators:
                    observer.add(array, rng)
        looks += 1
        if looks % len(pieces) == 0:
            tick()

    gathered: dict[int, Moments] = {}
    spill = Spill()
    last_use = {id(o.inputs[1]): piece for piece in pieces for o in piece.operators if len(o.inputs) > 1}

    def take(piece: Piece) -> None:
        # Operators that share weights share an observer, whose result is taken once: taking it ends its sums.
        observers = {id(o.inputs[1]): observer for pairs in readers.values() for o, observer in pairs}
        for weights, observer in observers.items():
            if last_use[weights] is piece and weights not in gathered:
                found = observer.result()
                gathered[weights] = found.spilled(spill) if len(pieces) > 1 else found

    run_in_pieces(pieces, batches, observed, look, inputs=graph.inputs, threads=threads, done=take)
    done = looks // len(pieces)
    statistics = {key: running.result(done) for key, running in seen.items()}
    release_mapped()
    return Calibration(done, statistics, gathered)


def _observers(
    graph: Graph, count: int, most_weights: int | None
) -> dict[int, list[tuple[Operator, MomentsObserver]]]:
    """By id of tensor, the convolutions that read it with what looks at their patches."""
    readers: dict[int, list[tuple[Operator, MomentsObserver]]] = {}
    of_weights: dict[int, MomentsObserver] = {}
    for operator in graph.operators:
        if not MomentsObserver.can_observe(operator):
            continue
        key = id(operator.inputs[1])
        if key not in of_weights:
            observer = MomentsObserver(operator, count)
            if most_weights is not None and observer.size > most_weights:
                continue
            of_weights[key] = observer
            readers.setdefault(id(operator.inputs[0]), []).append((operator, of_weights[key]))
        elif of_weights[key].fits(operator):
            readers.setdefault(id(operator.inputs[0]), []).append((operator, of_weights[key]))
    return readers


class _Running:
    def __init__(self, *, wants_mean: bool) -> None:
        self._wants_mean = wants_mean
        self.minimum, self.maximum = np.inf, -np.inf
        self.values: list[Array] = []
        self.channel_sum: Array | float = 0.0
        self.is_filled = False

    def add(self, array: Array, kept: int, rng: np.random.Generator) -> None:
        flat = array.reshape(-1)
        if not flat.size:  # an output of open length may hold nothing
            return
        lowest, highest = float(flat.min()), float(flat.max())
        if not (lowest > FILL and highest < np.inf):  # or NaN, which is in both
            self.is_filled |= bool((array <= FILL).any())
            array = np.where((array > FILL) & (array < np.inf), array, np.float32(0))
            flat = array.reshape(-1)
            lowest, highest = float(flat.min()), float(flat.max())
        self.minimum, self.maximum = min(self.minimum, lowest), max(self.maximum, highest)
        picked = flat if flat.size <= kept else flat[rng.integers(0, flat.size, kept)]
        self.values.append(np.array(picked, np.float32))
        if not self._wants_mean:
            return
        rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
        ones = np.full(rows.shape[0], 1.0 / rows.shape[0], np.float32)
        self.channel_sum = self.channel_sum + (ones @ rows).astype(np.float64)

    def result(self, samples: int) -> Statistics:
        mean = np.asarray(self.channel_sum) / max(samples, 1)
        # The pieces are let go of at once: of all tensors together they are as large as the result.
        values, self.values = np.concatenate(self.values), []
        return Statistics(self.minimum, self.maximum, values, mean, self.is_filled)
