"""Which converter makes the graph, and what is said about it."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgewise_converters.errors import EngineError, SourceError, UnsupportedOperator
from edgewise_converters.pipeline import convert
from edgewise_converters.progress import Silent
from edgewise_converters.request import Request


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_HOME", str(tmp_path / "home"))


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A model whose only operator nobody knows."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="middle", domain="com.example")
    graph = helper.make_graph([node], "net", [x], [y])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def request(source: Path, engine: str) -> Request:
    return Request(
        source=source, target="arm64", precision="fp32", engine=engine, out=source.with_name("out.tflite")
    )


def test_a_refusal_says_how_a_second_converter_is_had(unknown: Path) -> None:
    with pytest.raises(
        UnsupportedOperator, match=r"Frobnicate .*`edgewise engines install onnx2tf`, and try again"
    ):
        convert(request(unknown, "auto"), Silent())
    with pytest.raises(UnsupportedOperator) as refusal:
        convert(request(unknown, "edgewise"), Silent())
    assert "engines" not in str(refusal.value)
    assert not unknown.with_name("out.tflite").exists()


def test_an_engine_that_is_asked_for_and_not_there_is_an_error(unknown: Path) -> None:
    with pytest.raises(
        EngineError, match="--engine onnx2tf: it is not installed; `edgewise engines install onnx2tf`"
    ):
        convert(request(unknown, "onnx2tf"), Silent())


def test_a_tflite_source_has_no_second_way(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(16))
    with pytest.raises(SourceError, match="is a TFLite model, expected an ONNX model"):
        convert(request(path, "onnx2tf"), Silent())
