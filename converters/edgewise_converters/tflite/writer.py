"""A graph to the bytes of a .tflite file."""

import hashlib
from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.tflite.graph import BlockScales, Graph, Operator, Tensor
from edgewise_converters.tflite.nibbles import INT4, packed
from edgewise_converters.tflite.schema import TENSOR_TYPES, builtin_code, options_table, schema
from edgewise_converters.tflite.versions import operator_version

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
# schema.fbs declares Buffer.data with force_align 16; kernels load weights with aligned vector instructions.
_BUFFER_ALIGNMENT = 16
_PLACEHOLDER_CODE = 127
"""What deprecated_builtin_code says for operators numbered above it (schema.fbs, OperatorCode)."""


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
        self.builder = flatbuffers.Builder(weights + 1024 * (len(every) + operators + 64))
        self.index = {id(tensor): i for tensors in self.tensors for i, tensor in enumerate(tensors)}
        self.vectors: dict[tuple[type, bytes], int] = {}
        self.buffers: list[int] = [self._buffer(None)]
        self.written: dict[bytes, int] = {}

    def model(self, description: str, metadata: Mapping[str, bytes]) -> bytes:
        b = self.builder
        tensors = [self._tables([self._tensor(tensor) for tensor in each]) for each in self.tensors]
        codes, operators = self._operators()
        subgraphs = self._tables(
            [self._subgraph(*parts) for parts in zip(self.graphs, tensors, operators, strict=True)]
        )
        signatures = self._tables([self._signature()])
        entries = self._tables([self._metadata(name, data) for name, data in metadata.items()])
        buffers = self._tables(self.buffers)
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

    def _tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _numbers(self, values: Sequence[int] | Sequence[float], dtype: type) -> int:
        """A vector; equal ones are written once (zero points per channel would otherwise be a tenth of a file)."""
        array: Array = np.asarray(values, dtype)
        key = (dtype, array.tobytes())
        if key not in self.vectors:
            self.vectors[key] = int(self.builder.CreateNumpyVector(array))
        return self.vectors[key]

    def _buffer(self, data: Array | None) -> int:
        b = self.builder
        vector = None
        if data is not None:
            raw = data.reshape(-1).view(np.uint8)
            b.StartVector(1, raw.size, _BUFFER_ALIGNMENT)
            b.head -= raw.size
            b.Bytes[b.head : b.head + raw.size] = raw.data
            vector = b.EndVector()
        schema.BufferStart(b)
        if vector is not None:
            schema.BufferAddData(b, vector)
        return int(schema.BufferEnd(b))

    def _add_buffer(self, data: Array) -> int:
        """The index of a buffer; equal ones are written once (the weights of a recurrent step are in every step)."""
        key = hashlib.blake2b(data.reshape(-1).view(np.uint8).data, digest_size=16).digest()
        if key not in self.written:
            self.buffers.append(self._buffer(data))
            self.written[key] = len(self.buffers) - 1
        return self.written[key]

    def _quantization(self, quantization: Quantization) -> int:
        b = self.builder
        scales = self._numbers(quantization.scales, np.float32)
        zero_points = self._numbers(quantization.zero_points, np.int64)
        schema.QuantizationParametersStart(b)
        schema.QuantizationParametersAddScale(b, scales)
        schema.QuantizationParametersAddZeroPoint(b, zero_points)
        schema.QuantizationParametersAddQuantizedDimension(b, quantization.axis)
        return int(schema.QuantizationParametersEnd(b))

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
            buffer = self._add_buffer(packed(tensor.data) if tensor.dtype == INT4 else tensor.data)
        if self.consume:
            tensor.data = None
        name = b.CreateString(tensor.name)
        shape = self._numbers(tensor.shape, np.int32)
        signature = [-1 if axis == tensor.open_axis else dim for axis, dim in enumerate(tensor.shape)]
        open_shape = None if tensor.open_axis is None else self._numbers(signature, np.int32)
        quantization = self._scales(tensor)
        schema.TensorStart(b)
        schema.TensorAddShape(b, shape)
        if open_shape is not None:
            schema.TensorAddShapeSignature(b, open_shape)
        schema.TensorAddType(b, TENSOR_TYPES[tensor.dtype])
        schema.TensorAddBuffer(b, buffer)
        schema.TensorAddName(b, name)
        if quantization is not None:
            schema.TensorAddQuantization(b, quantization)
        schema.TensorAddHasRank(b, True)
        return int(schema.TensorEnd(b))

    def _operators(self) -> tuple[int, list[int]]:
        """The table of operator codes, and the operators of each graph."""
        needed = [
            [(o.kind, version) for o, version in zip(each.operators, versions, strict=True)]
            for each, versions in zip(self.graphs, self.versions, strict=True)
        ]
        keys = list(dict.fromkeys(key for keys in needed for key in keys))
        index = {key: i for i, key in enumerate(keys)}
        codes = self._tables([self._operator_code(kind, version) for kind, version in keys])
        operators = [
            self._tables([self._operator(o, index[key]) for o, key in zip(each.operators, used, strict=True)])
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
        inputs = self._numbers([-1 if t is None else self.index[id(t)] for t in operator.inputs], np.int32)
        outputs = self._numbers([self.index[id(t)] for t in operator.outputs], np.int32)
        fields = {
            name: self.numbers[id(value)] if isinstance(value, Graph) else value
            for name, value in operator.options.items()
        }
        options = options_table(operator.kind, fields)
        table = options[1].Pack(b) if options else None
        schema.OperatorStart(b)
        schema.OperatorAddOpcodeIndex(b, code)
        schema.OperatorAddInputs(b, inputs)
        schema.OperatorAddOutputs(b, outputs)
        if options:
            schema.OperatorAddBuiltinOptionsType(b, options[0])
            schema.OperatorAddBuiltinOptions(b, table)
        return int(schema.OperatorEnd(b))

    def _subgraph(self, graph: Graph, tensors: int, operators: int) -> int:
        b = self.builder
        inputs = self._numbers([self.index[id(t)] for t in graph.inputs], np.int32)
        outputs = self._numbers([self.index[id(t)] for t in graph.outputs], np.int32)
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
        inputs = self._tables([self._tensor_map(tensor) for tensor in self.graph.inputs])
        outputs = self._tables([self._tensor_map(tensor) for tensor in self.graph.outputs])
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
        buffer = self._add_buffer(np.frombuffer(data, np.uint8))
        text = b.CreateString(name)
        schema.MetadataStart(b)
        schema.MetadataAddName(b, text)
        schema.MetadataAddBuffer(b, buffer)
        return int(schema.MetadataEnd(b))
