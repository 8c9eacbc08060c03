"""A graph to the bytes of a .tflite file."""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np

from edgewise.tensors import Quantization
from edgewise_converters.tflite.graph import BlockScales, Graph, Operator, Tensor
from edgewise_converters.tflite.nibbles import INT4, packed
from edgewise_converters.tflite.schema import TENSOR_TYPES, builtin_code, options_table, schema
from edgewise_converters.tflite.tables import Tables
from edgewise_converters.tflite.versions import operator_version

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_PLACEHOLDER_CODE = 127
"""What deprecated_builtin_code says for operators numbered above it (schema.fbs, OperatorCode)."""


class _Tensor(IntEnum):
    """Slots of schema.fbs's Tensor."""

    SHAPE, TYPE, BUFFER, NAME, QUANTIZATION = 0, 1, 2, 3, 4
    OPEN, HAS_RANK = 7, 8


class _Grid(IntEnum):
    """Slots of its QuantizationParameters."""

    SCALE, ZERO_POINT, AXIS = 2, 3, 6


class _Operator(IntEnum):
    """Slots of its Operator."""

    CODE, INPUTS, OUTPUTS, OPTIONS_TYPE, OPTIONS = 0, 1, 2, 3, 4


def serialize(
    graph: Graph,
    *,
    description: str,
    metadata: Mapping[str, bytes],
    consume: bool = False,
    signature: Mapping[str, str] | None = None,
) -> bytes:
    """The flatbuffer of ``graph``; ``metadata`` are named buffers of the model (TFLITE_METADATA and the like).

    The same graph gives the same bytes. With ``consume`` the graph loses each constant once it is written, so that
    large weights are held twice at most; it must not be used afterwards. ``signature`` are names of inputs and outputs
    in the file's signature, by tensor, where they are not the tensor's. Raises KeyError for a dtype that TFLite does
    not have.
    """
    return _Writer(graph, consume=consume, signature=signature or {}).model(description, metadata)


