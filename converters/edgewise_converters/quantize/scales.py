"""One quantization for every activation of a graph that computes in integers.

Tensors that an operator forces to one scale form a group with one range; a concatenation takes an input into
its group where that costs the input little, and otherwise requantizes it.
"""

from collections.abc import Mapping

from edgewise.tensors import Quantization
from edgewise_converters.quantize.ranges import quantization_of
from edgewise_converters.quantize.rules import CONCATENATION, FIXED, SAME_SCALE, data_input
from edgewise_converters.quantize.widths import Width
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

Ranges = Mapping[int, tuple[float, float]]
"""By id of tensor: smallest and largest value that is to be represented."""
_WORTH_SHARING = 0.5
"""A concatenation's input with at least this part of its range shares its scale: at most one bit is lost."""


class Scales:
    """Quantization of the activations that one width of operators reads and writes."""

    def __init__(
        self,
        graph: Graph,
        ranges: Ranges,
        width: Width,
        operators: frozenset[int],
        fixed: dict[int, Quantization],
        *,
        symmetric: bool = False,
    ) -> None:
        self._parent: dict[int, int] = {}
        self._ranges = dict(ranges)
        self._fixed = dict(fixed)
        self._width, self._symmetric = width, symmetric
        chosen = [operator for operator in graph.operators if id(operator) in operators]
        for operator in chosen:
            self._relate(operator)
        readers = graph.consumers()
        for operator in chosen:
            if operator.kind == CONCATENATION:
                self._join(operator, readers)

    def of(self, tensor: Tensor) -> Quantization:
        """The quantization of an activation."""
        root = self._root(id(tensor))
        if root in self._fixed:
            return self._fixed[root]
        return quantization_of(*self._ranges[root], dtype=self._width.dtype, symmetric=self._symmetric)

    def _root(self, key: int) -> int:
        while self._parent.get(key, key) != key:
            key = self._parent[key]
        return key

    def _relate(self, operator: Operator) -> None:
        fixed = FIXED[self._width].get(operator.kind)
        if fixed is not None:
            self._fixed[id(operator.output)] = Quantization((fixed[0],), (fixed[1],))
        elif operator.kind in SAME_SCALE:
            root = self._root(id(data_input(operator)))
            for output in operator.outputs:
                # What comes out was in the input, or is zero; the fill of a PADV2 need not be representable.
                self._parent[id(output)] = root

    def _join(self, operator: Operator, readers: dict[int, list[Operator]]) -> None:
        output = self._root(id(operator.output))
        low, high = self._ranges[output]
        for tensor in operator.inputs:
            assert tensor is not None
            if tensor.is_constant:
                continue
            root = self._root(id(tensor))
            if root == output or root in self._fixed:
                continue
            own_low, own_high = self._ranges[root]
            alone = root == id(tensor) and len(readers[id(tensor)]) == 1
            if alone or own_high - own_low >= _WORTH_SHARING * (high - low):
                low, high = min(low, own_low), max(high, own_high)
                self._parent[root] = output
        self._ranges[output] = (low, high)
