"""Single layers whose weights are stored in one way or another."""

from collections.abc import Callable

import numpy as np

from edgewise_converters.quantize.four_bits import PER_BLOCK, PER_CHANNEL, quantize_four_bits
from edgewise_converters.quantize.narrow_weights import Grid, WeightStore
from edgewise_converters.quantize.stored_int8 import store_int8, with_weights
from edgewise_converters.quantize.weight_slots import weight_slot
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.runtimes import RULES
from edgewise_converters.tflite.schema import Padding
from edgewise_converters.tflite.writer import serialize

FLOAT = np.dtype(np.float32)
_CONVOLUTION = {"padding": Padding.SAME, "strideH": 1, "strideW": 1}
LAYERS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, int]]] = {
    "CONV_2D 3x3, 64 to 64, 28x28": ("CONV_2D", (1, 28, 28, 64), (64, 3, 3, 64), (1, 28, 28, 64), _CONVOLUTION),
    "CONV_2D 1x1, 128 to 128, 28x28": ("CONV_2D", (1, 28, 28, 128), (128, 1, 1, 128), (1, 28, 28, 128), _CONVOLUTION),
    "DEPTHWISE_CONV_2D 3x3, 256, 28x28": (
        "DEPTHWISE_CONV_2D", (1, 28, 28, 256), (1, 3, 3, 256), (1, 28, 28, 256), {**_CONVOLUTION, "depthMultiplier": 1},
    ),
    "FULLY_CONNECTED 1024 to 1024, 1 row": ("FULLY_CONNECTED", (1, 1024), (1024, 1024), (1, 1024), {}),
    "FULLY_CONNECTED 512 to 512, 64 rows": ("FULLY_CONNECTED", (64, 512), (512, 512), (64, 512), {}),
    "BATCH_MATMUL 4 x 64 to 96, 32 rows": ("BATCH_MATMUL", (4, 32, 64), (4, 64, 96), (4, 32, 96), {}),
    "TRANSPOSE_CONV 3x3, 64 to 32, 16x16": (
        "TRANSPOSE_CONV", (1, 16, 16, 64), (32, 3, 3, 64), (1, 32, 32, 32),
        {"padding": Padding.SAME, "strideH": 2, "strideW": 2},
    ),
}  # fmt: skip
"""Kind, shapes of input, weights and output, options."""


def _graph(name: str) -> Graph:
    kind, data_shape, weights_shape, output_shape, options = LAYERS[name]
    rng = np.random.default_rng(1)
    data, output = Tensor("x", data_shape, FLOAT), Tensor("y", output_shape, FLOAT)
    weights = Tensor.constant("w", (rng.standard_normal(weights_shape) / 30).astype(np.float32))
    inputs: list[Tensor | None] = [data, weights]
    if kind == "TRANSPOSE_CONV":
        inputs = [Tensor.constant("shape", np.array(output_shape, np.int32)), weights, data]
    elif kind != "BATCH_MATMUL":
        inputs.append(Tensor.constant("b", np.zeros(output_shape[-1], np.float32)))
    return Graph(name, [data], [output], [Operator(kind, inputs, [output], dict(options))])


def _mixed(graph: Graph, grid: Grid) -> Graph:
    """int8 weights straight into the float operator, whether or not that is wise."""
    (operator,) = graph.operators
    slot = weight_slot(operator)
    assert slot is not None
    narrow = WeightStore().of(operator, slot, grid)
    return Graph(
        graph.name, graph.inputs, graph.outputs, [with_weights(operator, slot, narrow.tensor, narrow)]
    )


def _four_bits(graph: Graph, grid: Grid) -> Graph:
    grids = {id(operator): grid for operator in graph.operators}
    return quantize_four_bits(graph, WeightStore(), RULES["litert"], grids)


WAYS: dict[str, Callable[[Graph], Graph]] = {
    "float32": lambda graph: graph,
    "restored int8": lambda graph: store_int8(graph, WeightStore(), narrow_tables=True),
    "mixed, per channel": lambda graph: _mixed(graph, Grid()),
    "mixed, per tensor": lambda graph: _mixed(graph, Grid(per_channel=False)),
    "4 bits, per channel": lambda graph: _four_bits(graph, PER_CHANNEL),
    "4 bits, blocks of 32": lambda graph: _four_bits(graph, PER_BLOCK),
}


def layer_network(name: str, way: str, runtime: str) -> bytes | None:
    """The file of one layer; None where the runtime has no such kernel, or it would be the wrong one."""
    kind = LAYERS[name][0]
    four, old = way.startswith("4 bits"), runtime == "tflite-runtime"
    if four and (old or kind not in ("CONV_2D", "FULLY_CONNECTED") or "3x3" in name):
        return None
    if way.startswith("mixed") and old and kind in ("TRANSPOSE_CONV",):
        return None
    if way == "mixed, per channel" and old and kind in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        return None
    if way == "mixed, per tensor" and kind == "DEPTHWISE_CONV_2D":
        return None
    return serialize(WAYS[way](_graph(name)), description="layer", metadata={})
