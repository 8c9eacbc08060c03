"""Inputs that are always the same become constants of the converted model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of

from edgewise_converters.errors import SourceError
from edgewise_converters.onnx_session import Reference
from edgewise_converters.readers import read_onnx

RATES = case("y = Mul(x, xrate)", x=(2, 3), xrate=np.float32(4))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "rates.onnx"
    onnx.save(model_of(RATES), path)
    return path


def test_an_input_with_a_value_leaves_the_model(model: Path) -> None:
    source, graph = read_onnx(model, values={"xrate": 16000})
    assert [entry.name for entry in source.inputs] == ["x"]
    assert [value.name for value in graph.graph.inputs] == ["x"]


def test_the_original_is_asked_with_the_value(model: Path) -> None:
    source, _ = read_onnx(model, values={"xrate": 16000})
    reference = Reference(model, values=source.values)
    answer = reference.run({"x": np.ones((2, 3), np.float32)})
    np.testing.assert_array_equal(answer["y"], np.full((2, 3), 16000, np.float32))


def test_a_value_for_a_tensor_is_refused(model: Path) -> None:
    with pytest.raises(
        SourceError, match=r"--value x: the input has shape \[2,3\], expected one of a single number"
    ):
        read_onnx(model, values={"x": 1})


def test_a_value_for_no_input_names_the_nearest(model: Path) -> None:
    with pytest.raises(SourceError, match=r"--value xrat: .*did you mean xrate"):
        read_onnx(model, values={"xrat": 1})


@pytest.mark.parametrize("number", [0.5, 3e9, float("nan")])
def test_a_value_that_the_type_cannot_hold_is_refused(tmp_path: Path, number: float) -> None:
    path = tmp_path / "counts.onnx"
    onnx.save(model_of(case("y = Add(x, xn)", x=np.zeros(3, np.int32), xn=np.int32(1))), path)
    with pytest.raises(
        SourceError, match=r"--value xn: got .*expected a number that the input, int32, can hold"
    ):
        read_onnx(path, values={"xn": number})
