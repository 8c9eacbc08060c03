"""4-bit dense layers: onnxruntime's MatMulNBits, blocks of 32 inputs with a scale each, int8 inside the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_out.dense import Dense, dense_of
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.stored import store_int8
from edgewise_converters.onnx_out.stored_layers import store_layers
from edgewise_converters.passes import clean
from edgewise_converters.passes.graph_edit import add_constant
from edgewise_converters.quantize.gptq import round_in_blocks
from edgewise_converters.quantize.moments import Moments
from edgewise_converters.quantize.weight_grids import least_error_scales

BLOCK = 32
_BITS = 4
_LARGEST = 7
_MIDDLE = 8
"""What stands for zero: MatMulNBits stores 0 to 15 and takes 8 from it (onnxruntime, docs/ContribOperators.md)."""
_ACCURACY = 4
"""Computes with int8; without it the kernel is 19 to 35 times slower than float32 (measured)."""
_MOST_JOINT = 2560
"""Inputs of a layer: with more, rounding them jointly costs too much (it grows with the cube)."""
_DOMAIN = "com.microsoft"


@dataclass(frozen=True)
class Int4Model:
    """The twin, and how much of the model it is."""

    model: ir.Model
    rewritten: int
    weights: int


def quantize_int4(model: ir.Model, moments: Mapping[str, Moments], *, correct_bias: bool = True) -> Int4Model:
    """The twin whose dense layers have 4-bit weights, all others int8 ones that are restored on loading.

    ``moments`` (by name of output) of what each layer multiplies let its weights be rounded jointly; without them they
    are rounded one by one. Raises ConversionError for a model without any dense layer: nothing of it would change.
    """
    twin = model.clone()
    count = weights = 0
    for node in list(twin.graph):
        dense = dense_of(node)
        if dense is None or dense.weights.shape[0] < BLOCK:
            continue
        _rewrite(twin.graph, dense, moments.get(str(node.outputs[0].name)), correct_bias)
        count, weights = count + 1, weights + dense.weights.size
    if not count:
        raise ConversionError(
            f"--precision int4: the model has no dense layer (MatMul or Gemm with constant weights) of {BLOCK} inputs "
            "or more, expected at least one; --precision int8 suits convolutions"
        )
    twin.graph.opset_imports.setdefault(_DOMAIN, 1)
    clean.apply(twin)
    if moments:
        store_layers(twin.graph, LayerRounding(moments))
    store_int8(twin.graph)
    return Int4Model(twin, count, weights)


def _rewrite(graph: ir.Graph, dense: Dense, moments: Moments | None, correct_bias: bool) -> None:
    node, name = dense.node, str(dense.node.outputs[0].name)
    inputs, outputs = dense.weights.shape
    steps, scales = _rounded(dense.weights.T, moments)
    bias = np.zeros(outputs) if dense.bias is None else dense.bias.astype(np.float64)
    if moments is not None and correct_bias:
        grid = np.repeat(scales, BLOCK, axis=1)[:, :inputs]
        bias = bias - (steps[:, :inputs] * grid - dense.weights.T) @ moments.mean[0]
    packed = add_constant(graph, f"{name}/int4", _packed(steps))
    numbers = add_constant(graph, f"{name}/scales", scales.reshape(-1).astype(np.float32))
    attributes = {"K": inputs, "N": outputs, "bits": _BITS, "block_size": BLOCK, "accuracy_level": _ACCURACY}
    product = ir.Node(
        _DOMAIN,
        "MatMulNBits",
        [dense.data, packed, numbers],
        [ir.AttrInt64(key, number) for key, number in attributes.items()],
        num_outputs=1,
        name=f"{name}/product",
    )
    nodes, result = [product], product.outputs[0]
    result.name = f"{name}/product"
    if bias.any():
        shift = add_constant(graph, f"{name}/bias", bias.astype(np.float32))
        nodes.append(ir.Node("", "Add", [result, shift], num_outputs=1, name=name))
        result = nodes[-1].outputs[0]
    old = node.outputs[0]
    result.shape, result.type = old.shape, old.type
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [old], [result])


def _rounded(weights: Array, moments: Moments | None) -> tuple[Array, Array]:
    """Integers of -7 to 7, int8 [N, K padded to whole blocks], and scales, float32 [N, blocks]."""
    outputs, inputs = weights.shape
    blocks = -(-inputs // BLOCK)
    padding = [(0, 0), (0, blocks * BLOCK - inputs)]
    padded = np.pad(weights, padding)
    variance = None
    if moments is not None:
        variance = np.pad(moments.variance[0], padding[1]).reshape(1, blocks, BLOCK)
    scales = least_error_scales(padded.reshape(outputs, blocks, BLOCK), _LARGEST, variance)
    grid = np.repeat(scales, BLOCK, axis=1)[:, :inputs].astype(np.float64)
    if moments is None or inputs > _MOST_JOINT:
        steps = np.clip(np.rint(weights / grid), -_LARGEST, _LARGEST).astype(np.int8)
    else:
        steps = round_in_blocks(weights[np.newaxis], grid[np.newaxis], moments, _LARGEST)[0]
    return np.pad(steps, padding), scales


def _packed(steps: Array) -> Array:
    """uint8 [N, blocks, 16]: two integers a byte, the first in the low half."""
    stored = (steps.astype(np.int16) + _MIDDLE).astype(np.uint8).reshape(len(steps), -1, BLOCK)
    return np.asarray(stored[..., ::2] | (stored[..., 1::2] << 4))
