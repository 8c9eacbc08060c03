"""A quantized source stays quantized: its scales and zero points, its integers, and float32 where it is float.

The graph lowered with its quantization kept holds QUANTIZE and DEQUANTIZE where the source has QuantizeLinear and
DequantizeLinear. An operator between them that TFLite has an integer kernel for takes the integers; a layer that has
integer weights only becomes a dynamic-range one; what else there is stays float32 between its QUANTIZE and DEQUANTIZE.
"""

from dataclasses import dataclass

import numpy as np

from edgewise_converters.lower.peephole import tidy
from edgewise_converters.quantize.constant_products import absorb_additions, dense_from_products
from edgewise_converters.quantize.exact_int8 import store_exact_int8
from edgewise_converters.quantize.rules import data_input
from edgewise_converters.quantize.stated_constants import moved_constant, real_constant
from edgewise_converters.quantize.stated_grids import INT8, INT16, MOVES, StoredGrid, wanted_grids
from edgewise_converters.quantize.stated_layers import dynamic_layer, static_layer
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.runtimes import RuntimeRules

_CONSTANT_MOVES = frozenset({"RESHAPE", "TRANSPOSE"})
_FILLING = "PADV2"
_INT16_MOVES = frozenset({"RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "MAX_POOL_2D", "PAD", "GATHER"})
_INT16_PLAIN = frozenset({"ADD", "SUB", "MUL", "MEAN", "RELU", "RELU6", "LEAKY_RELU", "CONCATENATION"})
"""What both runtimes have int16 kernels for."""
_LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_FREE = frozenset({
    "ADD", "SUB", "MUL", "MEAN", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "LEAKY_RELU", "PRELU", "ELU",
    "BATCH_MATMUL",
})  # fmt: skip
"""Their kernels take any scale on either side."""
_SAME_SCALE = frozenset({"AVERAGE_POOL_2D", "RESIZE_BILINEAR"})
_FIXED = {"LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}
"""Output scale and zero point that the kernels demand (TFLite 8-bit quantization specification)."""


@dataclass(frozen=True)
class Stated:
    """A graph with the quantization of its source, and how many operators got which."""

    graph: Graph
    integer: int
    """Operators that compute with integers alone."""
    dynamic: int
    """Layers with int8 weights and inputs rounded as the model runs."""


def keep_stated(graph: Graph, rules: RuntimeRules) -> Stated:
    """The quantized twin of a graph lowered with its quantization kept; ``graph`` is left as it is.

    ``rules`` are those of the runtimes that have to run it.
    """
    source = graph.copy()
    constants = _behind_constants(source)
    dense_from_products(source, constants)
    absorb_additions(source)
    tidy(source)
    return _Keeper(source, rules).run()


def _behind_constants(graph: Graph) -> frozenset[int]:
    """The float tensors that are quantized constants, moved or not."""
    found: set[int] = set()
    for operator in graph.operators:
        first = operator.inputs[0] if operator.inputs else None
        if first is None:
            continue
        restored = operator.kind == "DEQUANTIZE" and first.is_constant
        if restored or (operator.kind in _CONSTANT_MOVES and id(first) in found):
            found.add(id(operator.output))
    return frozenset(found)


class _Keeper:
    def __init__(self, source: Graph, rules: RuntimeRules) -> None:
        self.source, self.rules = source, rules
        self.result = Graph(source.name, source.inputs, source.outputs)
        self.integers: dict[int, Tensor] = {}
        """By id of a float tensor: the integers that it is, exactly."""
        self.stored: dict[int, Tensor] = {}
        """By id of an integer tensor of the source: the one that took its place."""
        self.restored: dict[int, Tensor] = {}
        self.wanted = wanted_grids(source)
        self.readers = source.consumers()
        self.integer_operators = self.dynamic_operators = 0

    def run(self) -> Stated:
        """Rebuild the graph, operator by operator."""
        for operator in self.source.operators:
            first = operator.inputs[0] if operator.inputs else None
            if operator.kind == "QUANTIZE" and first is not None and first.is_float:
                self._quantize(operator, first)
            elif operator.kind == "DEQUANTIZE" and first is not None and _is_quantized(first):
                self.integers[id(operator.output)] = self.stored.get(id(first), first)
            elif not (self._moved(operator) or self._layer(operator) or self._plain(operator)):
                self._float(operator)
        for tensor in self.source.outputs:
            self._real(tensor)
        self.result.remove_unused()
        return Stated(store_exact_int8(self.result), self.integer_operators, self.dynamic_operators)

    # -- where float32 ends and begins ------------------------------------------------------------------------

    def _quantize(self, operator: Operator, source: Tensor) -> None:
        known, output = self.integers.get(id(source)), operator.output
        if known is not None and (known.dtype, known.quantization) == (output.dtype, output.quantization):
            self.stored[id(output)] = known
        elif known is not None and not known.is_constant and known.dtype == output.dtype:
            self._emit(Operator("QUANTIZE", [known], [output]))
        else:
            self._emit(Operator("QUANTIZE", [self._real(source)], [output]))

    def _real(self, tensor: Tensor) -> Tensor:
        """The float tensor, restored from its integers the first time it is asked for."""
        known = self.integers.get(id(tensor))
        if known is None:
            return tensor
        if id(tensor) not in self.restored:
            if known.is_constant:
                self.restored[id(tensor)] = real_constant(known)
            else:
                self._emit(Operator("DEQUANTIZE", [known], [tensor]))
                self.restored[id(tensor)] = tensor
        return self.restored[id(tensor)]

    def _float(self, operator: Operator) -> None:
        inputs = [None if t is None else self.stored.get(id(t)) or self._real(t) for t in operator.inputs]
        self._emit(Operator(operator.kind, inputs, operator.outputs, operator.options, operator.in_float))

    def _emit(self, operator: Operator) -> None:
        self.result.operators.append(operator)

    # -- what runs in integers ----------------------------------------------------------------------------------

    def _moved(self, operator: Operator) -> bool:
        """Whether an operator moves integers, which then it does to the integers themselves."""
        if operator.kind == _FILLING:
            return self._padded(operator)
        if operator.kind not in MOVES:
            return False
        data = data_input(operator)
        known = self.integers.get(id(data))
        if known is None:
            return False
        if known.is_constant and operator.kind in _CONSTANT_MOVES:
            moved = moved_constant(operator, known)
            if moved is not None:
                self.integers[id(operator.output)] = moved
            return moved is not None
        grid = StoredGrid.of(known)
        lacking = self.rules.no_int8 if grid is None or grid.dtype == INT8 else self.rules.no_int16
        if grid is None or operator.kind in lacking:
            return False
        if grid.dtype == INT16 and operator.kind not in _INT16_MOVES:
            return False
        self._integer(operator, [known if tensor is data else tensor for tensor in operator.inputs], grid)
        return True

    def _padded(self, operator: Operator) -> bool:
        """Whether a PADV2 with a constant pads integers: the fill is an integer, or so low that no maximum takes it."""
        known, fill = self.integers.get(id(operator.inputs[0])), operator.inputs[2]
        grid = None if known is None else StoredGrid.of(known)
        if grid is None or known is None or known.dtype != INT8 or fill is None or fill.data is None:
            return False
        ends = grid.quantization.dequantize(np.array([-128, 127]))
        within = np.clip(fill.data, *ends)
        steps = grid.quantization.quantize(within, grid.dtype.name)
        exact = np.array_equal(grid.quantization.dequantize(steps), fill.data)
        readers = self.readers.get(id(operator.output), [])
        lowest = bool((fill.data <= ends[0]).all())
        if not exact and not (lowest and all(reader.kind == "MAX_POOL_2D" for reader in readers)):
            return False
        constant = Tensor.constant(f"{fill.name}/int8", steps, grid.quantization)
        self._integer(operator, [known, operator.inputs[1], constant], grid)
        return True

    def _integer(self, operator: Operator, inputs: list[Tensor | None], grid: StoredGrid) -> None:
        outputs = [grid.tensor(tensor) for tensor in operator.outputs]
        self._emit(Operator(operator.kind, inputs, outputs, operator.options))
        self.integers.update((id(t), own) for t, own in zip(operator.outputs, outputs, strict=True))
        self.integer_operators += 1

    def _layer(self, operator: Operator) -> bool:
        """Whether an operator has integer weights, and so is a static or dynamic int8 layer."""
        weights = self.integers.get(id(operator.inputs[1])) if operator.kind in _LAYERS else None
        bias = operator.inputs[2] if len(operator.inputs) > 2 else None
        data = operator.inputs[0]
        if (
            weights is None
            or data is None
            or not weights.is_constant
            or (bias is not None and bias.data is None)
        ):
            return False
        grid = self.wanted.get(id(operator.output))
        known = None if grid is None else self._operand(data, grid.dtype)
        if known is not None and grid is not None:
            output = grid.tensor(operator.output)
            for new in static_layer(operator, known, weights, output):
                self._emit(new)
            self.integers[id(operator.output)] = output
            self.integer_operators += 1
            return True
        layer = dynamic_layer(operator, self._real(data), weights, self.rules)
        for new in layer or ():
            self._emit(new)
        self.dynamic_operators += layer is not None
        return layer is not None

    def _operand(
        self, tensor: Tensor | None, dtype: np.dtype[np.generic], *, constants: bool = False
    ) -> Tensor | None:
        """The integers on one grid that a tensor is, if it is that."""
        known = self.integers.get(id(tensor))
        if known is None or known.dtype != dtype or StoredGrid.of(known) is None:
            return None
        return known if constants or not known.is_constant else None

    def _plain(self, operator: Operator) -> bool:
        """Whether an operator without weights runs in integers."""
        grid = self.wanted.get(id(operator.outputs[0]))
        if grid is None or len(operator.outputs) != 1 or not self._has_kernel(operator.kind, grid):
            return False
        operands = [
            tensor
            if tensor is None or not tensor.is_float
            else self._operand(tensor, grid.dtype, constants=True)
            for tensor in operator.inputs
        ]
        if any(new is None for new, old in zip(operands, operator.inputs, strict=True) if old is not None):
            return False
        first = next(t for t in operands if t is not None and t.quantization is not None)
        if operator.kind == "CONCATENATION":
            operands = [None if t is None else self._rescaled(t, grid) for t in operands]
        elif operator.kind in _SAME_SCALE and first.quantization != grid.quantization:
            return False
        self._integer(operator, operands, grid)
        return True

    def _has_kernel(self, kind: str, grid: StoredGrid) -> bool:
        """Whether an operator without weights has a kernel with integers of this grid as its output."""
        if grid.dtype == INT16:
            return kind in _INT16_PLAIN and kind not in self.rules.no_int16
        fixed = kind in _FIXED and _FIXED[kind] == (grid.quantization.scale, grid.quantization.zero_point)
        known = fixed or kind in _FREE or kind in _SAME_SCALE or kind == "CONCATENATION"
        return known and kind not in self.rules.no_int8

    def _rescaled(self, tensor: Tensor, grid: StoredGrid) -> Tensor:
        if tensor.quantization == grid.quantization:
            return tensor
        if tensor.is_constant:
            data = grid.quantization.quantize(np.asarray(real_constant(tensor).data), grid.dtype.name)
            return Tensor.constant(f"{tensor.name}/rescaled", data, grid.quantization)
        output = Tensor(f"{tensor.name}/rescaled", tensor.shape, grid.dtype, None, grid.quantization)
        self._emit(Operator("QUANTIZE", [tensor], [output]))
        return output


def _is_quantized(tensor: Tensor) -> bool:
    return tensor.quantization is not None or tensor.blocks is not None


__all__ = ["Stated", "keep_stated"]
