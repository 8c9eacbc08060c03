"""The written flatbuffer, read back with the schema's own reader and in the runtimes."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from converters.onnx_cases import RUNTIMES, case, check, lowered, model_of, network_of

from edgewise.backends import open_backend
from edgewise.tensors import Array, Quantization
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.schema import operator_kinds
from edgewise_converters.tflite.versions import operator_version
from edgewise_converters.tflite.writer import serialize

NET = case("a = Conv(x, w, b) c = Relu(a) d = GlobalAveragePool(c) e = Flatten(d) y = Gemm(e, v)",
           x=(1, 3, 9, 7), w=(5, 3, 3, 3), b=(5,), v=(5, 4))  # fmt: skip
ALIGNMENT = 16


def buffers(network: bytes) -> list[tuple[int, int]]:
    """(offset in the file, length) of every buffer that holds something."""
    model = schema.Model.GetRootAs(network, 0)
    found = []
    for i in range(model.BuffersLength()):
        table = model.Buffers(i)._tab
        field = table.Offset(4)
        if field:
            found.append((table.Vector(field), table.VectorLen(field)))
    return found


def test_every_buffer_is_aligned() -> None:
    network = serialize(
        lowered(model_of(NET)).graph, description="", metadata={"odd": b"abc", "more": b"x" * 33}
    )
    offsets = buffers(network)
    assert len(offsets) >= 6
    assert all(offset % ALIGNMENT == 0 for offset, _ in offsets)


def test_same_model_gives_the_same_bytes() -> None:
    assert network_of(lowered(model_of(NET))) == network_of(lowered(model_of(NET)))


def test_metadata_is_there_under_its_name() -> None:
    network = serialize(
        lowered(model_of(NET)).graph, description="about it", metadata={"TFLITE_METADATA": b"payload"}
    )
    model = schema.Model.GetRootAs(network, 0)
    entry = model.Metadata(0)
    assert entry.Name() == b"TFLITE_METADATA"
    assert model.Buffers(entry.Buffer()).DataAsNumpy().tobytes() == b"payload"
    assert model.Description() == b"about it"


def test_signature_names_inputs_and_outputs_as_onnx_does() -> None:
    network = network_of(lowered(model_of(case("y = Add(x, x2) y2 = Relu(x)", x=(2, 3), x2=(3,)))))
    signature = schema.Model.GetRootAs(network, 0).SignatureDefs(0)
    assert signature.SignatureKey() == b"serving_default"
    assert [signature.Inputs(i).Name() for i in range(signature.InputsLength())] == [b"x", b"x2"]
    assert [signature.Outputs(i).Name() for i in range(signature.OutputsLength())] == [b"y", b"y2"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tensors_keep_their_onnx_names_in_the_runtime(runtime: str) -> None:
    backend = open_backend(network_of(lowered(model_of(NET))), "tflite", name=runtime)
    assert [spec.name for spec in backend.inputs()] == ["x"]
    assert [spec.name for spec in backend.outputs()] == ["y"]
    backend.close()


def test_operators_are_builtins_and_listed_once_each() -> None:
    network = network_of(check(NET))
    model = schema.Model.GetRootAs(network, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    assert len({(code.BuiltinCode(), code.Version()) for code in codes}) == len(codes)
    assert operator_kinds(network) == ["CONV_2D", "MEAN", "RESHAPE", "FULLY_CONNECTED"]


def test_operator_numbered_above_127_is_written_with_its_placeholder() -> None:
    network = network_of(check(case("y = Gelu(x)", x=(2, 3), opset=20)))
    code = schema.Model.GetRootAs(network, 0).OperatorCodes(0)
    assert code.BuiltinCode() == schema.BuiltinOperator.GELU
    assert code.DeprecatedBuiltinCode() == 127


@pytest.mark.parametrize(
    "data",
    [np.zeros((0,), np.int32), np.array(3, np.int64), np.array([True, False]), np.ones((3, 1), np.float16)],
    ids=lambda data: f"{data.dtype}{data.shape}",
)
def test_constants_of_every_kind_come_back(data: Array) -> None:
    graph = Graph("g", [Tensor("x", (2,), np.dtype(np.float32))])
    graph.outputs = [Tensor("y", (2,), np.dtype(np.float32))]
    graph.operators = [Operator("RESHAPE", [graph.inputs[0], Tensor.constant("c", data)], graph.outputs)]
    model = schema.Model.GetRootAs(serialize(graph, description="", metadata={}), 0)
    tensor = model.Subgraphs(0).Tensors(1)
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    assert (raw.tobytes() if data.size else b"") == data.tobytes()
    assert [tensor.Shape(i) for i in range(tensor.ShapeLength())] == list(data.shape)


def operator(kind: str, *dtypes: type, shape: tuple[int, ...] = (1, 4, 4, 8), **options: int) -> Operator:
    """An operator whose inputs have these dtypes; int8 weights have one scale."""
    tensors: list[Tensor | None] = [Tensor(f"t{i}", shape, np.dtype(dtype)) for i, dtype in enumerate(dtypes)]
    return Operator(kind, tensors, [Tensor("y", shape, np.dtype(dtypes[0]))], dict(options))


def per_channel(this: Operator) -> Operator:
    """The same with one weight scale per channel."""
    weights = this.inputs[1]
    assert weights is not None
    weights.quantization = Quantization((0.1,) * 8, (0,) * 8)
    return this


F, I8, H = np.float32, np.int8, np.float16
VERSIONS = {
    "float convolution": (operator("CONV_2D", F, F), 1),
    "int8 convolution": (operator("CONV_2D", I8, I8), 3),
    "dynamic convolution": (operator("CONV_2D", F, I8), 2),
    "dynamic convolution per channel": (per_channel(operator("CONV_2D", F, I8)), 5),
    "int8 depthwise": (operator("DEPTHWISE_CONV_2D", I8, I8), 3),
    "dilated depthwise": (operator("DEPTHWISE_CONV_2D", F, F, dilationHFactor=2), 2),
    "float dense": (operator("FULLY_CONNECTED", F, F, F), 1),
    "float dense that keeps axes": (operator("FULLY_CONNECTED", F, F, F, keepNumDims=1), 5),
    "int8 dense": (operator("FULLY_CONNECTED", I8, I8, np.int32), 4),
    "dynamic dense": (operator("FULLY_CONNECTED", F, I8, F, asymmetricQuantizeInputs=1), 9),
    "dynamic dense per channel": (per_channel(operator("FULLY_CONNECTED", F, I8, F)), 12),
    "int8 addition": (operator("ADD", I8, I8), 2),
    "float16 restored": (operator("DEQUANTIZE", H), 3),
    "half pixels": (operator("RESIZE_BILINEAR", F, np.int32, halfPixelCenters=1), 3),
    "five axes": (operator("TRANSPOSE", F, np.int32, shape=(1, 2, 3, 4, 5)), 4),
    "broadcast": (operator("BROADCAST_TO", F, np.int32), 2),
    "transposed convolution with bias": (operator("TRANSPOSE_CONV", np.int32, F, F, F), 3),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_operator_version(name: str) -> None:
    this, version = VERSIONS[name]
    assert operator_version(this) == version
