"""Static quantization: activations with scales chosen beforehand, every operator at a width of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.cores import side_by_side
from edgewise_converters.quantize.rules import (
    CONCATENATION,
    SAME_SCALE,
    WEIGHTED,
    bias_of,
    data_input,
    has_weights,
    is_pointwise,
)
from edgewise_converters.quantize.scales import Scales
from edgewise_converters.quantize.stored_int8 import StoredInt8
from edgewise_converters.quantize.ways import Shared, StaticOptions, widths_of
from edgewise_converters.quantize.weights import (
    channel_axis,
    quantize_bias,
    quantize_weights,
    smallest_scales,
)
from edgewise_converters.quantize.widths import Width
from edgewise_converters.spill import release_mapped
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_FLOAT = np.dtype(np.float32)
_WORTH_THREADS = 2e10
"""Products in the inversions of joint rounding: seconds. Below, threads cost more than they save."""


def quantize_static(
    graph: Graph,
    shared: Shared,
    options: StaticOptions,
    *,
    inputs: dict[str, Quantization] | None = None,
) -> Graph:
    """The quantized twin of a float graph; ``graph`` is left as it is.

    ``inputs`` names graph inputs that become int8 themselves, with the quantization they must have (so that a
    camera's bytes are the input). All others, and all outputs, stay float32. ``shared`` given again spares what an
    earlier call rounded.
    """
    return _StaticQuantizer(graph, shared, options, inputs or {}).run()


@dataclass(frozen=True)
class Twins:
    """A quantized graph, and what became of the float graph's tensors."""

    graph: Graph
    written: Mapping[int, Tensor]
    """By id of a float tensor: what the operator writes that once wrote it."""


def quantize_with_twins(
    graph: Graph, shared: Shared, options: StaticOptions, inputs: dict[str, Quantization]
) -> Twins:
    """`quantize_static`, for those who look into the quantized graph."""
    quantizer = _StaticQuantizer(graph, shared, options, inputs)
    quantized = quantizer.run()
    return Twins(quantized, {key: next(iter(twins.values())) for key, twins in quantizer.made.items()})


class _StaticQuantizer:
    def __init__(
        self,
        graph: Graph,
        shared: Shared,
        options: StaticOptions,
        inputs: dict[str, Quantization],
    ) -> None:
        self.source, self.options, self.shared = graph, options, shared
        self.widths = widths_of(graph, options)
        self.fixed = {id(t): inputs[t.name] for t in graph.inputs if t.name in inputs}
        ranges = {
            key: shared.range_of(key, options.ranges_of.get(key, options.ranges))
            for key in shared.calibration.by_tensor
        }
        self.scales = {
            width.dtype: Scales(
                graph,
                ranges,
                width,
                frozenset(key for key, own in self.widths.items() if own is width),
                self.fixed if width is Width.INT8 else {},
                symmetric=options.symmetric,
            )
            for width in (Width.INT8, Width.INT16)
        }
        self.result = Graph(graph.name)
        self.narrow = StoredInt8(shared.store, narrow_tables=options.rules.narrow_tables)
        self.made: dict[int, dict[np.dtype[np.generic], Tensor]] = {}
        """By id of the float tensor: its twins by dtype, the one its operator wrote first."""
        self.stored: dict[tuple[int, int | None], tuple[Tensor, Array]] = {}
        """Rounded weights, and what that adds to outputs, by id of the float ones and axis: what is shared stays so."""
        self.rows: dict[int, Tensor] = {}
        """Pointwise weights as rows, by id of the rounded ones."""
        self.sharing: dict[int, list[Operator]] = {}
        """By id of weights: the operators that multiply with them in int8."""
        for operator in graph.operators:
            if has_weights(operator) and self.widths[id(operator)] is Width.INT8:
                self.sharing.setdefault(id(operator.inputs[1]), []).append(operator)

    def run(self) -> Graph:
        """Rebuild the graph, operator by operator."""
        release_mapped()
        self._round_side_by_side()
        for tensor in self.source.inputs:
            dtype = np.dtype(np.int8) if id(tensor) in self.fixed else _FLOAT
            entry = self._twin(tensor, dtype, tensor.name) if dtype != _FLOAT else tensor
            self.made[id(tensor)] = {dtype if tensor.is_float else tensor.dtype: entry}
            self.result.inputs.append(entry)
        for operator in self.source.operators:
            self._rebuild(operator, self.widths[id(operator)])
        self.result.outputs = [self._as(tensor, _FLOAT) for tensor in self.source.outputs]
        self.result.remove_unused()
        return self.result

    def _round_side_by_side(self) -> None:
        """Round all weights before they are asked for: most of the time of a large network goes there."""
        rounded = [
            o for o in self.source.operators if has_weights(o) and self.widths[id(o)] is not Width.FLOAT
        ]
        first = {id(operator.inputs[1]): operator for operator in reversed(rounded)}
        moments = filter(None, map(self.shared.calibration.moments_of, first.values()))
        if sum(m.inversion_products for m in moments) >= _WORTH_THREADS:
            side_by_side(self._weights, reversed(first.values()))

    def _rebuild(self, operator: Operator, width: Width) -> None:
        outputs = list(operator.outputs)
        if width.is_integer:
            outputs = [self._twin(t, width.dtype, f"{t.name}/{width.dtype}") for t in outputs]
            make = self._weighted_inputs if has_weights(operator) else self._plain_inputs
            inputs = make(operator, width)
        elif width is Width.HYBRID:
            self._hybrid(operator)
            return
        else:
            inputs = [None if t is None else self._as(t, _FLOAT) for t in operator.inputs]
            if id(operator) in self.options.shifts_of:
                bias = self._corrected(operator, None).astype(np.float32)
                inputs = [*inputs[:2], Tensor.constant(f"{operator.output.name}/bias", bias)]
        twin = Operator(operator.kind, inputs, outputs, operator.options, operator.in_float)
        twin = twin.with_graphs(lambda body: self.shared.body(body, self.options.rules))
        # Layers are in float32 for their weights' sake; of all else only the size matters.
        stays = width.is_integer or operator.kind in WEIGHTED
        self.result.operators += [twin] if stays else self.narrow.of(twin)
        for tensor, output in zip(operator.outputs, outputs, strict=True):
            self.made[id(tensor)] = {output.dtype: output}

    def _twin(self, tensor: Tensor, dtype: np.dtype[np.generic], name: str) -> Tensor:
        quantization = None if dtype == _FLOAT else self.scales[dtype].of(tensor)
        return Tensor(name, tensor.shape, dtype, None, quantization)

    def _as(self, tensor: Tensor, dtype: np.dtype[np.generic]) -> Tensor:
        """An activation in ``dtype``, converted where it is not there yet; what is no float stays as it is."""
        if tensor.is_constant or not tensor.is_float:
            return tensor
        twins = self.made[id(tensor)]
        if dtype not in twins:
            leaves = dtype == _FLOAT and any(tensor is end for end in self.source.outputs)
            twin = self._twin(tensor, dtype, tensor.name if leaves else f"{tensor.name}/{dtype}")
            kind = "DEQUANTIZE" if dtype == _FLOAT else "QUANTIZE"
            source = next(iter(twins.values()))
            if source.dtype == np.int8 and dtype == np.int16:
                source = self._as(tensor, _FLOAT)  # tflite-runtime 2.14 does not widen integers
            twins[dtype] = self._emit(kind, source, twin)
        return twins[dtype]

    def _emit(self, kind: str, source: Tensor, output: Tensor) -> Tensor:
        self.result.operators.append(Operator(kind, [source], [output]))
        return output

    def _plain_inputs(self, operator: Operator, width: Width) -> list[Tensor | None]:
        inputs: list[Tensor | None] = []
        for tensor in operator.inputs:
            if tensor is None or not tensor.is_float:
                inputs.append(tensor)  # axes, shapes, pads
            elif tensor.is_constant:
                inputs.append(self._constant(operator, tensor, width))
            elif operator.kind == CONCATENATION:
                inputs.append(self._rescaled(tensor, self.scales[width.dtype].of(operator.output), width))
            else:
                inputs.append(self._as(tensor, width.dtype))
        return inputs

    def _constant(self, operator: Operator, tensor: Tensor, width: Width) -> Tensor:
        """A constant operand: in the data's scale where scales must agree, else in its own."""
        assert tensor.data is not None
        name = f"{tensor.name}/{width.dtype}"
        if operator.kind in SAME_SCALE or operator.kind == CONCATENATION:
            quantization = self.scales[width.dtype].of(operator.output)
            limits = np.iinfo(width.dtype)  # type: ignore[type-var]  # numpy's stub knows no dtype by name
            # In float64: the fill of a padded maximum pooling lies near the end of float32.
            steps = np.rint(tensor.data.astype(np.float64) / quantization.scale) + quantization.zero_point
            integers = np.clip(steps, limits.min, limits.max).astype(width.dtype)
            return Tensor.constant(name, integers, quantization)
        data, quantization = quantize_weights(tensor.data, None, dtype=width.dtype)
        return Tensor.constant(name, data, quantization)

    def _rescaled(self, tensor: Tensor, wanted: Quantization, width: Width) -> Tensor:
        integer = self._as(tensor, width.dtype)
        if integer.quantization == wanted:
            return integer
        output = Tensor(f"{tensor.name}/rescaled", tensor.shape, width.dtype, None, wanted)
        return self._emit("QUANTIZE", integer, output)

    def _weighted_inputs(self, operator: Operator, width: Width) -> list[Tensor | None]:
        data = self._as(data_input(operator), width.dtype)
        weights, shift = self._weights(operator)
        assert data.quantization is not None and weights.quantization is not None
        scale = data.quantization.scale
        dtype = np.dtype(np.int32 if width is Width.INT8 else np.int64)
        key = (id(operator), scale, dtype, self.options.correct_bias)
        made_from = (weights.quantization, self.options.shifts_of.get(id(operator)))
        known = self.shared.biases.get(key)
        if known is None or any(now is not then for now, then in zip(made_from, known[0], strict=True)):
            bias = self._corrected(operator, shift)
            known = made_from, quantize_bias(bias, scale, weights.quantization, dtype=dtype)
            self.shared.biases[key] = known
        return [data, weights, Tensor.constant(f"{operator.output.name}/bias/{dtype}", *known[1])]

    def _hybrid(self, operator: Operator) -> None:
        """Float activations with int8 weights; pointwise layers as dense ones, which have a range for each row."""
        weights, shift = self._weights(operator)
        bias = self._corrected(operator, shift).astype(np.float32)
        kind, options = operator.kind, dict(operator.options)
        if is_pointwise(operator) and "FULLY_CONNECTED" in self.options.rules.mixed_per_channel:
            activation = options.get("fusedActivationFunction", 0)
            kind, weights = "FULLY_CONNECTED", self._flat(weights)
            options = {
                "fusedActivationFunction": activation,
                "keepNumDims": True,
                "asymmetricQuantizeInputs": True,
            }
        name = f"{operator.output.name}/bias"
        data = self._as(data_input(operator), _FLOAT)
        inputs: list[Tensor | None] = [data, weights, Tensor.constant(name, bias)]
        self.result.operators.append(Operator(kind, inputs, list(operator.outputs), options))
        self.made[id(operator.output)] = {_FLOAT: operator.output}

    def _corrected(self, operator: Operator, shift: Array | None) -> Array:
        """The bias without what rounding the weights adds on average, and without what was measured besides."""
        bias = bias_of(operator)
        if shift is not None and self.options.correct_bias:
            bias = bias - shift
        return np.asarray(bias - self.options.shifts_of.get(id(operator), 0.0))

    def _flat(self, weights: Tensor) -> Tensor:
        """Pointwise weights [O, 1, 1, I] as those of a dense layer, once for all that share them."""
        if id(weights) not in self.rows:
            assert weights.data is not None
            data = weights.data.reshape(weights.shape[0], -1)
            self.rows[id(weights)] = Tensor.constant(f"{weights.name}/rows", data, weights.quantization)
        return self.rows[id(weights)]

    def _weights(self, operator: Operator) -> tuple[Tensor, Array]:
        """The rounded weights, and what rounding them adds to each output on average."""
        weights = operator.inputs[1]
        assert weights is not None and weights.data is not None
        one_scale = operator.kind == "FULLY_CONNECTED" or self.options.per_tensor
        axis = None if one_scale else channel_axis(operator.kind)
        key = (id(weights), axis)
        if key not in self.stored:
            floor, method = self._floor(operator), self.options.rounding
            rounded = self.shared.rounding.of(operator, weights, axis, floor=floor, method=method)
            name = f"{operator.output.name}/weights/int8"
            constant = Tensor.constant(name, rounded.integers, rounded.quantization)
            self.stored[key] = constant, rounded.shift
        return self.stored[key]

    def _floor(self, operator: Operator) -> Array:
        """Scales of weights below which a bias beside them would not fit, of all operators that share them."""
        floor = np.zeros(bias_of(operator).shape)
        for sharing in self.sharing.get(id(operator.inputs[1]), []):
            scale = self.scales[Width.INT8.dtype].of(data_input(sharing)).scale
            floor = np.maximum(floor, smallest_scales(bias_of(sharing), scale))
        return floor
