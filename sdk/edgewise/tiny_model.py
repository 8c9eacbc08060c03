"""A real model of one matrix product, built in memory: to probe a runtime, and to test without downloads.

It tells which of its colour channels is strongest in a picture: score ``c`` is 8 times the mean of channel
``c % 3``, with pixels from 0 to 1. Slots and numbers are those of tensorflow/lite/schema/schema.fbs and
onnx/onnx.proto.
"""

import numpy as np

from edgewise.flatbuffer_writer import Writer
from edgewise.protobuf_wire import bytes_field, varint_field
from edgewise.tensors import Array, FloatArray, Quantization
from edgewise.tflite_metadata import BUFFER_NAME

INPUT, OUTPUT = "image", "scores"
GAIN = 8.0

_FULLY_CONNECTED, _FULLY_CONNECTED_OPTIONS = 9, 8
_FLOAT32, _INT32, _UINT8, _INT8 = 0, 2, 3, 9
"""enum BuiltinOperator, union BuiltinOptions, enum TensorType"""
_WEIGHTS_ALIGNMENT = 16
"""schema.fbs: Buffer.data is force_align: 16."""

INPUT_QUANTIZATION = {
    "int8": Quantization((1 / 255,), (-128,)),
    "uint8": Quantization((1 / 255,), (0,)),
}
OUTPUT_QUANTIZATION = {
    "int8": Quantization((GAIN / 255,), (-128,)),
    "uint8": Quantization((GAIN / 255,), (0,)),
}


def tflite_model(
    size_wh: tuple[int, int],
    classes: int,
    *,
    dtype: str = "float32",
    metadata: bytes = b"",
    constants: tuple[FloatArray, FloatArray] | None = None,
) -> bytes:
    """A .tflite flatbuffer: input (1, height, width, 3), output (1, classes), both ``dtype``.

    ``dtype`` is float32, int8 or uint8; ``metadata`` becomes its TFLITE_METADATA buffer. ``constants`` are
    other weights (classes, height * width * 3) and bias (classes), of a float32 model.
    """
    width, height = size_wh
    weights = constants[0] if constants else _weights_by_pixel(size_wh, classes).reshape(classes, -1)
    filled = [array.tobytes() for array in constants] if constants else _constants(weights, dtype)
    blobs = [b"", *filled, metadata]
    writer = Writer()
    tensors = _tensors(writer, (1, height, width, 3), weights, dtype)
    options = writer.table(4)
    operator = {1: writer.ints([0, 1, 2]), 2: writer.ints([3]), 4: options}
    operators = writer.tables([writer.table(9, operator, bytes_={3: _FULLY_CONNECTED_OPTIONS})])
    ends = {1: writer.ints([0]), 2: writer.ints([3])}
    subgraph = writer.table(5, {0: writer.tables(tensors), **ends, 3: operators})
    # FULLY_CONNECTED takes signed weights with float since version 1 and with int8 since version 4.
    version = 4 if dtype == "int8" else 1
    code = writer.table(4, words={2: version, 3: _FULLY_CONNECTED}, bytes_={0: _FULLY_CONNECTED})
    buffers = [_buffer(writer, blob) for blob in blobs]
    model = {1: writer.tables([code]), 2: writer.tables([subgraph]), 4: writer.tables(buffers)}
    if metadata:
        entry = writer.table(2, {0: writer.text(BUFFER_NAME)}, words={1: len(blobs) - 1})
        model[6] = writer.tables([entry])
    return writer.finish(writer.table(8, model, words={0: 3}), b"TFL3")


