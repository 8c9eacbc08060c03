"""What values flow through a graph: it is run on samples, and every activation is looked at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.moments import Moments, MomentsObserver
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.plain_interpreter import open_any
from edgewise_converters.tflite.writer import serialize

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
    inner = [t for t in observed if not any(t is entry for entry in graph.inputs)]
    probe = Graph(graph.name, graph.inputs, inner, graph.operators)
    backend = open_any(serialize(probe, description="calibration", metadata={}), threads=threads)
    rng = np.random.default_rng(0)
    kept = max(64, _KEPT_VALUES // max(count, 1))
    readers = _observers(graph, count, most_weights) if moments else {}
    seen = {id(t): _Running(wants_mean=id(t) not in readers) for t in observed}
    done = 0
    for inputs in batches:
        outputs = backend.run(inputs, views=True)
        for tensor, array in [*zip(graph.inputs, inputs, strict=True), *zip(inner, outputs, strict=True)]:
            if id(tensor) in seen:
                seen[id(tensor)].add(array, kept, rng)
            for _, observer in readers.get(id(tensor), ()):
                observer.add(array, rng)
        del outputs, array  # views must be gone before the next run
        done += 1
        tick()
    backend.close()
    # Operators that share weights share an observer, whose result is taken once: taking it ends its sums.
    observers = {id(operator.inputs[1]): o for pairs in readers.values() for operator, o in pairs}
    gathered = {weights: observer.result() for weights, observer in observers.items()}
    return Calibration(done, {key: running.result(done) for key, running in seen.items()}, gathered)


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
        values = np.concatenate(self.values)
        return Statistics(self.minimum, self.maximum, values, mean, self.is_filled)
