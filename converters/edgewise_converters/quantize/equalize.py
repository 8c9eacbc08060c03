"""Moves the size of channels from one layer's weights or activations into the next layer's weights. Exact in float.

A link is an activation whose writer can divide each channel by a number and whose readers can multiply by it again.
With `by_weights` both sides' weights get equal ranges (cross-layer equalization, Nagel et al. 2019,
arXiv:1906.04721, section 4.1): what weights with one scale a tensor need. With `by_activations` channels that tower
over the others shrink at the cost of the weights behind them (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438,
equation 4): what transformers need behind their normalisations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.rules import has_weights
from edgewise_converters.quantize.weights import channel_axis
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.pieces import Piece, cut, run_in_pieces
from edgewise_converters.tflite.schema import Activation

_LARGEST_FACTOR = 1e3
_SMALLEST = 1e-8
_ROUNDS = 3
_HOMOGENEOUS = (Activation.NONE, Activation.RELU)
"""Activations that commute with a positive factor."""


@dataclass(frozen=True)
class Link:
    """One activation between what writes it and all that read it; the last axis is channels."""

    tensor: Tensor
    writers: tuple[Operator, ...]
    """A layer with weights, or the MUL and ADD by constants that end a normalisation."""
    readers: tuple[Operator, ...]
    """Layers with weights, perhaps behind reshapes that keep the channels."""

    @property
    def channels(self) -> int:
        return self.tensor.shape[-1]

    @property
    def ends_normalisation(self) -> bool:
        """Whether it is written by constants instead of weights."""
        return not has_weights(self.writers[0])


def find_links(graph: Graph) -> list[Link]:
    """Every link of a float graph, in order."""
    consumers, producers = graph.consumers(), graph.producers()
    leaving = {id(tensor) for tensor in graph.outputs}
    found: list[Link] = []
    for operator in graph.operators:
        tensor = operator.outputs[0]
        if not tensor.is_float or not tensor.shape or id(tensor) in leaving:
            continue
        writers = _writers(operator, producers, consumers)
        readers = _readers(tensor, consumers, leaving)
        if writers and readers:
            found.append(Link(tensor, tuple(writers), tuple(readers)))
    return found


def _writers(
    operator: Operator, producers: Mapping[int, Operator], consumers: Mapping[int, list[Operator]]
) -> list[Operator]:
    """What must be divided together, or nothing where that cannot be."""
    if has_weights(operator):
        plain = operator.options.get("fusedActivationFunction", 0) in _HOMOGENEOUS
        return [operator] if plain else []
    if operator.kind not in ("MUL", "ADD") or operator.options.get("fusedActivationFunction", 0):
        return []
    data, constant = _operands(operator)
    if data is None or constant is None or data.shape != operator.output.shape:
        return []
    if operator.kind == "MUL":
        return [operator]
    before = producers.get(id(data))
    if before is None or before.kind != "MUL" or len(consumers[id(data)]) != 1:
        return []
    first = _writers(before, producers, consumers)
    return [*first, operator] if first else []


def _operands(operator: Operator) -> tuple[Tensor | None, Tensor | None]:
    """The activation and the constant vector of an elementwise operator, where it has one of each."""
    data = [t for t in operator.inputs if t is not None and not t.is_constant]
    constants = [t for t in operator.inputs if t is not None and t.is_constant and t.is_float]
    return (data[0], constants[0]) if len(data) == 1 and len(constants) == 1 else (None, None)


def _readers(
    tensor: Tensor, consumers: Mapping[int, list[Operator]], leaving: set[int]
) -> list[Operator] | None:
    """All layers that read a tensor; None where something else reads it too."""
    found: list[Operator] = []
    for reader in consumers.get(id(tensor), []):
        if reader.kind == "RESHAPE" and reader.output.shape[-1:] == tensor.shape[-1:]:
            if id(reader.output) in leaving:
                return None
            behind = _readers(reader.output, consumers, leaving)
            if behind is None:
                return None
            found += behind
        elif has_weights(reader) and reader.inputs[0] is tensor and _takes(reader, tensor.shape[-1]):
            found.append(reader)
        else:
            return None
    return found


def _takes(reader: Operator, channels: int) -> bool:
    """Whether each input channel has weights of its own (no groups, no multiplier)."""
    weights = reader.inputs[1]
    return weights is not None and weights.shape[-1] == channels


def by_weights(link: Link) -> Array:
    """The factors that give both sides' weights equal ranges, float64 [channels]."""
    before = np.maximum(_largest(link.writers[0], writes=True), _SMALLEST)
    after = np.maximum(_reading(link), _SMALLEST)
    return _bounded(np.sqrt(before / after))


