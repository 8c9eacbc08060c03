"""MatMulNBits (domain com.microsoft) becomes MatMul.

Needs: constant weights of 2, 4 or 8 bits. Leaves: no MatMulNBits. Exact where weights become float32; in a model whose
quantization is to be kept they become int8 with one scale for each output.
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes import keep_quantization
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.subgraphs import add_node, hand_over

_BITS = (2, 4, 8)


def apply(model: ir.Model) -> bool:
    """Spell out every one; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.op_type != "MatMulNBits" or node.domain != "com.microsoft":
            continue
        weights = _weights(node)
        if weights is None:
            continue
        if keep_quantization.is_marked(model):
            right = keep_quantization.eight_bits(node, weights, 1)
        else:
            right = add_constant(model.graph, f"{node.name}/real", weights)
        product = add_node(node, "MatMul", [node.inputs[0], right])
        bias = node.inputs[5] if len(node.inputs) > 5 else None
        hand_over(node, [product if bias is None else add_node(node, "Add", [product, bias])])
        changed = True
    return changed


def _weights(node: ir.Node) -> Array | None:
    """The matrix [K, N], float32; None where it is not constant or its columns are reordered.

    Stored as [N, blocks, bytes of a block], the lower bits of a byte first (onnxruntime, ContribOperators.md).
    """
    packed, scales = constant(node.inputs[1]), constant(node.inputs[2])
    given = [node.inputs[index] if len(node.inputs) > index else None for index in (3, 4)]
    rows, columns, size = (node.attributes[name].as_int() for name in ("K", "N", "block_size"))
    bits = node.attributes["bits"].as_int() if "bits" in node.attributes else 4
    if packed is None or scales is None or given[1] is not None or bits not in _BITS:
        return None
    blocks = -(-rows // size)
    steps = _unpacked(packed.reshape(columns, -1), bits)[:, : blocks * size].reshape(columns, blocks, size)
    middle: Array = np.full((columns, blocks), 1 << (bits - 1), np.float32)
    if given[0] is not None:
        zero = constant(given[0])
        if zero is None:
            return None
        whole = zero.dtype == np.uint8
        middle = (
            _unpacked(zero.reshape(columns, -1), bits)[:, :blocks] if whole else zero.reshape(columns, blocks)
        )
    real = (steps - middle[:, :, None]) * scales.reshape(columns, blocks, 1).astype(np.float32)
    return np.ascontiguousarray(real.reshape(columns, -1)[:, :rows].T, dtype=np.float32)


def _unpacked(packed: Array, bits: int) -> Array:
    """Numbers of ``bits`` each out of bytes [N, bytes], as float32 [N, numbers]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed.astype(np.uint8)[:, :, None] >> shifts) & ((1 << bits) - 1)
    return numbers.reshape(len(packed), -1).astype(np.float32)
