"""A quantized model keeps what it states: integers stand between QuantizeLinear and DequantizeLinear only.

Needs: opset 10 or later. Leaves, in a model that was marked: around every operator on 8-bit integers, and around what
onnxruntime's dynamic quantizer wrote, the float operator with DequantizeLinear before it (and QuantizeLinear behind
it); constants behind DequantizeLinear that a quantized kernel can take stay as they are. What the marked model computes
differs by the rounding of activations that dynamic quantization would do, and by that of weights in blocks.
"""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes.graph_edit import add_constant, constant, only_user
from edgewise_converters.passes.quantized_values import Grid, dequantize, grid_of, quantize, stated_grid
from edgewise_converters.passes.subgraphs import add_node, hand_over

_CENTRED = "edgewise.centred"
_LEAST_BLOCK = 32
"""Kernels with smaller blocks are slow (see `quantize.four_bits`)."""
_MARK = "edgewise.keeps_quantization"
_QUANTIZED = frozenset({
    "QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger", "QGemm",
    "MatMulNBits", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul",
})  # fmt: skip
_TAKES_INTEGER_CONSTANTS = frozenset({
    "Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "PRelu", "Concat", "Gather", "Transpose", "Reshape", "Squeeze",
    "Unsqueeze", "Flatten",
})  # fmt: skip
_MOVES = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather"}
)
"""Operators of ONNX that take 8-bit integers as they take real numbers, their first input being the data."""


def is_quantized(model: ir.Model) -> bool:
    """Whether a model states quantized operators."""
    return any(node.op_type in _QUANTIZED for node in model.graph)


def mark(model: ir.Model) -> None:
    """Ask the rewrites that follow to keep the quantization that ``model`` states."""
    model.meta[_MARK] = True


def is_marked(model: ir.Model) -> bool:
    """Whether the quantization that ``model`` states is to be kept."""
    return bool(model.meta.get(_MARK))


def stays(node: ir.Node) -> bool:
    """Whether a DequantizeLinear of a constant is one that a quantized kernel reads."""
    if node.op_type != "DequantizeLinear":
        return False
    if _in_blocks(node):
        return True
    scale = constant(node.inputs[1])
    uses = list(node.outputs[0].uses())
    return (
        scale is not None
        and (scale.size == 1 or scale.ndim == 1)
        and stated_grid(node) is not None
        and all(user.op_type in _TAKES_INTEGER_CONSTANTS for user, _ in uses)
    )


def apply(model: ir.Model) -> bool:
    """One round of it on a marked model; returns whether anything changed."""
    if not is_marked(model):
        return False
    changed = False
    for node in list(model.graph):
        if node.graph is None:
            continue
        if node.op_type in ("MatMulInteger", "ConvInteger"):
            changed |= _undo_dynamic(node)
        elif node.op_type == "DequantizeLinear" and _in_blocks(node) and not node.meta.get(_CENTRED):
            _unblock(node)
            changed = True
        elif node.op_type in _MOVES and node.domain in ("", "ai.onnx"):
            changed |= _wrap(node)
    return changed


def _undo_dynamic(node: ir.Node) -> bool:
    """DynamicQuantizeLinear, integer product, Cast and Mul by both scales: the float product with stored weights.

    That is how onnxruntime.quantization.quantize_dynamic spells it.
    """
    source, weights = node.inputs[0], node.inputs[1]
    assert source is not None and weights is not None
    quantizer, cast = source.producer(), only_user(node.outputs[0])
    if quantizer is None or quantizer.op_type != "DynamicQuantizeLinear" or constant(weights) is None:
        return False
    scaled = only_user(cast.outputs[0]) if cast is not None and cast.op_type == "Cast" else None
    scale = None if scaled is None or scaled.op_type != "Mul" else _weight_scale(scaled, cast, quantizer)
    if scaled is None or scale is None:
        return False
    is_matmul = node.op_type == "MatMulInteger"
    axis = len(weights.shape or ()) - 1 if is_matmul else 0
    zero = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    grid = Grid(scale.reshape(-1), np.zeros(1, np.int64) if zero is None else zero.reshape(-1), axis)
    real = dequantize(node, weights, grid)
    kept = {} if is_matmul else {key: attribute.value for key, attribute in node.attributes.items()}
    product = add_node(node, "MatMul" if is_matmul else "Conv", [quantizer.inputs[0], real], **kept)
    hand_over(scaled, [product])
    return True


