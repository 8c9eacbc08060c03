"""The second order of summation that float32's noise floor is measured with."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import Case, ask_onnxruntime, case, feeds_of, model_of

from edgewise_converters.errors import SourceError
from edgewise_converters.resummed import resummed

X = (1, 4, 48, 64)
WITH_MEANS = {
    "pooling": case("y = GlobalAveragePool(x)", x=X),
    "attribute": case("y = ReduceMean<axes=[2,3],keepdims=0>(x)", x=X),
    "input": case("y = ReduceMean<keepdims=0>(x, a)", x=X, a=np.array([-1, -2]), opset=18),
    "constant node": case(
        "a = Constant<value_ints=[2,3]>() b = Relu(x) c = GlobalAveragePool(b) y = Add(b, c)", x=X, opset=18
    ),
}


@pytest.mark.parametrize("this", WITH_MEANS.values(), ids=WITH_MEANS)
def test_means_over_space_are_taken_in_two_steps_with_the_same_answer(this: Case, tmp_path: Path) -> None:
    model, feed = model_of(this), feeds_of(this)[0]
    onnx.save(model, tmp_path / "model.onnx")
    data = resummed(tmp_path / "model.onnx")
    assert data is not None
    other = onnx.load_from_string(data)
    assert len(other.graph.node) == len(model.graph.node) + 1
    want = ask_onnxruntime(model, feed)["y"]
    np.testing.assert_allclose(ask_onnxruntime(other, feed)["y"], want, atol=1e-5)


def test_model_without_means_over_several_axes_is_left_alone(tmp_path: Path) -> None:
    onnx.save(model_of(case("a = Relu(x) y = ReduceMean<axes=[1]>(a)", x=X)), tmp_path / "model.onnx")
    assert resummed(tmp_path / "model.onnx") is None


def test_file_that_went_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.onnx: cannot be read again"):
        resummed(tmp_path / "gone.onnx")
