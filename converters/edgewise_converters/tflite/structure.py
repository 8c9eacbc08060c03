"""The main subgraph of a .tflite file without its weights: which operators there are, and between which tensors."""

from typing import Any

import numpy as np

from edgewise.tensors import Quantization
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.schema import TENSOR_TYPES, builtin_name, schema

_DTYPES = {number: dtype for dtype, number in TENSOR_TYPES.items()}
_UNKNOWN = np.dtype(np.void)
_ABSENT = np.empty(0)
"""Stands for the weights of a constant."""


def structure_of(data: bytes | memoryview) -> tuple[Graph, dict[int, int]]:
    """The graph of a sound file, constants empty, and by id of tensor its index in the file.

    Options are left out. Unlike `reader.read_graph` it refuses nothing.
    """
    model: Any = schema.Model.GetRootAs(data, 0)
    subgraph: Any = model.Subgraphs(0)
    tensors = [_tensor(model, subgraph.Tensors(i), i) for i in range(subgraph.TensorsLength())]
    operators = [_operator(model, subgraph.Operators(i), tensors) for i in range(subgraph.OperatorsLength())]
    inputs = [tensors[int(i)] for i in np.atleast_1d(subgraph.InputsAsNumpy())]
    outputs = [tensors[int(i)] for i in np.atleast_1d(subgraph.OutputsAsNumpy())]
    name = (subgraph.Name() or b"main").decode("utf-8", "replace")
    indices = {id(tensor): index for index, tensor in enumerate(tensors)}
    return Graph(name, inputs, outputs, operators), indices


def _tensor(model: Any, stored: Any, index: int) -> Tensor:
    buffer = model.Buffers(stored.Buffer())
    constant = buffer.DataLength() > 0 or buffer.Offset() > 1
    name = (stored.Name() or b"").decode("utf-8", "replace") or f"tensor_{index}"
    shape = tuple(int(size) for size in np.atleast_1d(stored.ShapeAsNumpy())) if stored.ShapeLength() else ()
    dtype = _DTYPES.get(stored.Type(), _UNKNOWN)
    return Tensor(name, shape, dtype, _ABSENT if constant else None, _quantization(stored.Quantization()))


def _quantization(stored: Any) -> Quantization | None:
    if stored is None or not stored.ScaleLength():
        return None
    scales = tuple(float(scale) for scale in stored.ScaleAsNumpy())
    if not all(0 < scale < float("inf") for scale in scales):
        return None
    points = tuple(int(p) for p in stored.ZeroPointAsNumpy()) if stored.ZeroPointLength() else (0,)
    return Quantization(scales, points if len(points) == len(scales) else points[:1] * len(scales))


def _operator(model: Any, stored: Any, tensors: list[Tensor]) -> Operator:
    code = model.OperatorCodes(stored.OpcodeIndex())
    kind = builtin_name(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
    inputs = [None if i < 0 else tensors[int(i)] for i in _indices(stored.InputsAsNumpy())]
    outputs = [tensors[int(i)] for i in _indices(stored.OutputsAsNumpy())]
    return Operator(kind, inputs, outputs)


def _indices(numbers: Any) -> list[int]:
    return [] if isinstance(numbers, int) else [int(number) for number in numbers]
