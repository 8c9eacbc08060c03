"""Dynamic-range int8: weights are stored as int8, activations are quantized when the model runs."""

from edgewise_converters.quantize.narrow_weights import Grid, WeightStore
from edgewise_converters.quantize.stored_int8 import StoredInt8, with_weights
from edgewise_converters.quantize.weight_slots import weight_slot
from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.runtimes import RuntimeRules

_DATA_INPUT = {"TRANSPOSE_CONV": 2}
_DENSE = "FULLY_CONNECTED"


def quantize_dynamic(graph: Graph, store: WeightStore, rules: RuntimeRules) -> Graph:
    """The twin of a float graph with int8 weights; ``graph`` is left as it is.

    Convolutions and dense layers compute with int8 weights and inputs rounded as they run. Depthwise weights,
    constant matrices and whatever else ``rules`` leaves out are restored to float32 when the model is loaded:
    kernels that mix them with float inputs are slower than float32, or wrong.
    """
    stored = StoredInt8(store, narrow_tables=rules.narrow_tables)

    def inside(body: Graph) -> Graph:
        return quantize_dynamic(body, store, rules)

    operators = [
        twin
        for operator in graph.operators
        for twin in dynamic_twins(operator.with_graphs(inside), store, rules, stored)
    ]
    return Graph(graph.name, graph.inputs, graph.outputs, operators)


def dynamic_twins(
    operator: Operator, store: WeightStore, rules: RuntimeRules, stored: StoredInt8
) -> list[Operator]:
    slot = weight_slot(operator)
    per_channel = operator.kind in rules.mixed_per_channel
    if slot is None or not (per_channel or operator.kind in rules.mixed_per_tensor):
        return stored.of(operator)
    data = operator.inputs[_DATA_INPUT.get(operator.kind, 0)]
    if data is None or not data.is_float:
        return [operator]
    narrow = store.of(operator, slot, Grid(per_channel=per_channel))
    twin = with_weights(operator, slot, narrow.tensor, narrow)
    if operator.kind == _DENSE:
        twin.options["asymmetricQuantizeInputs"] = True
    return [twin]
