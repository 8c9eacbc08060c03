"""A model is read without its large weights, which stay in the file."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from converters.onnx_cases import ask_onnxruntime, case, feeds_of, model_of
from onnx import helper, numpy_helper

from edgewise_converters.errors import SourceError
from edgewise_converters.readers import read_onnx
from edgewise_converters.readers.onnx_skeleton import read_skeleton

LARGE = (256, 300)
"""float32: more than the 64 KiB from which weights stay in the file."""


def large_model() -> onnx.ModelProto:
    return model_of(case("a = MatMul(x, w) y = Add(a, b)", x=(2, 256), w=LARGE, b=(300,)))


def external(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]


def test_a_large_weight_points_into_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(large_model(), path)
    skeleton = read_skeleton(path)
    assert [tensor.name for tensor in external(skeleton)] == ["w"]
    assert skeleton.ByteSize() < 5000
    onnx.load_external_data_for_model(skeleton, str(tmp_path))
    feed = feeds_of(case("", x=(2, 256)))[0]
    np.testing.assert_array_equal(
        ask_onnxruntime(skeleton, feed)["y"], ask_onnxruntime(large_model(), feed)["y"]
    )


def test_weights_written_as_floats_point_into_the_file_too(tmp_path: Path) -> None:
    model = large_model()
    weights = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(
        helper.make_tensor("w", onnx.TensorProto.FLOAT, LARGE, weights.reshape(-1))
    )
    onnx.save(model, tmp_path / "model.onnx")
    assert len(external(read_skeleton(tmp_path / "model.onnx"))) == 1
    _, read = read_onnx(tmp_path / "model.onnx")
    value = read.graph.initializers["w"].const_value
    assert value is not None
    np.testing.assert_array_equal(value.numpy(), weights)


def test_weights_in_constant_nodes_and_in_branches_stay_in_the_file(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones(LARGE, np.float32), "inner")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["w"], value=weights)], "branch", [],
        [helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, LARGE)],
    )  # fmt: skip
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node], "net", [helper.make_tensor_value_info("x", onnx.TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, LARGE)],
    )  # fmt: skip
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    skeleton = read_skeleton(tmp_path / "model.onnx")
    assert skeleton.ByteSize() < 5000
    onnx.load_external_data_for_model(skeleton, str(tmp_path))
    inner = skeleton.graph.node[0].attribute[0].g.node[0].attribute[0].t
    np.testing.assert_array_equal(numpy_helper.to_array(inner), np.ones(LARGE, np.float32))


def test_weights_beside_the_model_stay_there(tmp_path: Path) -> None:
    onnx.save(large_model(), tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin")
    _, model = read_onnx(tmp_path / "model.onnx")
    value = model.graph.initializers["w"].const_value
    assert isinstance(value, ir.ExternalTensor)
    assert Path(value.path).name == "weights.bin"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    data = large_model().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(SourceError, match=r"model\.onnx: "):
        read_onnx(path)


@pytest.mark.parametrize("byte", [0xFF, 0x0B, 0x3C])
def test_bytes_that_are_no_field_are_refused(tmp_path: Path, byte: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes([byte]) * 100_000)
    with pytest.raises(SourceError, match="cannot be read as an ONNX model"):
        read_onnx(path)