def by_activations(link: Link, largest: Array, strength: float) -> Array:
    """The factors that move ``strength`` (0 to 1) of the channels' differences into the weights behind."""
    weights = np.maximum(_reading(link), _SMALLEST)
    return _bounded(np.maximum(largest, _SMALLEST) ** strength / weights ** (1 - strength))


def _bounded(factors: Array) -> Array:
    """Around one in the geometric mean, and within reason."""
    factors = factors / np.exp(np.mean(np.log(factors)))
    return np.asarray(np.clip(factors, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR))


def _reading(link: Link) -> Array:
    return np.asarray(np.max([_largest(reader, writes=False) for reader in link.readers], axis=0))


def _largest(operator: Operator, *, writes: bool) -> Array:
    """Largest magnitude of the weights of each channel that is written or read."""
    weights = operator.inputs[1]
    assert weights is not None and weights.data is not None
    axis = channel_axis(operator.kind) if writes else weights.data.ndim - 1
    return np.asarray(np.abs(weights.data).max(axis=tuple(a for a in range(weights.data.ndim) if a != axis)))


def cross_layer_equalized(graph: Graph) -> Graph:
    """The twin of a float graph in which both sides of every link between layers have weights of equal range."""
    twin = graph.copy()
    links = [link for link in find_links(twin) if not link.ends_normalisation]
    for _ in range(_ROUNDS):
        for link in links:
            _apply(link, by_weights(link))
    return twin


def smoothed(graph: Graph, largest: Mapping[str, Array], strength: float) -> Graph:
    """The twin of a float graph with even channels behind every normalisation.

    ``largest`` holds the largest magnitude seen of each channel, by name of the link's tensor.
    """
    twin = graph.copy()
    for link in normalisation_links(twin):
        _apply(link, by_activations(link, largest[link.tensor.name], strength))
    return twin


def normalisation_links(graph: Graph) -> list[Link]:
    """The links whose writer is the end of a normalisation."""
    return [link for link in find_links(graph) if link.ends_normalisation]


def _apply(link: Link, factors: Array) -> None:
    """Divide what is written and multiply what reads it, in place."""
    for writer in link.writers:
        _divide(writer, factors)
    for reader in link.readers:
        weights = reader.inputs[1]
        assert weights is not None and weights.data is not None
        reader.inputs[1] = Tensor.constant(weights.name, (weights.data * factors).astype(np.float32))


def _divide(writer: Operator, factor: Array) -> None:
    if not has_weights(writer):
        _, constant = _operands(writer)
        assert constant is not None and constant.data is not None
        wide = np.broadcast_to(constant.data, np.broadcast_shapes(constant.data.shape, factor.shape))
        place = next(i for i, tensor in enumerate(writer.inputs) if tensor is constant)
        # A MUL by gamma and the ADD of beta behind it: both are divided once.
        writer.inputs[place] = Tensor.constant(constant.name, (wide / factor).astype(np.float32))
        return
    weights = writer.inputs[1]
    assert weights is not None and weights.data is not None
    shape = [1] * weights.data.ndim
    shape[channel_axis(writer.kind)] = -1
    divided = (weights.data / factor.reshape(shape)).astype(np.float32)
    writer.inputs[1] = Tensor.constant(weights.name, divided)
    bias = writer.inputs[2] if len(writer.inputs) > 2 else None
    if bias is not None and bias.data is not None:
        writer.inputs[2] = Tensor.constant(bias.name, (bias.data / factor).astype(np.float32))


def largest_by_channel(graph: Graph, batches: Iterable[list[Array]]) -> dict[str, Array]:
    """Largest magnitude seen of each channel behind each normalisation, by name of the link's tensor."""
    links = normalisation_links(graph)
    found = {link.tensor.name: np.zeros(link.channels) for link in links}
    by_tensor = {id(link.tensor): link for link in links}

    def look(piece: Piece, values: Mapping[int, Array]) -> None:
        for operator in piece.operators:
            for tensor in operator.outputs:
                if link := by_tensor.get(id(tensor)):
                    rows = np.abs(values[id(tensor)].reshape(-1, link.channels)).max(axis=0)
                    found[tensor.name] = np.maximum(found[tensor.name], rows)

    run_in_pieces(cut(graph), batches, [link.tensor for link in links], look, inputs=graph.inputs)
    return found