def detector_constants(size_wh: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Weights and bias of a network that answers with one box: the middle, its score the mean of green."""
    width, height = size_wh
    weights = np.zeros((6, height, width, 3), np.float32)
    weights[4, :, :, 1] = 1 / (width * height)
    bias = np.array([width / 4, height / 4, width * 3 / 4, height * 3 / 4, 0, 0], np.float32)
    return weights.reshape(6, -1), bias


def _weights_by_pixel(size_wh: tuple[int, int], classes: int) -> FloatArray:
    """(classes, height, width, 3), float32."""
    width, height = size_wh
    weights = np.zeros((classes, height, width, 3), np.float32)
    for index in range(classes):
        weights[index, :, :, index % 3] = GAIN / (width * height)
    return weights


def _weights_quantization(weights: FloatArray, dtype: str) -> Quantization | None:
    if dtype == "float32":
        return None
    return Quantization((float(weights.max()) / 127,), (0 if dtype == "int8" else 128,))


def _constants(weights: FloatArray, dtype: str) -> list[bytes]:
    """The weights and the bias as the file holds them."""
    quantization = _weights_quantization(weights, dtype)
    classes = weights.shape[0]
    if quantization is None:
        return [weights.tobytes(), np.zeros(classes, np.float32).tobytes()]
    return [quantization.quantize(weights, dtype).tobytes(), np.zeros(classes, np.int32).tobytes()]


def _tensors(writer: Writer, shape: tuple[int, ...], weights: FloatArray, dtype: str) -> list[int]:
    code = {"float32": _FLOAT32, "int8": _INT8, "uint8": _UINT8}[dtype]
    bias_code = _FLOAT32 if dtype == "float32" else _INT32
    weights_quantization = _weights_quantization(weights, dtype)
    bias_quantization = None
    if weights_quantization:
        product = INPUT_QUANTIZATION[dtype].scale * weights_quantization.scale
        bias_quantization = Quantization((product,), (0,))
    classes = weights.shape[0]
    return [
        _tensor(writer, INPUT, shape, code, 0, INPUT_QUANTIZATION.get(dtype)),
        _tensor(writer, "weights", weights.shape, code, 1, weights_quantization),
        _tensor(writer, "bias", (classes,), bias_code, 2, bias_quantization),
        _tensor(writer, OUTPUT, (1, classes), code, 0, OUTPUT_QUANTIZATION.get(dtype)),
    ]


def _tensor(
    writer: Writer,
    name: str,
    shape: tuple[int, ...],
    code: int,
    buffer: int,
    quantization: Quantization | None,
) -> int:
    slots = {0: writer.ints(shape), 3: writer.text(name)}
    if quantization:
        scales, zero_points = (
            writer.floats(quantization.scales),
            writer.ints(quantization.zero_points, bits=64),
        )
        slots[4] = writer.table(7, {2: scales, 3: zero_points})
    return writer.table(8, slots, words={2: buffer}, bytes_={1: code})


def _buffer(writer: Writer, blob: bytes) -> int:
    return writer.table(3, {0: writer.raw(blob, alignment=_WEIGHTS_ALIGNMENT)} if blob else {})


def onnx_model(size_wh: tuple[int, int], classes: int) -> bytes:
    """The same as a float32 .onnx file: input (1, 3, height, width), output (1, classes)."""
    width, height = size_wh
    weights = _weights_by_pixel(size_wh, classes).transpose(0, 3, 1, 2).reshape(classes, -1)
    graph = b"".join(
        (
            bytes_field(1, _node("Reshape", [INPUT, "reshape"], "row")),
            bytes_field(1, _node("MatMul", ["row", "weights"], OUTPUT)),
            bytes_field(2, "tiny"),
            bytes_field(5, _initializer("reshape", np.array([1, -1], np.int64), 7)),
            bytes_field(5, _initializer("weights", np.ascontiguousarray(weights.T), 1)),
            bytes_field(11, _value_info(INPUT, (1, 3, height, width))),
            bytes_field(12, _value_info(OUTPUT, (1, classes))),
        )
    )
    # IR version 8 and opset 13 are read by every onnxruntime for Python 3.11 and later.
    return varint_field(1, 8) + bytes_field(7, graph) + bytes_field(8, varint_field(2, 13))


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    names = b"".join(bytes_field(1, name) for name in inputs)
    return names + bytes_field(2, output) + bytes_field(3, output) + bytes_field(4, operator)


def _initializer(name: str, array: Array, data_type: int) -> bytes:
    sizes = b"".join(varint_field(1, size) for size in array.shape)
    return sizes + varint_field(2, data_type) + bytes_field(8, name) + bytes_field(9, array.tobytes())


def _value_info(name: str, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(bytes_field(1, varint_field(1, size)) for size in shape)
    tensor = varint_field(1, 1) + bytes_field(2, dimensions)
    return bytes_field(1, name) + bytes_field(2, bytes_field(1, tensor))
