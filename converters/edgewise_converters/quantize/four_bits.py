"""4-bit weights in dense layers, pointwise convolutions and tables; all other weights as dynamic int8 has them."""

from collections.abc import Mapping

import numpy as np

from edgewise_converters.quantize.dynamic_int8 import dynamic_twins
from edgewise_converters.quantize.embedding import looked_up
from edgewise_converters.quantize.narrow_weights import Grid, WeightStore
from edgewise_converters.quantize.stored_int8 import StoredInt8, with_weights
from edgewise_converters.quantize.weight_slots import WeightSlot, weight_slot
from edgewise_converters.tflite.graph import BlockScales, Graph, Operator, Tensor
from edgewise_converters.tflite.runtimes import RuntimeRules

BLOCK = 32
"""Inputs that share a scale: the least that LiteRT has fast kernels for (16 is over 40 times slower)."""
PER_CHANNEL, PER_BLOCK, EIGHT_BITS = Grid(bits=4), Grid(bits=4, block=BLOCK), Grid()
_DENSE, _CONVOLUTION, _TABLE = "FULLY_CONNECTED", "CONV_2D", "GATHER"


def quantize_four_bits(
    graph: Graph, store: WeightStore, rules: RuntimeRules, grids: Mapping[int, Grid]
) -> Graph:
    """The twin of a float graph; ``grids`` says by id of operator which weights take 4 bits, and how.

    A pointwise convolution becomes a dense layer over its channels: 4-bit convolutions are 2.5 times slower than
    float32 ones in LiteRT, 4-bit dense layers faster. ``graph`` is left as it is.
    """
    stored = StoredInt8(store, narrow_tables=rules.narrow_tables)
    operators: list[Operator] = []
    for operator in graph.operators:
        grid, slot = grids.get(id(operator), EIGHT_BITS), weight_slot(operator)
        if slot is None or grid.bits == EIGHT_BITS.bits:
            operators += dynamic_twins(operator, store, rules, stored)
        else:
            operators += _in_four_bits(operator, slot, store, grid)
    return Graph(graph.name, graph.inputs, graph.outputs, operators)


def possible_grids(operator: Operator, *, convolutions: bool = False) -> tuple[Grid, ...]:
    """4-bit grids that an operator's weights can have, the smallest first; none where 8 bits are the least.

    ``convolutions`` says whether those that are not pointwise may have one, which makes them slower than float32.
    """
    slot = weight_slot(operator)
    if slot is None:
        return ()
    if operator.kind == _TABLE:
        return (PER_CHANNEL,) if looked_up(operator, slot.tensor) else ()
    data = operator.inputs[0]
    if data is None or not data.is_float:
        return ()
    if operator.kind != _DENSE and not _is_pointwise(operator, slot):
        plain = operator.kind == _CONVOLUTION and slot.tensor.shape[-1] == data.shape[-1]
        return (PER_CHANNEL,) if plain and convolutions else ()
    return (PER_CHANNEL, PER_BLOCK) if slot.tensor.shape[-1] % BLOCK == 0 else (PER_CHANNEL,)


def _is_pointwise(operator: Operator, slot: WeightSlot) -> bool:
    """Whether a convolution looks at every pixel alone, and at all its channels."""
    data = operator.inputs[0]
    strides = (operator.options.get("strideH", 1), operator.options.get("strideW", 1))
    return (
        operator.kind == _CONVOLUTION
        and data is not None
        and slot.tensor.shape[1:] == (1, 1, data.shape[-1])
        and strides == (1, 1)
    )


def _in_four_bits(operator: Operator, slot: WeightSlot, store: WeightStore, grid: Grid) -> list[Operator]:
    narrow = store.of(operator, slot, grid)
    if operator.kind == _TABLE:
        return looked_up(operator, narrow.tensor)
    if operator.kind == _CONVOLUTION and not _is_pointwise(operator, slot):
        return [with_weights(operator, slot, narrow.tensor, narrow)]
    weights = narrow.tensor if operator.kind == _DENSE else _as_matrix(narrow.tensor)
    twin = with_weights(operator, slot, weights, narrow)
    if operator.kind == _CONVOLUTION:
        activation = operator.options.get("fusedActivationFunction", 0)
        twin.options = {"fusedActivationFunction": activation, "keepNumDims": True}
        twin.kind = _DENSE
    twin.options["asymmetricQuantizeInputs"] = True
    return [twin]


def _as_matrix(weights: Tensor) -> Tensor:
    """[outputs, 1, 1, inputs] as [outputs, inputs]."""
    assert weights.data is not None
    data = weights.data.reshape(weights.shape[0], -1)
    blocks = weights.blocks and BlockScales(weights.blocks.scales, weights.blocks.size)
    return Tensor(weights.name, data.shape, weights.dtype, np.asarray(data), weights.quantization, blocks)
