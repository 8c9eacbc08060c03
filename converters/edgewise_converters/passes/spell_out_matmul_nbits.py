"""MatMulNBits (domain com.microsoft) becomes MatMul.

Needs: constant weights of 2, 4 or 8 bits. Leaves: no MatMulNBits. Exact where weights become float32; in a model whose
quantization is to be kept they become int8 with one scale for each output, unless 4-bit kernels take their blocks.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes import keep_quantization
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.subgraphs import add_node, hand_over

_BITS = (2, 4, 8)


@dataclass(frozen=True, eq=False)
class _Matrix:
    """Weights [K, N] in blocks along K."""

    steps: Array
    """Less their zero points, float32."""
    scales: Array
    """[blocks, N]"""
    size: int

    @property
    def real(self) -> Array:
        wide = np.repeat(self.scales, self.size, axis=0)[: len(self.steps)]
        return np.ascontiguousarray(self.steps * wide, dtype=np.float32)


def apply(model: ir.Model) -> bool:
    """Spell out every one; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        if node.op_type != "MatMulNBits" or node.domain != "com.microsoft":
            continue
        weights = _weights(node)
        if weights is None:
            continue
        right = _kept(node, weights) if keep_quantization.is_marked(model) else None
        right = right or add_constant(model.graph, f"{node.name}/real", weights.real)
        product = add_node(node, "MatMul", [node.inputs[0], right])
        bias = node.inputs[5] if len(node.inputs) > 5 else None
        hand_over(node, [product if bias is None else add_node(node, "Add", [product, bias])])
        changed = True
    return changed


def _kept(node: ir.Node, weights: _Matrix) -> ir.Value:
    kept = keep_quantization.four_bits(node, weights.steps, weights.scales, weights.size)
    return kept or keep_quantization.eight_bits(node, weights.real, 1)


def _weights(node: ir.Node) -> _Matrix | None:
    """The matrix; None where it is not constant or its columns are reordered.

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
    centred = (steps - middle[:, :, None]).reshape(columns, -1)[:, :rows].T
    return _Matrix(centred, scales.reshape(columns, blocks).T.astype(np.float32), size)


def _unpacked(packed: Array, bits: int) -> Array:
    """Numbers of ``bits`` each out of bytes [N, bytes], as float32 [N, numbers]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed.astype(np.uint8)[:, :, None] >> shifts) & ((1 << bits) - 1)
    return numbers.reshape(len(packed), -1).astype(np.float32)