def _weight_scale(scaled: ir.Node, cast: ir.Node | None, quantizer: ir.Node) -> Array | None:
    """The constant factor in product * (input scale * weight scale)."""
    assert cast is not None
    factor = next((v for v in scaled.inputs if v is not None and v is not cast.outputs[0]), None)
    both = factor.producer() if factor is not None else None
    if both is None or both.op_type != "Mul" or not any(v is quantizer.outputs[1] for v in both.inputs):
        return None
    return next((array for value in both.inputs if (array := constant(value)) is not None), None)


def _in_blocks(node: ir.Node) -> bool:
    """Whether a DequantizeLinear is of a constant matrix with scales in blocks."""
    arrays = [constant(value) for value in node.inputs]
    known = all(array is not None for array in arrays)
    return "block_size" in node.attributes and known and arrays[0].ndim == 2  # type: ignore[union-attr]  # known says that it is an array


def _unblock(node: ir.Node) -> None:
    """Weights in blocks: centred if four bits hold them, else int8 with one scale for each index of the other axis."""
    weights, scale = constant(node.inputs[0]), constant(node.inputs[1])
    assert weights is not None and scale is not None
    axis = node.attributes["axis"].as_int() % 2 if "axis" in node.attributes else 1
    size = node.attributes["block_size"].as_int()
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    steps = weights.astype(np.float32)
    if zero is not None:
        steps = steps - _spread(zero, axis, size, weights.shape)
    kept = four_bits(node, steps, scale, size) if axis == 0 else None
    if kept is None:
        real = steps * _spread(scale, axis, size, weights.shape)
        kept = eight_bits(node, np.asarray(real, np.float32), 1 - axis)
    hand_over(node, [kept])


def four_bits(before: ir.Node, steps: Array, scales: Array, size: int) -> ir.Value | None:
    """A new DequantizeLinear of centred integers [K, N] with scales [K / size, N], if 4-bit dense kernels take them.

    Their scales are positive (XNNPACK refuses others), so that a block of negative scale has its integers turned.
    """
    if size % _LEAST_BLOCK or steps.shape[0] % size:
        return None
    turned = steps * _spread(np.where(scales < 0, -1.0, 1.0), 0, size, steps.shape)
    if turned.min(initial=0) < -8 or turned.max(initial=0) > 7:
        return None
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    stored = add_constant(graph, f"{before.name}/four_bits", turned.astype(np.int8))
    scale = add_constant(graph, f"{before.name}/block_scales", np.abs(scales).astype(np.float32))
    value = add_node(before, "DequantizeLinear", [stored, scale], axis=0, block_size=size)
    made = value.producer()
    assert made is not None
    made.meta[_CENTRED] = True
    return value


def _spread(values: Array, axis: int, size: int, shape: tuple[int, ...]) -> Array:
    """One value for each entry of an axis out of one for each block, float32."""
    wide = np.repeat(values.astype(np.float32), size, axis=axis)
    return wide.take(range(shape[axis]), axis=axis)


def eight_bits(before: ir.Node, weights: Array, axis: int) -> ir.Value:
    """A new DequantizeLinear of ``weights`` rounded to int8, symmetric, with one scale along ``axis``."""
    others = tuple(a for a in range(weights.ndim) if a != axis)
    largest = np.abs(weights).max(axis=others)
    scales = np.where(largest > 0, largest, 1.0).astype(np.float32) / np.float32(127)
    shape = [1] * weights.ndim
    shape[axis] = -1
    steps = np.clip(np.rint(weights / scales.reshape(shape)), -127, 127).astype(np.int8)
    graph = before.graph
    assert isinstance(graph, ir.Graph)
    stored = add_constant(graph, f"{before.name}/int8", steps)
    return dequantize(before, stored, Grid(scales, np.zeros(1, np.int64), axis))


def _wrap(node: ir.Node) -> bool:
    """An operator that moves integers: moves real numbers instead, between DequantizeLinear and QuantizeLinear."""
    data = node.inputs[0]
    grid = None if data is None else grid_of(data)
    if data is None or grid is None or len(grid.scales) != 1 or constant(data) is not None:
        return False
    if len(node.outputs) > 1 and node.op_type == "MaxPool":
        return False
    real = dequantize(node, data, grid)
    kept = {key: attribute.value for key, attribute in node.attributes.items()}
    attributes = [ir.convenience.convert_attribute(key, value) for key, value in kept.items()]
    moved = ir.Node(
        "",
        node.op_type,
        [real, *node.inputs[1:]],
        attributes,
        num_outputs=len(node.outputs),
        name=f"{node.name}/real",
    )
    graph = node.graph
    assert isinstance(graph, ir.Graph) and data.dtype is not None
    for number, output in enumerate(moved.outputs):
        output.name = f"{node.name}/real/{number}"
    graph.insert_before(node, moved)
    hand_over(node, [quantize(node, output, grid, data.dtype) for output in moved.outputs])
    return True
