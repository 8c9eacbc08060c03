"""The runtimes behind one Protocol, and how one is chosen."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgewise import backends, tiny_model
from edgewise.backends.quiet import without_chatter
from edgewise.errors import BackendUnavailable, InvalidInput, ShapeMismatch

TFLITE_RUNTIMES = [name for name in ("litert", "tflite-runtime") if not backends.available()[name]]
RUNTIMES = [*TFLITE_RUNTIMES, "onnxruntime"]


def open_tiny(folder: Path, name: str) -> backends.Backend:
    """The tiny model in this runtime."""
    form = "onnx" if name == "onnxruntime" else "tflite"
    path = folder / f"tiny.{form}"
    path.write_bytes(
        tiny_model.onnx_model((2, 2), 3) if form == "onnx" else tiny_model.tflite_model((2, 2), 3)
    )
    return backends.open_backend(path, form, name=name, threads=1)


def test_the_probes_are_the_tiny_model_of_one_pixel() -> None:
    folder = Path(backends.__file__).parent
    assert (folder / "probe.tflite").read_bytes() == tiny_model.tflite_model((1, 1), 3)
    assert (folder / "probe.onnx").read_bytes() == tiny_model.onnx_model((1, 1), 3)
    assert tiny_model.GAIN == 8


def test_every_runtime_for_which_there_is_a_wheel_works_here() -> None:
    assert backends.available()["litert"] == ""
    assert backends.available()["onnxruntime"] == ""


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_computes_and_its_outputs_are_the_callers(tmp_path: Path, name: str) -> None:
    backend = open_tiny(tmp_path, name)
    shape = backend.inputs()[0].shape
    first = backend.run([np.full(shape, 0.5, np.float32)])[0]
    backend.run([np.zeros(shape, np.float32)])
    assert first.tolist() == [[4.0, 4.0, 4.0]]
    backend.close()


@pytest.mark.parametrize("name", RUNTIMES)
def test_wrong_inputs_are_named(tmp_path: Path, name: str) -> None:
    backend = open_tiny(tmp_path, name)
    shape = backend.inputs()[0].shape
    with pytest.raises(ShapeMismatch, match=r"input 'image': got \(1, 2\), expected \(1, "):
        backend.run([np.zeros((1, 2), np.float32)])
    with pytest.raises(InvalidInput, match="input 'image': got uint8, expected float32"):
        backend.run([np.zeros(shape, np.uint8)])
    with pytest.raises(InvalidInput, match="got 0 arrays, expected 1"):
        backend.run([])


@pytest.mark.parametrize("name", TFLITE_RUNTIMES)
def test_views_still_in_use_stop_the_next_run(tmp_path: Path, name: str) -> None:
    backend = open_tiny(tmp_path, name)
    given = np.full(backend.inputs()[0].shape, 0.5, np.float32)
    views = backend.run([given], views=True)
    assert not views[0].flags.owndata
    with pytest.raises(InvalidInput, match="views=True are still in use"):
        backend.run([given])
    del views
    assert backend.run([given])[0].tolist() == [[4.0, 4.0, 4.0]]


def test_an_open_dimension_takes_any_size(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    path = tmp_path / "dynamic.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    backend = backends.open_backend(path, "onnx")
    assert backend.inputs()[0].shape == (-1, 2)
    for size in (1, 5):
        assert backend.run([np.ones((size, 2), np.float32)])[0].shape == (size, 2)
    with pytest.raises(ShapeMismatch):
        backend.run([np.ones((1, 3), np.float32)])


def test_an_unknown_backend_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"got 'lite-rt', expected one of .* did you mean 'litert'"):
        backends.open_backend(tmp_path / "a", "tflite", name="lite-rt")


def test_a_file_that_no_runtime_opens_says_why_for_each(tmp_path: Path) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]), ir_version=8), path)
    with pytest.raises(BackendUnavailable, match=r"odd.onnx: onnxruntime cannot run it: .*NoSuchOperator"):
        backends.open_backend(path, "onnx")
    assert "NoSuchOperator" in backends.try_backends(path, "onnx")["onnxruntime"]


def test_chatter_is_held_back_and_warnings_come_through(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with without_chatter():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nWARNING: hot\n")
    assert capfd.readouterr().err == "WARNING: hot\n"


def test_opening_a_model_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in RUNTIMES:
        backend = open_tiny(tmp_path, name)
        backend.run([np.zeros(backend.inputs()[0].shape, np.float32)])
        backend.close()
    assert capfd.readouterr() == ("", "")
