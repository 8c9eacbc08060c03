"""Weight-only int8: weights are stored as int8, restored when the model is loaded, and computed with in float32."""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.embedding import looked_up
from edgewise_converters.quantize.narrow_weights import Grid, NarrowWeights, WeightStore
from edgewise_converters.quantize.weight_slots import WeightSlot, weight_slot
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_INT8 = Grid()
_BIASED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_BIAS_INPUT = 2


def store_int8(graph: Graph, store: WeightStore, *, narrow_tables: bool) -> Graph:
    """The twin of a float graph whose weights are int8 behind a DEQUANTIZE; ``graph`` is left as it is.

    Both runtimes compute that DEQUANTIZE once, when the model is loaded, since its input is constant.
    ``narrow_tables`` says that the runtime looks up rows of an int8 table, which is then never restored.
    """
    stored = StoredInt8(store, narrow_tables=narrow_tables)

    def inside(body: Graph) -> Graph:
        return store_int8(body, store, narrow_tables=narrow_tables)

    operators = [twin for operator in graph.operators for twin in stored.of(operator.with_graphs(inside))]
    return Graph(graph.name, graph.inputs, graph.outputs, operators)


class StoredInt8:
    """Rewrites operators one by one; a tensor that several read is restored once."""

    def __init__(self, store: WeightStore, *, narrow_tables: bool) -> None:
        self._store, self._narrow_tables = store, narrow_tables
        self._restored: dict[int, Tensor] = {}

    def of(self, operator: Operator) -> list[Operator]:
        """The operators that stand for one; itself where it has no weights to store."""
        slot = weight_slot(operator)
        if slot is None:
            return [operator]
        narrow = self._store.of(operator, slot, _INT8)
        if self._narrow_tables:
            rows = looked_up(operator, narrow.tensor)
            if rows:
                return rows
        known = self._restored.get(id(narrow.tensor))
        restored = known or Tensor(slot.tensor.name, slot.tensor.shape, slot.tensor.dtype)
        self._restored[id(narrow.tensor)] = restored
        twin = with_weights(operator, slot, restored, narrow)
        return [twin] if known else [Operator("DEQUANTIZE", [narrow.tensor], [restored]), twin]


def with_weights(operator: Operator, slot: WeightSlot, weights: Tensor, narrow: NarrowWeights) -> Operator:
    """The operator with other weights, and with what their rounding adds on average taken from its bias."""
    inputs = list(operator.inputs)
    inputs[slot.index] = weights
    bias = operator.inputs[_BIAS_INPUT] if len(operator.inputs) > _BIAS_INPUT else None
    if narrow.shift is not None and operator.kind in _BIASED and (bias is None or bias.is_constant):
        inputs[_BIAS_INPUT:] = [_corrected(bias, narrow.shift, operator.output.name)]
    return Operator(operator.kind, inputs, operator.outputs, dict(operator.options))


def _corrected(bias: Tensor | None, shift: Array, name: str) -> Tensor:
    before = np.zeros(shift.shape) if bias is None or bias.data is None else np.asarray(bias.data, np.float64)
    return Tensor.constant(f"{name}/bias", (before - shift).astype(np.float32))
