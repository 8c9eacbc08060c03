"""Static int8: weights per channel, activations per tensor, all integers but where int8 would do harm."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.calibrate import Calibration
from edgewise_converters.quantize.ranges import CHOOSERS, QMAX, QMIN
from edgewise_converters.quantize.rounding import Rounding
from edgewise_converters.quantize.rules import CONCATENATION, SAME_SCALE, WEIGHTED, data_input, runs_in_int8
from edgewise_converters.quantize.scales import Scales
from edgewise_converters.quantize.weights import (
    channel_axis,
    quantize_bias,
    quantize_weights,
    smallest_scales,
)  # fmt: skip
from edgewise_converters.tflite.graph import Graph, Operator, Tensor


@dataclass(frozen=True)
class StaticOptions:
    """How to quantize: every combination is legal, and which is best is measured."""

    ranges: str = "mse"
    """A key of `ranges.CHOOSERS`."""
    rounding: str = "gptq"
    """One of `rounding.METHODS`, for the weights."""
    correct_bias: bool = True
    kept_float: frozenset[str] = frozenset()
    """Kinds of operators that the target's runtimes cannot run in int8."""

    def __str__(self) -> str:
        correction = "with" if self.correct_bias else "without"
        return f"{self.ranges} ranges, {self.rounding} rounding, {correction} bias correction"


def quantize_static(
    graph: Graph,
    calibration: Calibration,
    options: StaticOptions,
    *,
    inputs: dict[str, Quantization] | None = None,
    rounding: Rounding | None = None,
) -> Graph:
    """The int8 twin of a float graph; ``graph`` is left as it is.

    ``inputs`` names graph inputs that become int8 themselves, with the quantization they must have (so that a
    camera's bytes are the input). All others, and all outputs, stay float32. A ``rounding`` given again keeps the
    weights that an earlier call rounded.
    """
    return _StaticQuantizer(
        graph, calibration, options, inputs or {}, rounding or Rounding(calibration)
    ).run()


