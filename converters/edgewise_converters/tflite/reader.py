"""The bytes of a .tflite file to a graph: its main subgraph, as it stands.

Weights are not copied: constants are views of the bytes. What the graph cannot hold is refused by name.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.errors import SourceError, UnsupportedOperator
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor
from edgewise_converters.tflite.schema import TENSOR_TYPES, builtin_name, options_table, schema
from edgewise_converters.tflite.sparsity import densified

_DTYPES = {number: dtype for dtype, number in TENSOR_TYPES.items()}
_TYPE_NAMES = {number: name for name, number in vars(schema.TensorType).items() if not name.startswith("_")}
_OPTION_TABLES = {
    number: name for name, number in vars(schema.BuiltinOptions).items() if not name.startswith("_")
}
_CONTROL_FLOW = (
    "control flow, whose course depends on the data, is not converted from TFLite; from ONNX it may be"
)
_STATEFUL = "it keeps its state between calls; export the model with the state as an input and an output"
_REFUSED = {
    **dict.fromkeys(("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_CASE", "STABLEHLO_WHILE"), _CONTROL_FLOW),
    **dict.fromkeys(("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "SVDF", "RNN", "LSTM"), _STATEFUL),
    **dict.fromkeys(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"), "its answer is random"),
    **dict.fromkeys(("WHERE", "UNIQUE"), "the shape of its output depends on the data"),
}
"""Operators that are read and not converted, and why."""
FORGETTING = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM"})
"""Operators that are read without the state that they keep: `readers.fused_lstm` has them begin with zeros."""


def read_graph(data: bytes | memoryview, shapes: Mapping[int, tuple[int, ...]]) -> Graph:
    """The main subgraph of a model whose structure was checked; ``shapes`` are those of its tensors, by index.

    Raises SourceError for tensors and UnsupportedOperator for operators that a graph cannot hold.
    """
    return _Reader(data, shapes).graph()


class _Reader:
    def __init__(self, data: bytes | memoryview, shapes: Mapping[int, tuple[int, ...]]) -> None:
        self.data = memoryview(data)
        self.model: Any = schema.Model.GetRootAs(data, 0)
        self.subgraph: Any = self.model.Subgraphs(0)
        self.shapes = shapes
        self.variables: set[int] = set()
        """Indices of tensors that keep their value between calls."""
        self.tensors = [self._tensor(index) for index in range(self.subgraph.TensorsLength())]

    def graph(self) -> Graph:
        """Everything in order."""
        subgraph = self.subgraph
        inputs = [self.tensors[index] for index in _indices(subgraph.InputsAsNumpy())]
        outputs = [self.tensors[index] for index in _indices(subgraph.OutputsAsNumpy())]
        operators = [self._operator(i) for i in range(subgraph.OperatorsLength())]
        name = subgraph.Name() or b"main"
        return Graph(name.decode("utf-8", "replace"), inputs, outputs, operators)

    def _tensor(self, index: int) -> Tensor:
        stored = self.subgraph.Tensors(index)
        name = (stored.Name() or b"").decode("utf-8", "replace") or f"tensor_{index}"
        if stored.IsVariable():
            self.variables.add(index)
        if stored.Type() not in _DTYPES:
            kind = _TYPE_NAMES.get(stored.Type(), stored.Type())
            raise SourceError(f"tensor '{name}' is of type {kind}, which is not among those converted")
        dtype = _DTYPES[stored.Type()]
        declared = tuple(int(dim) for dim in _indices(stored.ShapeAsNumpy()))
        array = self._constant(stored, dtype, declared, name)
        shape = declared if array is not None else self.shapes.get(index, declared)
        return Tensor(name, shape, dtype, array, _quantization(stored.Quantization()))

    def _constant(
        self, stored: Any, dtype: np.dtype[np.generic], shape: tuple[int, ...], name: str
    ) -> Array | None:
        buffer = self.model.Buffers(stored.Buffer())
        raw: Any = buffer.DataAsNumpy()
        if isinstance(raw, int):  # absent
            start, size = buffer.Offset(), buffer.Size()
            raw = np.frombuffer(self.data[start : start + size], np.uint8) if start > 1 else b""
        if not len(raw):
            return None
        if stored.Sparsity() is not None:
            return densified(stored.Sparsity(), np.frombuffer(raw, dtype), shape)
        wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if len(raw) != wanted:
            raise SourceError(f"tensor '{name}' {shape}: got {len(raw)} bytes, expected {wanted}")
        return np.frombuffer(raw, dtype).reshape(shape)

    def _operator(self, index: int) -> Operator:
        stored = self.subgraph.Operators(index)
        numbers = _indices(stored.InputsAsNumpy())
        inputs = [None if i < 0 or i in self.variables else self.tensors[i] for i in numbers]
        outputs = [self.tensors[i] for i in _indices(stored.OutputsAsNumpy())]
        code = self.model.OperatorCodes(stored.OpcodeIndex())
        kind = builtin_name(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        where = outputs[0].name if outputs else f"operator {index}"
        if kind == "CUSTOM" or kind.startswith("UNKNOWN"):
            custom = (code.CustomCode() or kind.encode()).decode("utf-8", "replace")
            raise UnsupportedOperator(custom, where, "it is no TFLite builtin")
        if kind not in FORGETTING and not self.variables.isdisjoint(numbers):
            raise UnsupportedOperator(kind, where, _STATEFUL)
        if kind in _REFUSED:
            raise UnsupportedOperator(kind, where, _REFUSED[kind])
        try:
            return Operator(kind, inputs, outputs, _options(stored, kind))
        except AttributeError as error:
            raise UnsupportedOperator(kind, where, f"its options are unknown here ({error})") from error


def _indices(numbers: Any) -> list[int]:
    """A vector of integers; flatbuffers gives 0 for an absent one."""
    return [] if isinstance(numbers, int) else [int(number) for number in numbers]


def _quantization(stored: Any) -> Quantization | None:
    if stored is None or not stored.ScaleLength():
        return None
    scales = tuple(float(scale) for scale in stored.ScaleAsNumpy())
    zero_points = tuple(_indices(stored.ZeroPointAsNumpy())) or (0,) * len(scales)
    if len(zero_points) == 1:
        zero_points *= len(scales)
    try:
        return Quantization(scales, zero_points, stored.QuantizedDimension())
    except ValueError:
        return None  # scales of zero are written for what is not quantized


def _options(stored: Any, kind: str) -> dict[str, Option]:
    """The fields of an operator's options that are numbers or rows of them."""
    name = _OPTION_TABLES.get(stored.BuiltinOptionsType(), "NONE")
    table = stored.BuiltinOptions()
    expected = options_table(kind, {})
    if name == "NONE" or table is None or expected is None:
        return {}
    if expected[0] != stored.BuiltinOptionsType():
        raise AttributeError(f"got {name}")
    reader = getattr(schema, name)()
    reader.Init(table.Bytes, table.Pos)
    fields = vars(getattr(schema, name + "T").InitFromObj(reader))
    return {key: _option(value) for key, value in fields.items() if value is not None}


def _option(value: Any) -> Option:
    if isinstance(value, bool | int | float):
        return value
    return tuple(int(number) for number in value)
