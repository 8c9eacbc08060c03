"""What each layer is off by on average inside the quantized network, for its bias to take back.

The closed form (`weights.mean_shift`) knows what rounding a layer's weights adds to the layer. This knows what all the
layers before it add as well: the empirical bias correction of Nagel et al. 2019 (arXiv:1906.04721, appendix D).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.quantize.static import quantize_with_twins
from edgewise_converters.quantize.ways import Shared, StaticOptions
from edgewise_converters.quantize.weights import quantize_bias
from edgewise_converters.spill import Spill, Spilled
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.pieces import Piece, cut, run_in_pieces
from edgewise_converters.tflite.plain_interpreter import open_any
from edgewise_converters.tflite.writer import serialize

_MOST_BYTES = 256 << 20
"""Of activations that are kept at one time, over all samples."""
FEWEST_SAMPLES, MOST_SAMPLES = 4, 32


def samples_to_keep(graph: Graph) -> int:
    """How many samples can go through the graph side by side, were all of it float32."""
    uses = _last_uses(graph)
    alive = largest = sum(_bytes(t) for t in graph.inputs)
    ending: dict[int, int] = {}
    for tensor in graph.tensors():
        if not tensor.is_constant and id(tensor) in uses:
            ending[uses[id(tensor)]] = ending.get(uses[id(tensor)], 0) + _bytes(tensor)
    for place, operator in enumerate(graph.operators):
        alive += sum(_bytes(t) for t in operator.outputs if id(t) in uses)
        largest = max(largest, alive)
        alive -= ending.get(place, 0)
    return int(np.clip(_MOST_BYTES // max(largest, 1), FEWEST_SAMPLES, MOST_SAMPLES))


def measured_shifts(
    graph: Graph,
    shared: Shared,
    options: StaticOptions,
    samples: Sequence[Sequence[Array]],
    *,
    inputs: dict[str, Quantization],
    tick: Callable[[], None],
) -> dict[int, Array]:
    """By id of operator, what `StaticOptions.shifts_of` should be, float64 [C] each.

    ``samples`` are float inputs in the order of the graph's. Layer after layer, each is measured behind those that are
    corrected already. ``tick`` is called once a layer.
    """
    bare = replace(options, shifts_of={})
    twins = quantize_with_twins(graph, shared, bare, inputs)
    layers = {id(twins.written[id(o.output)]): o for o in graph.operators if has_weights(o)}
    wanted = _float_means(graph, samples)
    walk = _Walk(twins.graph, samples, spills=len(cut(graph)) > 1)
    shifts: dict[int, Array] = {}
    waiting: list[Operator] = []
    for place, operator in enumerate(twins.graph.operators):
        layer = layers.get(id(operator.outputs[0]))
        if all(tensor is None or tensor.is_constant for tensor in operator.inputs):
            walk.constants[id(operator.outputs[0])] = operator
        elif layer is None:
            waiting.append(operator)
        else:
            walk.run(waiting, place - 1)
            waiting = []
            arrays = (answer[0] for answer in walk.asked([operator], operator.outputs))
            shift = _mean(arrays, operator.output) - wanted[id(layer)]
            shifts[id(layer)] = shift
            walk.run([_shifted(operator, shift)], place)
            tick()
    return shifts


def _float_means(graph: Graph, samples: Sequence[Sequence[Array]]) -> dict[int, Array]:
    """By id of each operator with weights: the mean of its output in the float graph, float64 [C]."""
    layers = [operator for operator in graph.operators if has_weights(operator)]
    sums: dict[int, Array | float] = dict.fromkeys(map(id, layers), 0.0)

    def add(piece: Piece, values: Mapping[int, Array]) -> None:
        for operator in piece.operators:
            if id(operator) in sums:
                sums[id(operator)] = sums[id(operator)] + _channel_mean(values[id(operator.output)])

    run_in_pieces(cut(graph), samples, [o.output for o in layers], add, inputs=graph.inputs)
    return {layer: np.asarray(total) / len(samples) for layer, total in sums.items()}


def _channel_mean(array: Array) -> Array:
    return np.asarray(array.reshape(-1, array.shape[-1]).mean(axis=0, dtype=np.float64))


def _mean(arrays: Iterable[Array], tensor: Tensor) -> Array:
    mean = np.mean([_channel_mean(array) for array in arrays], axis=0)
    grid = tensor.quantization
    return np.asarray(mean if grid is None else (mean - grid.zero_point) * grid.scale)


def _shifted(operator: Operator, shift: Array) -> Operator:
    """The same operator whose bias gave up ``shift``."""
    data, weights, *rest = operator.inputs
    assert data is not None and weights is not None
    bias = rest[0] if rest else None
    if data.is_float:
        held = np.zeros(shift.shape, np.float32) if bias is None or bias.data is None else bias.data
        new = Tensor.constant(f"{operator.output.name}/bias", (held - shift).astype(np.float32))
    else:
        assert bias is not None and bias.data is not None and bias.quantization is not None
        assert data.quantization is not None and weights.quantization is not None
        real: Array = bias.data * np.asarray(bias.quantization.scales, np.float64) - shift
        steps, grid = quantize_bias(real, data.quantization.scale, weights.quantization, dtype=bias.dtype)
        new = Tensor.constant(bias.name, steps, grid)
    return Operator(
        operator.kind, [data, weights, new], operator.outputs, operator.options, operator.in_float
    )


class _Walk:
    """All samples side by side, a few operators at a time; what nobody reads any more is let go."""

    def __init__(self, graph: Graph, samples: Sequence[Sequence[Array]], *, spills: bool) -> None:
        """With ``spills`` values wait on the disk."""
        self._uses = _last_uses(graph)
        self._spills = spills
        self._values: dict[int, list[Array] | list[Spilled]] = {}
        self._samples = len(samples)
        self.constants: dict[int, Operator] = {}
        """By id of what they write, operators on constants alone, such as weights that are restored."""
        for place, tensor in enumerate(graph.inputs):
            grid = tensor.quantization
            arrays = [sample[place] for sample in samples]
            if grid is not None and not tensor.is_float:
                arrays = [grid.quantize(array, str(tensor.dtype)) for array in arrays]
            self._values[id(tensor)] = arrays

    def run(self, operators: list[Operator], last: int) -> None:
        """Go past these operators, the last of which has this place in the graph."""
        later = [t for o in operators for t in o.outputs if self._uses.get(id(t), -1) > last]
        if later:
            kept: list[list[Any]] = [[] for _ in later]
            spill = Spill()
            for answer in self.asked(operators, later):
                for values, array in zip(kept, answer, strict=True):
                    values.append(spill.put(array) if self._spills else array)
            self._values |= {id(tensor): values for tensor, values in zip(later, kept, strict=True)}
        self._values = {key: values for key, values in self._values.items() if self._uses.get(key, -1) > last}

    def asked(self, operators: list[Operator], outputs: list[Tensor]) -> Iterator[list[Array]]:
        """The values of outputs, sample by sample."""
        read_constants = [
            self.constants[id(t)] for o in operators for t in o.inputs if id(t) in self.constants
        ]
        operators = [*dict.fromkeys(read_constants), *operators]
        written = {id(t) for o in operators for t in o.outputs}
        read = {id(t): t for o in operators for t in o.inputs if t is not None and id(t) in self._values}
        entries = [tensor for key, tensor in read.items() if key not in written]
        piece = Graph("piece", entries, outputs, list(operators))
        piece.remove_unused()
        backend = open_any(serialize(piece, description="piece", metadata={}))
        for place in range(self._samples):
            waiting = (self._values[id(tensor)][place] for tensor in entries)
            yield backend.run([one.read() if isinstance(one, Spilled) else one for one in waiting])
        backend.close()


def _last_uses(graph: Graph) -> dict[int, int]:
    """By id of tensor: the place of the last operator that reads it."""
    return {
        id(tensor): place
        for place, operator in enumerate(graph.operators)
        for tensor in operator.inputs
        if tensor is not None and not tensor.is_constant
    }


def _bytes(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape)) * tensor.dtype.itemsize