class _StaticQuantizer:
    def __init__(
        self,
        graph: Graph,
        calibration: Calibration,
        options: StaticOptions,
        inputs: dict[str, Quantization],
        rounding: Rounding,
    ) -> None:
        self.source, self.options, self.rounding = graph, options, rounding
        self.in_int8 = frozenset(
            id(o) for o in graph.operators if runs_in_int8(o, graph) and o.kind not in options.kept_float
        )
        fixed = {id(t): inputs[t.name] for t in graph.inputs if t.name in inputs}
        self.integer_inputs = frozenset(fixed)
        self.scales = Scales(graph, calibration, CHOOSERS[options.ranges], self.in_int8, fixed)
        self.result = Graph(graph.name)
        self.floats: dict[int, Tensor] = {}
        self.integers: dict[int, Tensor] = {}

    def run(self) -> Graph:
        """Rebuild the graph, operator by operator."""
        for tensor in self.source.inputs:
            if id(tensor) in self.integer_inputs:
                entry = self.integers[id(tensor)] = self._activation(tensor, tensor.name)
            else:
                entry = self.floats[id(tensor)] = tensor
            self.result.inputs.append(entry)
        for operator in self.source.operators:
            if id(operator) in self.in_int8:
                self._integer(operator)
            else:
                self._float(operator)
        self.result.outputs = [self._as_float(tensor) for tensor in self.source.outputs]
        self.result.remove_unused()
        return self.result

    def _activation(self, tensor: Tensor, name: str) -> Tensor:
        return Tensor(name, tensor.shape, np.dtype(np.int8), None, self.scales.of(tensor))

    def _emit(self, kind: str, source: Tensor, output: Tensor) -> Tensor:
        self.result.operators.append(Operator(kind, [source], [output]))
        return output

    def _as_float(self, tensor: Tensor) -> Tensor:
        known = self.floats.get(id(tensor))
        if known is not None or tensor.is_constant or not tensor.is_float:
            return known or tensor
        integer = self.integers[id(tensor)]
        leaves = any(tensor is end for end in self.source.outputs)
        name = tensor.name if leaves else f"{tensor.name}/float"
        output = Tensor(name, tensor.shape, np.dtype(np.float32))
        self.floats[id(tensor)] = self._emit("DEQUANTIZE", integer, output)
        return output

    def _as_integer(self, tensor: Tensor) -> Tensor:
        known = self.integers.get(id(tensor))
        if known is None:
            known = self._emit(
                "QUANTIZE", self.floats[id(tensor)], self._activation(tensor, f"{tensor.name}/int8")
            )
            self.integers[id(tensor)] = known
        return known

    def _float(self, operator: Operator) -> None:
        inputs = [None if tensor is None else self._as_float(tensor) for tensor in operator.inputs]
        self.result.operators.append(Operator(operator.kind, inputs, operator.outputs, operator.options))
        self.floats.update((id(tensor), tensor) for tensor in operator.outputs)

    def _integer(self, operator: Operator) -> None:
        outputs = [self._activation(tensor, f"{tensor.name}/int8") for tensor in operator.outputs]
        inputs = (
            self._weighted_inputs(operator) if operator.kind in WEIGHTED else self._plain_inputs(operator)
        )
        self.result.operators.append(Operator(operator.kind, inputs, outputs, operator.options))
        for tensor, output in zip(operator.outputs, outputs, strict=True):
            self.integers[id(tensor)] = output

    def _plain_inputs(self, operator: Operator) -> list[Tensor | None]:
        inputs: list[Tensor | None] = []
        for tensor in operator.inputs:
            if tensor is None or not tensor.is_float:
                inputs.append(tensor)  # axes, shapes, pads
            elif tensor.is_constant:
                inputs.append(self._constant(operator, tensor))
            elif operator.kind == CONCATENATION:
                inputs.append(self._rescaled(tensor, self.scales.of(operator.output)))
            else:
                inputs.append(self._as_integer(tensor))
        return inputs

    def _constant(self, operator: Operator, tensor: Tensor) -> Tensor:
        """A constant operand: in the data's scale where scales must agree, else in its own."""
        assert tensor.data is not None
        if operator.kind in SAME_SCALE or operator.kind == CONCATENATION:
            quantization = self.scales.of(operator.output)
            steps = np.rint(tensor.data.astype(np.float64) / quantization.scale) + quantization.zero_point
            return Tensor.constant(
                f"{tensor.name}/int8", np.clip(steps, QMIN, QMAX).astype(np.int8), quantization
            )
        data, quantization = quantize_weights(tensor.data, None)
        return Tensor.constant(f"{tensor.name}/int8", data, quantization)

    def _rescaled(self, tensor: Tensor, wanted: Quantization) -> Tensor:
        integer = self._as_integer(tensor)
        if integer.quantization == wanted:
            return integer
        output = Tensor(f"{tensor.name}/rescaled", tensor.shape, np.dtype(np.int8), None, wanted)
        return self._emit("QUANTIZE", integer, output)

    def _weighted_inputs(self, operator: Operator) -> list[Tensor | None]:
        source = data_input(operator)
        data, (weights, bias) = self._as_integer(source), _parameters(operator)
        assert data.quantization is not None
        scale = data.quantization.scale
        axis = None if operator.kind == "FULLY_CONNECTED" else channel_axis(operator.kind)
        floor = smallest_scales(bias, scale)
        rounded = self.rounding.of(operator, weights, axis, floor=floor, method=self.options.rounding)
        if self.options.correct_bias:
            bias = bias - rounded.shift
        bias_integers, bias_quantization = quantize_bias(bias, scale, rounded.quantization)
        name = operator.output.name
        return [
            data,
            Tensor.constant(f"{name}/weights/int8", rounded.integers, rounded.quantization),
            Tensor.constant(f"{name}/bias/int32", bias_integers, bias_quantization),
        ]


def _parameters(operator: Operator) -> tuple[Array, Array]:
    weights = operator.inputs[1]
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    assert weights is not None and weights.data is not None
    channels = weights.shape[channel_axis(operator.kind)]
    return weights.data, np.zeros(channels, np.float32) if bias is None else np.asarray(bias.data)
