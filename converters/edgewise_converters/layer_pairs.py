"""Which layer of a written file is which of the original's float graph."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from edgewise_converters.layers import CONVERSIONS, earlier_names
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_PASSING = CONVERSIONS | {"RESHAPE", "PAD", "PADV2", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"}
"""Written differently by every converter, and nothing is lost there."""
_NAMES_DIFFER = 0.5
"""Share of layers without a name of the original, above which names mean nothing."""

Pair = tuple[Tensor, Tensor, Operator | None]


def matched_layers(original: Graph, written: Graph) -> tuple[list[Pair], int]:
    """Activations of the same name and size in both graphs: the float one, the written one, and what writes it.

    Outputs and inputs that have other names match by position; an input that is rounded first is looked at behind
    that. Where hardly any name is the same, layers match by their order, kind and shape. Also returns how many do.
    """
    entries = _paired(original.inputs, written.inputs)
    of_float = {id(tensor): own for own, tensor in _paired(original.outputs, written.outputs)}
    named = {t.name: t for t in original.tensors() if t.is_float and not t.is_constant}
    rounded = {id(o.inputs[0]): o.output for o in written.operators if o.kind == "QUANTIZE"}
    pairs: list[Pair] = [(own, rounded.get(id(tensor), tensor), None) for own, tensor in entries]
    taken = {id(own) for own, _, _ in pairs}
    for operator in written.operators:
        for tensor in operator.outputs:
            is_end = id(tensor) in of_float
            earlier = (named.get(name) for name in earlier_names(tensor.name))
            own = of_float.get(id(tensor)) or next((tensor for tensor in earlier if tensor is not None), None)
            if own is None or (operator.kind in CONVERSIONS and not is_end):
                continue
            fits = _squeezed(own) == _squeezed(tensor) and (tensor.is_float or tensor.quantization)
            if fits and own.is_float and id(own) not in taken:
                taken.add(id(own))
                pairs.append((own, tensor, operator))
    by_order = _by_order(original, written, pairs)
    places = {id(o): place for place, o in enumerate(written.operators)}
    ordered = sorted(pairs + by_order, key=lambda pair: places[id(pair[2])] if pair[2] else -1)
    return ordered, len(by_order)


def _by_order(original: Graph, written: Graph, pairs: list[Pair]) -> list[Pair]:
    """What is left of a file with names of its own: layers of the same kind and shape in the same order."""
    known = {id(tensor) for own, other, _ in pairs for tensor in (own, other)}
    sides = [
        [o for o in graph.operators if o.kind not in _PASSING and id(o.output) not in known]
        for graph in (original, written)
    ]
    if len(sides[1]) < _NAMES_DIFFER * sum(o.kind not in _PASSING for o in written.operators):
        return []
    mine, others = (
        [(o.kind.replace("FULLY_CONNECTED", "CONV_2D"), _squeezed(o.output)) for o in side] for side in sides
    )
    found: list[Pair] = []
    for block in SequenceMatcher(None, mine, others, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            own, other = sides[0][block.a + step], sides[1][block.b + step]
            if own.output.is_float:
                found.append((own.output, other.output, other))
    return found


def _squeezed(tensor: Tensor) -> tuple[int, ...]:
    """A shape without axes of length one, which convolutions in place of dense layers have more of."""
    return tuple(size for size in tensor.shape if size != 1)


def _paired(own: Sequence[Tensor], other: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Tensors of the same name, and the others in their order."""
    names = {tensor.name: tensor for tensor in other}
    pairs = [(tensor, names[tensor.name]) for tensor in own if tensor.name in names]
    known = {tensor.name for tensor, _ in pairs}
    left = [[tensor for tensor in tensors if tensor.name not in known] for tensors in (own, other)]
    return pairs + list(zip(*left, strict=False))
