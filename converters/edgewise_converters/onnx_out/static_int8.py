"""Static int8 as QuantizeLinear and DequantizeLinear, in the forms that onnxruntime turns into integer kernels.

Activations and weights are int8: on 64-bit ARM that is the pair with the fastest kernels, and on x86 onnxruntime makes
uint8 of the activations when it loads the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array, Quantization
from edgewise_converters.onnx_out.dense import Dense
from edgewise_converters.onnx_out.range_table import RangeTable
from edgewise_converters.onnx_out.roles import Roles, limits_of
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.scales import scales_of
from edgewise_converters.onnx_out.weighted import Convolution, weighted_of
from edgewise_converters.passes import clean
from edgewise_converters.passes.graph_edit import add_constant, constant
from edgewise_converters.quantize.ranges import QMAX, QMIN, scale_of
from edgewise_converters.quantize.weights import quantize_bias

_EDGE = 1e-5
"""Of one step: what a range may reach beyond a Clip's limit and still be cut off by rounding alone."""


@dataclass(frozen=True)
class StaticOptions:
    """How to quantize: every combination is legal, and which is best is measured."""

    ranges: str = "mse"
    """A key of `ranges.CHOOSERS`."""
    rounding: str = "gptq"
    """gptq or nearest, for the weights."""
    correct_bias: bool = True
    ranges_of: Mapping[str, str] = field(default_factory=dict)
    """By name of value: another key for it."""
    spared: frozenset[str] = frozenset()
    """First outputs of nodes that stay float."""

    def __str__(self) -> str:
        correction = "with" if self.correct_bias else "without"
        spared = f", {len(self.spared)} layers in float" if self.spared else ""
        single = f", {len(self.ranges_of)} ranges chosen singly" if self.ranges_of else ""
        return f"{self.ranges} ranges, {self.rounding} rounding, {correction} bias correction{single}{spared}"


def quantize_static(
    model: ir.Model,
    roles: Roles,
    ranges: RangeTable,
    options: StaticOptions,
    *,
    rounding: LayerRounding,
    inputs: Mapping[str, Quantization],
) -> ir.Model:
    """The int8 twin of a float model, which is left as it is; inputs and outputs stay float32.

    ``inputs`` names inputs whose quantization is known beforehand.
    """
    scales = scales_of(model.graph, roles, ranges.chosen(options.ranges, options.ranges_of), inputs)
    twin = model.clone()
    _StaticQuantizer(twin.graph, roles, scales, rounding, options).run()
    clean.apply(twin)
    return twin


