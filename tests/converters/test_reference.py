"""The truth that files are held against, whatever the format it comes in."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from converters.tflite_nets import VALID, Net

from edgewise.tensors import Quantization
from edgewise_converters.errors import SourceError
from edgewise_converters.reference import TfliteReference, open_reference, unique_names
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.trial import try_file

STEP = 0.5


def test_an_onnx_model_tells_its_ends(tmp_path: Path) -> None:
    model = model_of(case("y = MatMul(x, w)", x=(1, 4), w=(4, 3)))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "b"
    onnx.save(model, tmp_path / "m.onnx")
    reference = open_reference(tmp_path / "m.onnx")
    assert [(spec.name, spec.shape, spec.dtype) for spec in reference.inputs] == [("x", (-1, 4), "float32")]
    assert reference.run({"x": np.ones((5, 4), np.float32)})["y"].shape == (5, 3)


def test_a_quantized_file_is_fed_and_read_as_real_numbers(tmp_path: Path) -> None:
    net = Net(1, 3)
    quantization = Quantization((STEP,), (3,))
    net.entry.dtype, net.entry.quantization = np.dtype(np.int8), quantization
    answer = Tensor("y", (1, 3), np.dtype(np.int8), None, quantization)
    net.add("RELU", [net.entry], 1, 3)
    net.graph.operators[-1].outputs = [answer]
    reference = open_reference(net.save(tmp_path / "m.tflite", answer))
    real = np.array([[-1.0, 1.2, 3.0]], np.float32)
    np.testing.assert_array_equal(reference.run({"x": real})["y"], [[0.0, 1.0, 3.0]])


def test_other_kernels_compute_the_same_and_round_otherwise(tmp_path: Path) -> None:
    net = Net(1, 24, 24, 16)
    maps = net.add(
        "CONV_2D", [net.entry, net.weights(16, 5, 5, 16), net.weights(16)], 1, 20, 20, 16, options=VALID
    )
    path = net.save(tmp_path / "m.tflite", maps)
    feed = {"x": np.random.default_rng(0).standard_normal((1, 24, 24, 16)).astype(np.float32)}
    (fast,) = open_reference(path).run(feed).values()
    (plain,) = open_reference(path, optimized=False).run(feed).values()
    assert not np.array_equal(fast, plain)
    np.testing.assert_allclose(fast, plain, atol=1e-4)


def test_a_wrong_input_is_an_error_of_one_line(tmp_path: Path) -> None:
    net = Net(1, 3)
    reference = TfliteReference(net.save(tmp_path / "m.tflite", net.add("RELU", [net.entry], 1, 3)))
    with pytest.raises(SourceError, match=r"^LiteRT cannot run the original model: .*\(1, 4\)"):
        reference.run({"x": np.zeros((1, 4), np.float32)})


def test_a_model_that_onnxruntime_refuses_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = model_of(case("y = Relu(x)", x=(1, 2)))
    model.graph.node[0].op_type = "Relo"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString().replace(b"Relo", b"\xb1\xb1\xb1\xb1"))
    with pytest.raises(SourceError, match="onnxruntime cannot load"):
        open_reference(tmp_path / "m.onnx")
    assert capfd.readouterr().out == ""


def test_names_that_are_missing_or_taken_are_numbered() -> None:
    assert unique_names(["a", "a", "", "a_2", ""]) == ["a", "a_3", "tensor", "a_2", "tensor_2"]


def test_constants_are_for_onnx_inputs(tmp_path: Path) -> None:
    net = Net(1, 3)
    path = net.save(tmp_path / "m.tflite", net.add("RELU", [net.entry], 1, 3))
    with pytest.raises(SourceError, match="--value"):
        open_reference(path, values={"x": np.zeros(1)})


def test_a_trial_tells_the_shapes_of_another_batch(tmp_path: Path) -> None:
    net = Net(1, 3)
    path = net.save(tmp_path / "m.tflite", net.add("RELU", [net.entry], 1, 3))
    assert set(try_file(path, {0: (4, 3)}).values()) == {(4, 3)}


def test_a_trial_of_what_is_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_text("no model")
    with pytest.raises(SourceError, match="LiteRT cannot run it"):
        try_file(tmp_path / "m.tflite")
