"""Parts of a network that lose most in int8 and cost little outside it, found by structure alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgewise_converters.quantize.rules import (
    FREE,
    SAME_SCALE,
    data_input,
    has_weights,
    possible_widths,
    sensible_widths,
)
from edgewise_converters.quantize.widths import Width
from edgewise_converters.search.cost import products, products_of
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.runtimes import RuntimeRules

_STEM_LAYERS = 3
_STEM_SHARE = 0.08
"""Part of all products that the first layers may have to be taken out of int8."""
_HEAD_REACH = 12
"""Operators between an output and its layer with weights."""


@dataclass(frozen=True)
class Rescue:
    """Operators to take out of int8 together."""

    name: str
    widths: dict[int, Width]
    """By id of operator."""


def rescues(graph: Graph, rules: RuntimeRules) -> list[Rescue]:
    """Those that the graph has."""
    found = [
        Rescue("everything but layers with weights in float32", light_in_float(graph)),
        Rescue("layers between float32 parts with float32 activations", _between_floats(graph, rules)),
        Rescue("vectors of channels (gates) with float32 activations", _vectors(graph, rules)),
        Rescue("the first layers in float32", _stem(graph, rules)),
        Rescue("the last layers with float32 answers", _heads(graph, rules)),
        Rescue("sums that skip layers in float32", _sums(graph, rules)),
    ]
    return [rescue for rescue in found if rescue.widths]


def spared(operator: Operator, rules: RuntimeRules) -> Width:
    """The cheapest width whose output is not rounded."""
    return Width.HYBRID if Width.HYBRID in possible_widths(operator, rules) else Width.FLOAT


def _stem(graph: Graph, rules: RuntimeRules) -> dict[int, Width]:
    """The first layers with weights behind the inputs, and what lies between them."""
    budget = _STEM_SHARE * products_of(graph)
    reached = {id(tensor) for tensor in graph.inputs}
    widths: dict[int, Width] = {}
    layers = 0
    for operator in graph.operators:
        if not any(tensor is not None and id(tensor) in reached for tensor in operator.inputs):
            continue
        budget -= products(operator)
        layers += has_weights(operator)
        if budget < 0 or layers > _STEM_LAYERS:
            break
        widths[id(operator)] = Width.FLOAT
        reached |= {id(tensor) for tensor in operator.outputs}
    return widths


def _heads(graph: Graph, rules: RuntimeRules) -> dict[int, Width]:
    """The last layer with weights before each output, and what lies behind it."""
    producers = graph.producers()
    widths: dict[int, Width] = {}
    for output in graph.outputs:
        waiting = [(output, 0)]
        while waiting:
            tensor, distance = waiting.pop()
            operator = producers.get(id(tensor))
            if operator is None or distance > _HEAD_REACH:
                continue
            widths[id(operator)] = spared(operator, rules)
            if not has_weights(operator):
                waiting += [(t, distance + 1) for t in operator.inputs if t is not None]
    return widths


def _sums(graph: Graph, rules: RuntimeRules) -> dict[int, Width]:
    """Sums of two activations, with the layers that feed them and what only moves values between."""
    producers = graph.producers()
    widths: dict[int, Width] = {}
    for operator in _residual_sums(graph):
        widths[id(operator)] = Width.FLOAT
        for tensor in operator.inputs:
            moved: dict[int, Width] = {}
            feeding = producers.get(id(tensor))
            while feeding is not None and feeding.kind in SAME_SCALE:
                moved[id(feeding)] = Width.FLOAT
                feeding = producers.get(id(data_input(feeding)))
            if feeding is not None and spared(feeding, rules) is Width.HYBRID:
                widths |= {**moved, id(feeding): Width.HYBRID}
    return widths


def light_in_float(graph: Graph) -> dict[int, Width]:
    """All operators that multiply with no weights: they cost little anywhere, and each rounds once more."""
    return {id(operator): Width.FLOAT for operator in graph.operators if not has_weights(operator)}


def _vectors(graph: Graph, rules: RuntimeRules) -> dict[int, Width]:
    """Layers that make one vector of channels of another, as squeeze-and-excite blocks and classifiers do."""
    widths: dict[int, Width] = {}
    for operator in graph.operators:
        if has_weights(operator) and _is_vector(operator.output) and _is_vector(data_input(operator)):
            widths[id(operator)] = spared(operator, rules)
        elif operator.kind in FREE | SAME_SCALE and operator.kind != "MEAN" and _is_vector(operator.output):
            widths[id(operator)] = Width.FLOAT
    return widths


def _is_vector(tensor: Tensor) -> bool:
    return all(dim == 1 for dim in tensor.shape[:-1])


def _between_floats(graph: Graph, rules: RuntimeRules) -> dict[int, Width]:
    """Layers that read what float32 operators write and are read by float32 operators: rounding both ways is spared."""
    plain = sensible_widths(graph, Width.INT8, rules)
    producers, consumers = graph.producers(), graph.consumers()
    widths: dict[int, Width] = {}
    for operator in graph.operators:
        if plain[id(operator)] is not Width.INT8 or spared(operator, rules) is not Width.HYBRID:
            continue
        moved: dict[int, Width] = {}
        before = producers.get(id(data_input(operator)))
        while before is not None and before.kind in SAME_SCALE:
            moved[id(before)] = Width.FLOAT
            before = producers.get(id(data_input(before)))
        behind = list(_readers_behind(operator.output, consumers, moved))
        if (before is None or plain[id(before)] is Width.FLOAT) and all(
            plain[id(reader)] is Width.FLOAT for reader in behind
        ):
            widths |= {**moved, id(operator): Width.HYBRID}
    return widths


def _readers_behind(
    tensor: Tensor, consumers: dict[int, list[Operator]], moved: dict[int, Width]
) -> Iterator[Operator]:
    """What reads a tensor behind operators that only move values; those are noted as float32."""
    for reader in consumers.get(id(tensor), []):
        if reader.kind in SAME_SCALE:
            moved[id(reader)] = Width.FLOAT
            for output in reader.outputs:
                yield from _readers_behind(output, consumers, moved)
        else:
            yield reader


def _residual_sums(graph: Graph) -> Iterator[Operator]:
    for operator in graph.operators:
        if operator.kind != "ADD":
            continue
        first, second = operator.inputs[:2]
        if first is not None and second is not None and not first.is_constant and first.shape == second.shape:
            yield operator
