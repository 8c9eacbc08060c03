"""Which nodes compute in int8, which values are integers between them, and which of these share a scale."""

from collections.abc import Set
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewise_converters.onnx_out.dense import Dense
from edgewise_converters.onnx_out.weighted import weighted_of
from edgewise_converters.passes.graph_edit import constant, only_user, scalar

MOVES = frozenset({
    "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split", "DepthToSpace",
    "SpaceToDepth", "Expand", "Tile",
})  # fmt: skip
"""These move values: integers stay the same integers."""
CHOOSES = frozenset({"MaxPool", "Resize"})
"""These choose among values (Resize only where it takes the nearest)."""
_KERNELS = frozenset({"Add", "Mul", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Concat"})
"""What else onnxruntime has int8 kernels for, and loses little in them; a dense layer's and a Conv's come on top."""
_COMPARES = frozenset({"Add", "Mul", "Concat"})


@dataclass
class Roles:
    """By name of values: what a static int8 model does with them."""

    integer: set[str] = field(default_factory=set)
    """First outputs of nodes that compute in int8."""
    rounded: set[str] = field(default_factory=set)
    """Values that are integers between two nodes."""
    made_rounded: set[str] = field(default_factory=set)
    """Those of ``rounded`` that come out of an int8 kernel: everybody reads the integers."""
    followed: dict[str, ir.Value] = field(default_factory=dict)
    """What a node makes before its Relu or Clip, to what that makes."""
    shares: dict[str, str] = field(default_factory=dict)
    """Value to the one whose scale it has."""


def roles_of(graph: ir.Graph, spared: Set[str] = frozenset()) -> Roles:
    """Decide for every node of a prepared graph; those whose first output is ``spared`` stay float."""
    return _Decision(graph, spared).run()


class _Decision:
    def __init__(self, graph: ir.Graph, spared: Set[str]) -> None:
        self.graph, self.roles, self.spared = graph, Roles(), spared
        layers = {id(node): weighted_of(node) for node in graph if node.outputs[0].name not in spared}
        self.weighted = {key: layer for key, layer in layers.items() if layer is not None}

    def run(self) -> Roles:
        """Layers with weights first, then what lies between them, in order."""
        for node in self.graph:
            if id(node) in self.weighted:
                self._weighted(node)
            elif self._runs_in_int8(node):
                self._integer(node)
        return self.roles

    def _weighted(self, node: ir.Node) -> None:
        layer = self.weighted[id(node)]
        self.roles.integer.add(str(node.outputs[0].name))
        self.roles.rounded.add(str(layer.data.name))
        # A dense layer's sums leave its kernel as they are, in float32: one rounding less.
        if not isinstance(layer, Dense):
            self._makes_rounded(node)

    def _integer(self, node: ir.Node) -> None:
        self.roles.integer.add(str(node.outputs[0].name))
        data = [value for value in _data(node) if constant(value) is None]
        self.roles.rounded.update(str(value.name) for value in data)
        if node.op_type in MOVES or node.op_type in CHOOSES:
            for output in node.outputs:
                self._made(output)
                self.roles.shares[str(output.name)] = str(data[0].name)
        else:
            self._makes_rounded(node)

    def _makes_rounded(self, node: ir.Node) -> None:
        output = node.outputs[0]
        user = only_user(output)
        if user is not None and limits_of(user) is not None and user.inputs[0] is output:
            self.roles.followed[str(output.name)] = user.outputs[0]
            self.roles.integer.add(str(user.outputs[0].name))
            output = user.outputs[0]
        self._made(output)

    def _made(self, value: ir.Value) -> None:
        self.roles.rounded.add(str(value.name))
        self.roles.made_rounded.add(str(value.name))

    def _runs_in_int8(self, node: ir.Node) -> bool:
        if (
            node.domain not in ("", "ai.onnx")
            or str(node.outputs[0].name) in self.roles.integer | self.spared
        ):
            return False
        data = [value for value in _data(node) if constant(value) is None]
        if not data or any(value.dtype != ir.DataType.FLOAT or value.shape is None for value in data):
            return False
        if node.op_type in MOVES:
            return self._available(data[0]) and self._leads_to_kernel(node)
        if node.op_type == "MaxPool":
            return self._available(data[0]) and len(node.outputs) == 1
        if node.op_type == "Resize":
            return self._available(data[0]) and _takes_nearest(node)
        if node.op_type not in _KERNELS or (node.op_type in _COMPARES and _is_gate(node.outputs[0])):
            return False
        if node.op_type == "Mul" and len(data) == 2:
            # The gate of a squeeze-and-excite block may be made in float; the map it scales may not.
            return any(map(self._available, data)) and all(self._available(v) or _is_gate(v) for v in data)
        return all(map(self._available, data)) and self._constants_fit(node)

    def _available(self, value: ir.Value) -> bool:
        """Whether a value is an integer already, or has to become one for a convolution."""
        if str(value.name) in self.roles.rounded:
            return True
        users = [self.weighted.get(id(user)) for user, index in value.uses() if index == 0]
        return any(layer is not None and not isinstance(layer, Dense) for layer in users)

    def _leads_to_kernel(self, node: ir.Node) -> bool:
        for output in node.outputs:
            for user, _ in output.uses():
                if id(user) in self.weighted or user.op_type in _KERNELS or user.op_type in CHOOSES:
                    return True
                if user.op_type in MOVES and self._leads_to_kernel(user):
                    return True
        return False

    @staticmethod
    def _constants_fit(node: ir.Node) -> bool:
        arrays = [array for value in _data(node) if (array := constant(value)) is not None]
        return all(array.dtype == np.float32 and array.size for array in arrays)


def _data(node: ir.Node) -> list[ir.Value]:
    """What a node computes on, without its axes, shapes and the like."""
    count = len(node.inputs) if node.op_type in _COMPARES else 1
    return [value for value in list(node.inputs)[:count] if value is not None]


def _takes_nearest(node: ir.Node) -> bool:
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "nearest"
    return mode == "nearest"


def _is_gate(value: ir.Value) -> bool:
    """One vector of channels: no space, or space of one by one."""
    dims = list(value.shape or ())
    return all(dim == 1 for dim in dims[2:]) and (len(dims) > 2 or dims[:1] == [1])


def limits_of(node: ir.Node) -> tuple[float, float] | None:
    """The smallest and largest value that a Relu or a Clip with constant limits lets through, else None."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return None
    low, high = ([*node.inputs, None, None][i] for i in (1, 2))
    if any(end is not None and scalar(end) is None for end in (low, high)):
        return None
    lowest, highest = scalar(low), scalar(high)
    return -np.inf if lowest is None else lowest, np.inf if highest is None else highest
