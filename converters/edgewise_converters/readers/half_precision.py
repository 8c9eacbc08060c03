"""A model that computes in float16 or bfloat16 becomes one that computes in float32.

TFLite's kernels for the CPU have no half-precision products: half precision is how weights are stored, not how they are
computed with. What the original loses by rounding after every operator is not imitated.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

_HALVES = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_PRODUCTS = frozenset({
    "Attention", "BatchNormalization", "Conv", "ConvTranspose", "Einsum", "FusedConv", "FusedMatMul", "GRU", "Gemm",
    "GroupQueryAttention", "LSTM", "LayerNormalization", "MatMul", "MatMulNBits", "MultiHeadAttention", "RNN",
    "SkipLayerNormalization",
})  # fmt: skip
"""Operators that compute with weights. Others in half precision, between Casts, round as the original does."""
_TYPES = frozenset({
    "dtype", "output_datatype", "output_dtype", "qk_matmul_output_dtype", "softmax_precision", "stash_type", "to",
})  # fmt: skip
"""Attributes that name a type."""


def computes_in_half(model: ir.Model) -> bool:
    """Whether any product of the model has an operand known to be in half precision."""
    return any(node.op_type in _PRODUCTS and any(map(_is_half, node.inputs)) for node in _nodes(model))


def widen(model: ir.Model) -> None:
    """Make every half-precision value of the model float32, inputs and outputs included."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in [*graph.inputs, *graph.initializers.values()]:
            _widen_value(value)
    for node in _nodes(model):
        for name, attribute in list(node.attributes.items()):
            _widen_attribute(node, name, attribute)
        for value in node.outputs:
            _widen_value(value)


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def _is_half(value: ir.Value | None) -> bool:
    if value is None:
        return False
    if value.dtype in _HALVES:
        return True
    made_by = value.producer()
    if made_by is None or made_by.op_type != "Constant" or "value" not in made_by.attributes:
        return False
    return made_by.attributes["value"].as_tensor().dtype in _HALVES


def _widen_value(value: ir.Value) -> None:
    if value.const_value is not None and value.const_value.dtype in _HALVES:
        value.const_value = _widened(value.const_value)
    if value.dtype in _HALVES:
        value.dtype = ir.DataType.FLOAT


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)


def _widen_attribute(node: ir.Node, name: str, attribute: ir.Attr) -> None:
    if attribute.is_ref():
        return
    if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in _HALVES:
        node.attributes[name] = ir.AttrTensor(name, _widened(attribute.as_tensor()))
    elif attribute.type == ir.AttributeType.INT and name in _TYPES and attribute.as_int() in set(_HALVES):
        node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))
