"""Operators on 8-bit integers become the float operator between DequantizeLinear and QuantizeLinear.

Needs: constant scales and zero points. Leaves: none of onnxruntime's own quantized operators below (domain
com.microsoft); in a model whose quantization is to be kept, no QLinearConv and QLinearMatMul either. Exact but for the
rounding of a result that lies between two integers (onnxruntime's ContribOperators.md; ONNX operator specifications).
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.passes import keep_quantization
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.passes.quantized_values import Grid, dequantize, float_constant, quantize
from edgewise_converters.passes.subgraphs import add_node, hand_over

_DOMAIN = "com.microsoft"
_REDUCE_AXES_BY_INPUT = 18
_SOFTMAX_OVER_ONE_AXIS = 13
Speller = Callable[["_Node"], ir.Value | None]


def apply(model: ir.Model) -> bool:
    """Spell out every one; returns whether there was any."""
    keeps = keep_quantization.is_marked(model)
    opset = model.graph.opset_imports.get("", 1)
    changed = False
    for node in list(model.graph):
        if node.domain == _DOMAIN and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = ""
            changed = True
            continue
        foreign = node.domain == _DOMAIN and node.op_type in _FOREIGN
        own = node.domain in ("", "ai.onnx") and node.op_type in _OWN and keeps
        if not (foreign or own):
            continue
        result = (_FOREIGN if foreign else _OWN)[node.op_type](_Node(node, keeps, opset))
        if result is not None:
            hand_over(node, [result])
            changed = True
    return changed


class _Node:
    """A quantized node, its operands as real numbers."""

    def __init__(self, node: ir.Node, keeps: bool, opset: int) -> None:
        self.node, self.keeps, self.opset = node, keeps, opset

    def input(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def number(self, name: str, default: float) -> float:
        return float(self.node.attributes[name].value) if name in self.node.attributes else default

    def grid(self, scale: int, zero_point: int, axis: int = 1) -> Grid | None:
        """The constant grid whose scale and zero point are these inputs."""
        numbers, zero = constant(self.input(scale)), self.input(zero_point)
        zeros = constant(zero)
        if numbers is None or (zero is not None and zeros is None):
            return None
        given = np.zeros(1, np.int64) if zeros is None else zeros.reshape(-1).astype(np.int64)
        return Grid(np.asarray(numbers, np.float32).reshape(-1), given, axis)

    def real(self, index: int, grid: Grid | None) -> ir.Value | None:
        """An operand as float32: computed, or a constant unless its integers are to be kept."""
        value = self.input(index)
        if value is None or grid is None:
            return None
        array = constant(value)
        if array is not None and not self.keeps:
            return float_constant(self.node, array, grid)
        return dequantize(self.node, value, grid)

    def bias(self, index: int, left: Grid, right: Grid, factor: float = 1.0) -> ir.Value | None:
        """The int32 bias, whose scale is that of the products, as a constant float32."""
        array = constant(self.input(index))
        if array is None:
            return None
        real = array.astype(np.float64) * (left.scales.astype(np.float64) * right.scales) * factor
        return self.constant(real.astype(np.float32))

    def constant(self, array: Array) -> ir.Value:
        graph = self.node.graph
        assert isinstance(graph, ir.Graph)
        return add_constant(graph, f"{self.node.name}/constant", array)

    def add(self, op_type: str, inputs: list[ir.Value | None], **attributes: object) -> ir.Value:
        return add_node(self.node, op_type, inputs, **attributes)

    def rounded(self, value: ir.Value, scale: int, zero_point: int, like: int) -> ir.Value | None:
        """``value`` on the grid of these inputs, of the type of input ``like`` (or of the zero point)."""
        grid, source = self.grid(scale, zero_point), self.input(zero_point) or self.input(like)
        if grid is None or source is None or source.dtype is None:
            return None
        return quantize(self.node, value, grid, source.dtype)

    def kept(self, *gone: str) -> dict[str, object]:
        return {key: attribute.value for key, attribute in self.node.attributes.items() if key not in gone}


def _conv(q: _Node) -> ir.Value | None:
    left, right = q.grid(1, 2), q.grid(4, 5, axis=0)
    data, weights = q.real(0, left), q.real(3, right)
    if left is None or right is None or data is None or weights is None:
        return None
    operands = [data, weights]
    if q.input(8) is not None:
        bias = q.bias(8, left, right)
        if bias is None:
            return None
        operands.append(bias)
    return q.rounded(q.add("Conv", [*operands], **q.kept()), 6, 7, 0)


def _matmul(q: _Node) -> ir.Value | None:
    right_value = q.input(3)
    rank = len(right_value.shape or ()) if right_value is not None else 0
    data, weights = q.real(0, q.grid(1, 2)), q.real(3, q.grid(4, 5, axis=rank - 1))
    if data is None or weights is None:
        return None
    return q.rounded(q.add("MatMul", [data, weights]), 6, 7, 0)


def _gemm(q: _Node) -> ir.Value | None:
    left, right = q.grid(1, 2), q.grid(4, 5, axis=0 if q.number("transB", 0) else 1)
    data, weights = q.real(0, left), q.real(3, right)
    if left is None or right is None or data is None or weights is None:
        return None
    operands: list[ir.Value | None] = [data, weights]
    if q.input(6) is not None:
        bias = q.bias(6, left, right, q.number("alpha", 1.0))
        if bias is None:
            return None
        operands.append(bias)
    product = q.add("Gemm", operands, **q.kept())
    return product if q.input(7) is None else q.rounded(product, 7, 8, 0)


def _binary(op_type: str) -> Speller:
    def spell(q: _Node) -> ir.Value | None:
        left, right = q.real(0, q.grid(1, 2)), q.real(3, q.grid(4, 5))
        if left is None or right is None:
            return None
        return q.rounded(q.add(op_type, [left, right]), 6, 7, 0)

    return spell


def _unary(op_type: str, *gone: str) -> Speller:
    def spell(q: _Node) -> ir.Value | None:
        data = q.real(0, q.grid(1, 2))
        if data is None or q.number("channels_last", 0):
            return None
        return q.rounded(q.add(op_type, [data], **q.kept("channels_last", *gone)), 3, 4, 0)

    return spell


def _softmax(q: _Node) -> ir.Value | None:
    """Softmax of the opset that its attribute names: before 13 it is over everything from the axis on."""
    value = q.input(0)
    rank = len(value.shape) if value is not None and value.shape is not None else 0
    axis = int(q.number("axis", -1)) % max(rank, 1)
    if rank == 0 or (q.number("opset", q.opset) < _SOFTMAX_OVER_ONE_AXIS and axis != rank - 1):
        return None
    data = q.real(0, q.grid(1, 2))
    return None if data is None else q.rounded(q.add("Softmax", [data], axis=axis), 3, 4, 0)


def _mean(q: _Node) -> ir.Value | None:
    data = q.real(0, q.grid(1, 2))
    if data is None:
        return None
    keep = int(q.number("keepdims", 1))
    axes = list(q.node.attributes["axes"].as_ints()) if "axes" in q.node.attributes else None
    if axes is None:
        mean = q.add("ReduceMean", [data], keepdims=keep)
    elif q.opset < _REDUCE_AXES_BY_INPUT:
        mean = q.add("ReduceMean", [data], axes=axes, keepdims=keep)
    else:
        mean = q.add("ReduceMean", [data, q.constant(np.array(axes, np.int64))], keepdims=keep)
    return q.rounded(mean, 3, 4, 0)


def _concat(q: _Node) -> ir.Value | None:
    count = (len(q.node.inputs) - 2) // 3
    parts = [q.real(2 + 3 * i, q.grid(3 + 3 * i, 4 + 3 * i)) for i in range(count)]
    if any(part is None for part in parts):
        return None
    return q.rounded(q.add("Concat", parts, **q.kept()), 0, 1, 2)


def _where(q: _Node) -> ir.Value | None:
    chosen, other = q.real(1, q.grid(2, 3)), q.real(4, q.grid(5, 6))
    if chosen is None or other is None:
        return None
    return q.rounded(q.add("Where", [q.input(0), chosen, other]), 7, 8, 1)


_OWN: dict[str, Speller] = {"QLinearConv": _conv, "QLinearMatMul": _matmul}
_FOREIGN: dict[str, Speller] = {
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearSoftmax": _softmax,
    "QLinearReduceMean": _mean,
    "QLinearConcat": _concat,
    "QLinearWhere": _where,
}
