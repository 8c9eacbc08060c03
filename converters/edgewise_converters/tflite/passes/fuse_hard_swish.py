"""x * relu6(x + 3) / 6 becomes HARD_SWISH (Howard et al. 2019, arXiv:1905.02244, section 5.2).

Needs: constants. Leaves: none of its spelled-out forms in which nobody else reads an inner value. Exact but for
float32 rounding.
"""

import math

from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.passes.graph_edit import Links, drop, is_fused, scalar
from edgewise_converters.tflite.schema import Activation

_SIXTH = 1 / 6
_TOLERANCE = 1e-5


def apply(graph: Graph) -> bool:
    """Fuse every occurrence; returns whether anything was fused."""
    changed = False
    for last in list(graph.operators):
        links = Links.of(graph)
        found = _match(last, links) if last.kind in ("MUL", "DIV") and not is_fused(last) else None
        if found is None:
            continue
        data, inner = found
        last.kind, last.inputs, last.options = "HARD_SWISH", [data], {}
        drop(graph, inner)
        changed = True
    return changed


def _match(last: Operator, links: Links) -> tuple[Tensor, list[Operator]] | None:
    """The x of a hard swish that ends in this operator, and the operators inside."""
    factors, inner = _factors(last, links)
    tensors = [tensor for tensor in factors if not tensor.is_constant]
    gain = math.prod(value for tensor in factors if (value := scalar(tensor)) is not None)
    constants = [tensor for tensor in factors if tensor.is_constant]
    if len(tensors) != 2 or any(scalar(tensor) is None for tensor in constants):
        return None
    divided = 1 / _last_divisor(last, inner)
    if not math.isclose(gain * divided, _SIXTH, rel_tol=_TOLERANCE):
        return None
    for gate, data in (tensors, tensors[::-1]):
        chain = _relu6_of_shifted(gate, data, links)
        if chain is not None:
            return data, inner + chain
    return None


def _factors(last: Operator, links: Links) -> tuple[list[Tensor], list[Operator]]:
    """What is multiplied, through one inner MUL or DIV, without divisors."""
    factors: list[Tensor] = []
    inner: list[Operator] = []
    for position, tensor in enumerate(last.inputs):
        if tensor is None or (last.kind == "DIV" and position == 1):
            continue
        before = links.producer(tensor)
        nested = before is not None and before.kind in ("MUL", "DIV") and not is_fused(before)
        if nested and before is not None and not inner and links.only_reader(tensor) is last:
            inner.append(before)
            used = before.inputs if before.kind == "MUL" else before.inputs[:1]
            factors += [t for t in used if t is not None]
        else:
            factors.append(tensor)
    return factors, inner


def _last_divisor(last: Operator, inner: list[Operator]) -> float:
    """The product of the constants that are divided by; NaN if one is no constant."""
    values = [scalar(operator.inputs[1]) for operator in (last, *inner) if operator.kind == "DIV"]
    return math.prod(math.nan if value is None else value for value in values)


def _relu6_of_shifted(gate: Tensor, data: Tensor, links: Links) -> list[Operator] | None:
    """The operators of relu6(data + 3), if that is what ``gate`` is and nobody else reads it."""
    if links.only_reader(gate) is None:
        return None
    last = links.producer(gate)
    chain = [last] if last is not None and last.kind == "RELU6" else []
    add = links.producer(chain[0].inputs[0]) if chain else last
    if add is None or add.kind != "ADD" or (chain and links.only_reader(add.output) is None):
        return None
    if not chain and add.options.get("fusedActivationFunction") != Activation.RELU6:
        return None
    others = [tensor for tensor in add.inputs if tensor is not data]
    return [*chain, add] if len(others) == 1 and scalar(others[0]) == 3.0 else None
