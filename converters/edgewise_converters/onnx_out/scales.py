"""Scale and zero point of every value that is rounded; values that are only moved share theirs."""

from collections.abc import Mapping

import onnx_ir as ir

from edgewise.tensors import Quantization
from edgewise_converters.onnx_out.roles import Roles
from edgewise_converters.passes.graph_edit import constant
from edgewise_converters.quantize.ranges import quantization_of

_WORTH_SHARING = 0.5
"""A concatenation's input with at least this part of its range shares its scale: at most one bit is lost."""


def scales_of(
    graph: ir.Graph,
    roles: Roles,
    ranges: Mapping[str, tuple[float, float]],
    fixed: Mapping[str, Quantization],
) -> dict[str, Quantization]:
    """By name of value, for chosen ``ranges``; ``fixed`` are inputs whose quantization is known beforehand."""
    parents, ranges = dict(roles.shares), dict(ranges)

    def root(name: str) -> str:
        while parents.get(name, name) != name:
            name = parents[name]
        return name

    for node in graph:
        name = str(node.outputs[0].name)
        if node.op_type != "Concat" or name not in roles.integer:
            continue
        # Behind it there may be a Relu, whose output is what gets rounded.
        name = str(roles.followed[name].name) if name in roles.followed else name
        low, high = ranges[root(name)]
        for value in node.inputs:
            own = root(str(value.name)) if value is not None and constant(value) is None else root(name)
            if own == root(name) or own in fixed:
                continue
            own_low, own_high = ranges[own]
            alone = value is not None and own == value.name and len(value.uses()) == 1
            if alone or own_high - own_low >= _WORTH_SHARING * (high - low):
                low, high = min(low, own_low), max(high, own_high)
                parents[own] = root(name)
        ranges[root(name)] = (low, high)
    return {
        name: fixed[root(name)] if root(name) in fixed else quantization_of(*ranges[root(name)])
        for name in roles.rounded
    }
