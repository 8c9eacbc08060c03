"""Parts of a model that lose much in int8 and cost little in float: candidates, each to be measured."""

from dataclasses import dataclass

import onnx_ir as ir

from edgewise_converters.onnx_out.costs import products_of
from edgewise_converters.onnx_out.roles import Roles
from edgewise_converters.onnx_out.weighted import weighted_of

_SQUASHES = frozenset({"Softmax", "Sigmoid", "Exp"})
_LITTLE = 0.1
"""Of all products: more than this is no rescue."""


@dataclass(frozen=True)
class Rescue:
    """One part."""

    spared: frozenset[str]
    """First outputs of its nodes."""
    comes_first: bool = False
    """Whether it decides so much that ranges are chosen after it."""


def rescues(graph: ir.Graph, roles: Roles) -> list[Rescue]:
    """What may stay float: a front end behind which a logarithm is taken, residual sums, first and last layers."""
    layers = [node for node in graph if weighted_of(node) is not None]
    total = sum(products_of(node) for node in layers)
    costs = {str(node.outputs[0].name): products_of(node) for node in layers}
    sums = {str(n.outputs[0].name) for n in graph if n.op_type == "Add"} & roles.integer
    front = _reached_back([node.inputs[0] for node in graph if node.op_type == "Log"], _SQUASHES, beyond=True)
    last = _reached_back(list(graph.outputs), frozenset(), beyond=False)
    first = {str(layers[0].outputs[0].name)} if layers else set()
    found = [Rescue(frozenset(front), comes_first=True)]
    found += [Rescue(frozenset(part)) for part in (sums, first, last)]
    cheap = [
        r for r in found if sum(costs.get(name, 0) for name in r.spared) <= _LITTLE * total or r.comes_first
    ]
    return [rescue for rescue in cheap if rescue.spared]


def _reached_back(values: list[ir.Value | None], stops: frozenset[str], *, beyond: bool) -> set[str]:
    """First outputs of the layers with weights that these values come from; of those ``beyond`` such layers, too.

    Before a logarithm that is where a spectrogram begins (filters, squares and sums): what is small there is large
    behind the logarithm, and int8 has no steps for it. A softmax or sigmoid on the way is no spectrogram.
    """
    found: set[str] = set()
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        node = value.producer() if value is not None else None
        if node is None or id(node) in seen or node.op_type in stops:
            continue
        seen.add(id(node))
        if weighted_of(node) is not None:
            found.add(str(node.outputs[0].name))
            waiting.extend([node.inputs[0]] if beyond else [])
        else:
            waiting.extend(node.inputs)
    return found
