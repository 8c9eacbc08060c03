"""One quantization for every activation of a static int8 graph.

Tensors that an operator forces to one scale form a group with one range; a concatenation takes an input into
its group where that costs the input little, and otherwise requantizes it.
"""

from edgewise.tensors import Quantization
from edgewise_converters.quantize.calibrate import Calibration
from edgewise_converters.quantize.ranges import RangeChooser, quantization_of
from edgewise_converters.quantize.rules import CONCATENATION, FIXED, SAME_SCALE, data_input
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_WORTH_SHARING = 0.5
"""A concatenation's input with at least this part of its range shares its scale: at most one bit is lost."""


class Scales:
    """Quantization of activations, by tensor."""

    def __init__(
        self,
        graph: Graph,
        calibration: Calibration,
        choose: RangeChooser,
        in_int8: frozenset[int],
        fixed: dict[int, Quantization],
    ) -> None:
        self._parent: dict[int, int] = {}
        self._ranges = {key: choose(s) for key, s in calibration.by_tensor.items()}
        self._fixed = dict(fixed)
        self._graph = graph
        for operator in graph.operators:
            if id(operator) in in_int8:
                self._relate(operator)
        readers = graph.consumers()
        for operator in graph.operators:
            if id(operator) in in_int8 and operator.kind == CONCATENATION:
                self._join(operator, readers)

    def of(self, tensor: Tensor) -> Quantization:
        """The quantization of an activation."""
        root = self._root(id(tensor))
        if root in self._fixed:
            return self._fixed[root]
        return quantization_of(*self._ranges[root])

    def _root(self, key: int) -> int:
        while self._parent.get(key, key) != key:
            key = self._parent[key]
        return key

    def _relate(self, operator: Operator) -> None:
        if operator.kind in FIXED:
            scale, zero_point = FIXED[operator.kind]
            self._fixed[id(operator.output)] = Quantization((scale,), (zero_point,))
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
