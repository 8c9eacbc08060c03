"""Inputs and outputs of a finished integer graph: float32, int8 or uint8, as the app wants them."""

from collections.abc import Mapping

import numpy as np

from edgewise.tensors import Quantization
from edgewise_converters.quantize.ranges import quantization_of
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

ENDS = ("float", "int8", "uint8")
_FLOAT, _INT8, _UINT8 = np.dtype(np.float32), np.dtype(np.int8), np.dtype(np.uint8)
_DTYPES: dict[str, np.dtype[np.generic]] = {"float": _FLOAT, "int8": _INT8, "uint8": _UINT8}
_FROM_INT8_TO_UINT8 = 128
_KNOWN_RANGES = {"SOFTMAX": (0.0, 1.0), "LOGISTIC": (0.0, 1.0), "TANH": (-1.0, 1.0)}
"""What these give can be said without samples."""

Ranges = Mapping[str, tuple[float, float]]
"""Smallest and largest value seen of each input and output, by name."""


def with_ends(graph: Graph, ends: str, ranges: Ranges) -> Graph:
    """The twin of a graph whose real inputs and outputs are all of the type that ``ends`` names.

    Integers have one scale and zero point each: those the graph computes with where it computes in int8, otherwise
    those of the range that was seen. What is no real number (indices, classes) stays as it is. Raises KeyError for
    an end that is quantized nowhere and has no range.
    """
    twin = graph.copy()
    _Ends(twin, _DTYPES[ends], ranges).run()
    return twin


class _Ends:
    def __init__(self, graph: Graph, dtype: np.dtype[np.generic], ranges: Ranges) -> None:
        self.graph, self.dtype, self.ranges = graph, dtype, ranges
        self.first: list[Operator] = []
        self.last: list[Operator] = []

    def run(self) -> None:
        self.graph.inputs = [self._input(tensor) for tensor in self.graph.inputs]
        self.graph.operators = self.first + self.graph.operators
        outputs: list[Tensor] = []
        for tensor in self.graph.outputs:
            outputs.append(self._output(tensor, outputs))
        self.graph.operators += self.last
        self.graph.outputs = outputs
        self.graph.remove_unused()

    def _input(self, tensor: Tensor) -> Tensor:
        if tensor.dtype == self.dtype or not _is_real(tensor):
            return tensor
        if tensor.is_float:
            quantized = self._quantized_at_once(tensor)
            if quantized is not None:
                tensor = self._taken_out(tensor, quantized)
                return tensor if self.dtype == _INT8 else self._entry(tensor)
        return self._entry(tensor)

    def _quantized_at_once(self, tensor: Tensor) -> list[Operator] | None:
        """The QUANTIZE operators that are all that reads a float input, if they agree on int8."""
        readers = self.graph.consumers().get(id(tensor), [])
        alike = {o.output.quantization for o in readers if o.kind == "QUANTIZE" and o.output.dtype == _INT8}
        leaves = any(tensor is output for output in self.graph.outputs)
        if len(alike) != 1 or leaves or any(o.kind != "QUANTIZE" or o.output.dtype != _INT8 for o in readers):
            return None
        return readers

    def _taken_out(self, entry: Tensor, quantizers: list[Operator]) -> Tensor:
        """The int8 tensor that takes the place of a float input and of all that quantize it."""
        first = quantizers[0].output
        others = {id(o.output) for o in quantizers}
        gone = {id(o) for o in quantizers}
        self.graph.operators = [o for o in self.graph.operators if id(o) not in gone]
        for operator in self.graph.operators:
            operator.inputs = [first if t is not None and id(t) in others else t for t in operator.inputs]
        first.name = entry.name
        return first

    def _entry(self, tensor: Tensor) -> Tensor:
        """An input of the wanted type in front of what was the input."""
        entry = Tensor(tensor.name, tensor.shape, self.dtype, None, self._grid(tensor, tensor.name, None))
        tensor.name = f"{tensor.name}/inside"
        self.first.append(_conversion(entry, tensor))
        return entry

    def _output(self, tensor: Tensor, done: list[Tensor]) -> Tensor:
        if tensor.dtype == self.dtype or not _is_real(tensor):
            return tensor
        producer = self.graph.producers().get(id(tensor))
        source = tensor
        if producer is not None and producer.kind == "DEQUANTIZE" and producer.inputs[0] is not None:
            source = producer.inputs[0] if producer.inputs[0].dtype == _INT8 else tensor
        name = tensor.name
        tensor.name = f"{name}/inside"
        taken = any(source is end for end in (*self.graph.inputs, *done))
        if source.dtype == self.dtype and not taken and not source.is_constant:
            source.name = name
            return source
        output = Tensor(name, tensor.shape, self.dtype, None, self._grid(source, name, producer))
        self.last.append(_conversion(source, output))
        return output

    def _grid(self, inside: Tensor, name: str, producer: Operator | None) -> Quantization | None:
        """The quantization of an end: that of the int8 tensor inside it, else one for all it is known to hold."""
        if self.dtype == _FLOAT:
            return None
        quantization = inside.quantization if inside.dtype == _INT8 else None
        if quantization is None:
            known = _KNOWN_RANGES.get(producer.kind) if producer is not None else None
            quantization = quantization_of(*(known or self.ranges[name]))
        if self.dtype != _UINT8:
            return quantization
        return Quantization(quantization.scales, (quantization.zero_point + _FROM_INT8_TO_UINT8,))


def _is_real(tensor: Tensor) -> bool:
    return tensor.is_float or (tensor.quantization is not None and tensor.dtype in (_INT8, _UINT8))


def _conversion(source: Tensor, target: Tensor) -> Operator:
    return Operator("DEQUANTIZE" if target.is_float else "QUANTIZE", [source], [target])