class _StaticQuantizer:
    def __init__(
        self,
        graph: ir.Graph,
        roles: Roles,
        scales: dict[str, Quantization],
        rounding: LayerRounding,
        options: StaticOptions,
    ) -> None:
        self.graph, self.roles, self.scales = graph, roles, scales
        self.rounding, self.options = rounding, options
        self.restored: dict[str, ir.Value] = {}
        """By name of a rounded value: what DequantizeLinear makes of it."""

    def run(self) -> None:
        """Round what goes between the nodes, then the weights in them."""
        nodes = [node for node in self.graph if str(node.outputs[0].name) in self.roles.integer]
        layers = {id(node): weighted_of(node) for node in nodes}
        for value in [*self.graph.inputs, *(o for node in list(self.graph) for o in node.outputs)]:
            if value.name in self.roles.rounded:
                self._round_value(value)
        for node in nodes:
            if node.graph is None:
                continue  # its clipping is done by rounding
            self._read_rounded(node)
            layer = layers[id(node)]
            if layer is not None:
                self._weights(node, layer)

    def _round_value(self, value: ir.Value) -> None:
        """QuantizeLinear and DequantizeLinear behind a value; an int8 kernel's is read through them by everybody."""
        name = str(value.name)
        quantization = self.scales[name]
        source = self._without_clipping(value, quantization)
        users = list(source.uses()) if source is not value else list(value.uses())
        scale, zero = self._parameters(name, quantization)
        rounded = self._behind(source, "QuantizeLinear", [source, scale, zero], f"{name}/int8")
        restored = self._behind(rounded, "DequantizeLinear", [rounded, scale, zero], f"{name}/restored")
        restored.shape, restored.type = source.shape, source.type
        self.restored[name] = restored
        if name not in self.roles.made_rounded:
            return
        for user, index in users:
            user.replace_input_with(index, restored)
        if source.is_graph_output():
            source.name, restored.name = f"{name}/real", name
            for index, output in enumerate(self.graph.outputs):
                if output is source:
                    self.graph.outputs[index] = restored

    def _without_clipping(self, value: ir.Value, quantization: Quantization) -> ir.Value:
        """What a Relu or Clip reads, the node taken out, where the integers' own ends cut off the same."""
        node = value.producer()
        limits = limits_of(node) if node is not None else None
        before = node.inputs[0] if node is not None and limits is not None else None
        if node is None or limits is None or before is None:
            return value
        if self.roles.followed.get(str(before.name)) is None or value.is_graph_output():
            return value
        scale, zero = quantization.scale, quantization.zero_point
        low, high = (QMIN - zero) * scale, (QMAX - zero) * scale
        if low < limits[0] - _EDGE * scale or high > limits[1] + _EDGE * scale:
            return value
        value.replace_all_uses_with(before)
        self.graph.remove(node, safe=True)
        return before

    def _read_rounded(self, node: ir.Node) -> None:
        """Let a node read what was rounded, wherever it still reads the numbers before."""
        for index, value in enumerate(node.inputs):
            if value is None:
                continue
            if constant(value) is not None:
                if node.op_type in ("Add", "Mul", "Concat"):
                    node.replace_input_with(index, self._constant(value))
            elif str(value.name) in self.restored and index < _data_inputs(node):
                node.replace_input_with(index, self.restored[str(value.name)])

    def _constant(self, value: ir.Value) -> ir.Value:
        """A constant operand, in a scale of its own."""
        array = constant(value)
        assert array is not None
        scale, zero = scale_of(float(array.min()), float(array.max()))
        steps = np.clip(np.rint(array / scale) + zero, QMIN, QMAX).astype(np.int8)
        name = str(value.name)
        numbers = self._parameters(name, Quantization((scale,), (zero,)))
        return self._restored_constant(add_constant(self.graph, f"{name}/int8", steps), numbers, name)

    def _weights(self, node: ir.Node, layer: Convolution | Dense) -> None:
        name = str(node.outputs[0].name)
        data_scale = self.scales[self._name_before(node)].scale
        rounded = self.rounding.of(layer, data_scale, self.options.rounding)
        integers, axis = rounded.integers, rounded.axis
        if isinstance(layer, Dense) and node.attributes.get("transB") and node.attributes["transB"].as_int():
            integers, axis = np.ascontiguousarray(integers.T), 0
        scale = add_constant(self.graph, f"{name}/weights/scale", rounded.scales)
        zero = add_constant(self.graph, f"{name}/weights/zero", np.zeros(len(rounded.scales), np.int8))
        stored = add_constant(self.graph, f"{name}/weights/int8", integers)
        weights = self._restored_constant(stored, [scale, zero], f"{name}/weights", axis=axis)
        node.replace_input_with(1, weights)
        self._bias(node, layer, rounded.shift, rounded.scales, data_scale)

    def _bias(
        self, node: ir.Node, layer: Convolution | Dense, shift: Array, scales: Array, data_scale: float
    ) -> None:
        name = str(node.outputs[0].name)
        bias = np.zeros(len(scales)) if layer.bias is None else layer.bias.astype(np.float64)
        if self.options.correct_bias:
            bias = bias - shift
        if not bias.any() or node.op_type == "MatMul":
            return  # a MatMul has no place for a bias
        quantization = Quantization(tuple(map(float, scales)), (0,) * len(scales), 0)
        steps, products = quantize_bias(bias, data_scale, quantization)
        scale = add_constant(self.graph, f"{name}/bias/scale", np.asarray(products.scales, np.float32))
        stored = add_constant(self.graph, f"{name}/bias/int32", steps)
        restored = self._restored_constant(stored, [scale], f"{name}/bias", axis=0)
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, restored)

    def _name_before(self, node: ir.Node) -> str:
        """The name of the rounded value that a node's data come from."""
        restored = node.inputs[0]
        return next(name for name, value in self.restored.items() if value is restored)

    def _parameters(self, name: str, quantization: Quantization) -> list[ir.Value]:
        return [
            add_constant(self.graph, f"{name}/scale", np.array(quantization.scale, np.float32)),
            add_constant(self.graph, f"{name}/zero", np.array(quantization.zero_point, np.int8)),
        ]

    def _behind(self, source: ir.Value, op_type: str, inputs: list[ir.Value], name: str) -> ir.Value:
        """A new node right behind the one that makes ``source``."""
        node = ir.Node("", op_type, inputs, num_outputs=1, name=name)
        node.outputs[0].name = name
        producer = source.producer()
        if producer is None:
            first = next(iter(self.graph))
            self.graph.insert_before(first, node)
        else:
            self.graph.insert_after(producer, node)
        return node.outputs[0]

    def _restored_constant(
        self, stored: ir.Value, parameters: list[ir.Value], name: str, axis: int | None = None
    ) -> ir.Value:
        attributes = [] if axis is None else [ir.AttrInt64("axis", axis)]
        node = ir.Node(
            "", "DequantizeLinear", [stored, *parameters], attributes, num_outputs=1, name=f"{name}/restored"
        )
        node.outputs[0].name = f"{name}/restored"
        self.graph.insert_before(next(iter(self.graph)), node)
        return node.outputs[0]


def _data_inputs(node: ir.Node) -> int:
    """How many of a node's first inputs are data."""
    return len(node.inputs) if node.op_type in ("Add", "Mul", "Concat") else 1