class _Writer:
    def __init__(self, graph: Graph, *, consume: bool, signature: Mapping[str, str]) -> None:
        self.graph, self.consume, self.signature = graph, consume, signature
        self.graphs = graph.all_graphs()
        self.numbers = {id(each): number for number, each in enumerate(self.graphs)}
        self.versions = [[operator_version(operator) for operator in each.operators] for each in self.graphs]
        self.tensors = [each.tensors() for each in self.graphs]
        every = [tensor for tensors in self.tensors for tensor in tensors]
        weights = sum(t.data.nbytes for t in every if t.data is not None)
        operators = sum(len(each.operators) for each in self.graphs)
        # Sized once: growing would copy all weights, and hold them twice.
        self.builder = Tables(weights + 1024 * (len(every) + operators + 64))
        self.index = {id(tensor): i for tensors in self.tensors for i, tensor in enumerate(tensors)}

    def model(self, description: str, metadata: Mapping[str, bytes]) -> bytes:
        b = self.builder
        tensors = [self.builder.tables([self._tensor(tensor) for tensor in each]) for each in self.tensors]
        codes, operators = self._operators()
        subgraphs = self.builder.tables(
            [self._subgraph(*parts) for parts in zip(self.graphs, tensors, operators, strict=True)]
        )
        signatures = self.builder.tables([self._signature()])
        entries = self.builder.tables([self._metadata(name, data) for name, data in metadata.items()])
        buffers = self.builder.tables(self.builder.buffers)
        text = b.CreateString(description)
        schema.ModelStart(b)
        schema.ModelAddVersion(b, _SCHEMA_VERSION)
        schema.ModelAddOperatorCodes(b, codes)
        schema.ModelAddSubgraphs(b, subgraphs)
        schema.ModelAddDescription(b, text)
        schema.ModelAddBuffers(b, buffers)
        schema.ModelAddMetadata(b, entries)
        schema.ModelAddSignatureDefs(b, signatures)
        b.Finish(schema.ModelEnd(b), _IDENTIFIER)
        return bytes(memoryview(b.Bytes)[b.Head() :])

    def _quantization(self, quantization: Quantization) -> int:
        scales = self.builder.numbers(quantization.scales, np.float32)
        zero_points = self.builder.numbers(quantization.zero_points, np.int64)
        return self.builder.table(
            {_Grid.SCALE: scales, _Grid.ZERO_POINT: zero_points}, {_Grid.AXIS: quantization.axis}
        )

    def _block_quantization(self, blocks: BlockScales) -> int:
        b = self.builder
        schema.BlockwiseQuantizationStart(b)
        schema.BlockwiseQuantizationAddScales(b, self.index[id(blocks.scales)])
        schema.BlockwiseQuantizationAddZeroPoints(b, -1)
        schema.BlockwiseQuantizationAddBlockSize(b, blocks.size)
        details = int(schema.BlockwiseQuantizationEnd(b))
        schema.QuantizationParametersStart(b)
        schema.QuantizationParametersAddDetailsType(b, schema.QuantizationDetails.BlockwiseQuantization)
        schema.QuantizationParametersAddDetails(b, details)
        return int(schema.QuantizationParametersEnd(b))

    def _scales(self, tensor: Tensor) -> int | None:
        if tensor.blocks is not None:
            return self._block_quantization(tensor.blocks)
        return self._quantization(tensor.quantization) if tensor.quantization else None

    def _tensor(self, tensor: Tensor) -> int:
        b = self.builder
        buffer = 0
        if tensor.data is not None:
            buffer = self.builder.buffer(packed(tensor.data) if tensor.dtype == INT4 else tensor.data)
        if self.consume:
            tensor.data = None
        name = b.CreateString(tensor.name)
        shape = self.builder.numbers(tensor.shape, np.int32)
        signature = [-1 if axis == tensor.open_axis else dim for axis, dim in enumerate(tensor.shape)]
        open_shape = None if tensor.open_axis is None else self.builder.numbers(signature, np.int32)
        quantization = self._scales(tensor)
        return b.table(
            {
                _Tensor.SHAPE: shape,
                _Tensor.NAME: name,
                _Tensor.QUANTIZATION: quantization,
                _Tensor.OPEN: open_shape,
            },
            {_Tensor.TYPE: TENSOR_TYPES[tensor.dtype], _Tensor.BUFFER: buffer, _Tensor.HAS_RANK: 1},
        )

    def _operators(self) -> tuple[int, list[int]]:
        """The table of operator codes, and the operators of each graph."""
        needed = [
            [(o.kind, version) for o, version in zip(each.operators, versions, strict=True)]
            for each, versions in zip(self.graphs, self.versions, strict=True)
        ]
        keys = list(dict.fromkeys(key for keys in needed for key in keys))
        index = {key: i for i, key in enumerate(keys)}
        codes = self.builder.tables([self._operator_code(kind, version) for kind, version in keys])
        operators = [
            self.builder.tables(
                [self._operator(o, index[key]) for o, key in zip(each.operators, used, strict=True)]
            )
            for each, used in zip(self.graphs, needed, strict=True)
        ]
        return codes, operators

    def _operator_code(self, kind: str, version: int) -> int:
        b = self.builder
        schema.OperatorCodeStart(b)
        schema.OperatorCodeAddDeprecatedBuiltinCode(b, min(builtin_code(kind), _PLACEHOLDER_CODE))
        schema.OperatorCodeAddVersion(b, version)
        schema.OperatorCodeAddBuiltinCode(b, builtin_code(kind))
        return int(schema.OperatorCodeEnd(b))

    def _operator(self, operator: Operator, code: int) -> int:
        b = self.builder
        inputs = self.builder.numbers(
            [-1 if t is None else self.index[id(t)] for t in operator.inputs], np.int32
        )
        outputs = self.builder.numbers([self.index[id(t)] for t in operator.outputs], np.int32)
        fields = {
            name: self.numbers[id(value)] if isinstance(value, Graph) else value
            for name, value in operator.options.items()
        }
        options = options_table(operator.kind, fields)
        table = options[1].Pack(b) if options else None
        return b.table(
            {_Operator.INPUTS: inputs, _Operator.OUTPUTS: outputs, _Operator.OPTIONS: table},
            {_Operator.CODE: code, _Operator.OPTIONS_TYPE: options[0] if options else 0},
        )

    def _subgraph(self, graph: Graph, tensors: int, operators: int) -> int:
        b = self.builder
        inputs = self.builder.numbers([self.index[id(t)] for t in graph.inputs], np.int32)
        outputs = self.builder.numbers([self.index[id(t)] for t in graph.outputs], np.int32)
        name = b.CreateString("main" if graph is self.graph else graph.name)
        schema.SubGraphStart(b)
        schema.SubGraphAddTensors(b, tensors)
        schema.SubGraphAddInputs(b, inputs)
        schema.SubGraphAddOutputs(b, outputs)
        schema.SubGraphAddOperators(b, operators)
        schema.SubGraphAddName(b, name)
        return int(schema.SubGraphEnd(b))

    def _signature(self) -> int:
        b = self.builder
        inputs = self.builder.tables([self._tensor_map(tensor) for tensor in self.graph.inputs])
        outputs = self.builder.tables([self._tensor_map(tensor) for tensor in self.graph.outputs])
        key = b.CreateString("serving_default")
        schema.SignatureDefStart(b)
        schema.SignatureDefAddInputs(b, inputs)
        schema.SignatureDefAddOutputs(b, outputs)
        schema.SignatureDefAddSignatureKey(b, key)
        return int(schema.SignatureDefEnd(b))

    def _tensor_map(self, tensor: Tensor) -> int:
        b = self.builder
        name = b.CreateString(self.signature.get(tensor.name, tensor.name))
        schema.TensorMapStart(b)
        schema.TensorMapAddName(b, name)
        schema.TensorMapAddTensorIndex(b, self.index[id(tensor)])
        return int(schema.TensorMapEnd(b))

    def _metadata(self, name: str, data: bytes) -> int:
        b = self.builder
        buffer = self.builder.buffer(np.frombuffer(data, np.uint8))
        text = b.CreateString(name)
        schema.MetadataStart(b)
        schema.MetadataAddName(b, text)
        schema.MetadataAddBuffer(b, buffer)
        return int(schema.MetadataEnd(b))
