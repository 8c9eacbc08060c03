"""How the axes of a foreign file lie, found out by asking it; files with turned axes are our own lowering's."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of

from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.engines.axes import find_places
from edgewise_converters.errors import EngineError
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.onnx_session import Reference
from edgewise_converters.original import Original
from edgewise_converters.tflite.writer import serialize

SQUARE = case(
    "y = Conv<pads=[1,1,1,1]>(x, w) s = Sigmoid(y) t = Transpose<perm=[0,1,3,2]>(s) z = Relu(t)",
    x=(1, 4, 4, 4), w=(4, 4, 3, 3),
)  # fmt: skip


def lowered(folder: Path) -> tuple[LoweredGraph, dict[str, Array], dict[str, Array]]:
    """A net all of whose dimensions are alike, a feed and what onnxruntime answers."""
    path = folder / "net.onnx"
    onnx.save(model_of(SQUARE), path)
    with Original(path) as original:
        _, made = original.lower(lambda _: None)
    feed = {"x": np.random.default_rng(1).standard_normal((1, 4, 4, 4)).astype(np.float32)}
    return made, feed, Reference(path).run(feed)


def test_equal_dimensions_are_told_apart_by_the_answers(tmp_path: Path) -> None:
    made, feed, expected = lowered(tmp_path)
    backend = open_backend(serialize(made.graph, description="", metadata={}), "tflite", name="litert")
    places = find_places(backend, feed, expected)
    assert places.inputs["x"].layout == made.input_layouts["x"] == (0, 2, 3, 1)
    turned = {name: place.layout for name, place in places.outputs.items()}
    assert turned == made.output_layouts


def test_other_names_are_matched_by_shape_and_answer(tmp_path: Path) -> None:
    made, feed, expected = lowered(tmp_path)
    for tensor in (*made.graph.inputs, *made.graph.outputs):
        tensor.name = f"serving_default_other_{tensor.name}:0"
    backend = open_backend(serialize(made.graph, description="", metadata={}), "tflite", name="litert")
    places = find_places(backend, feed, expected)
    assert places.inputs["x"].layout == (0, 2, 3, 1)
    assert {name: place.layout for name, place in places.outputs.items()} == made.output_layouts


def test_a_file_of_other_shapes_is_refused(tmp_path: Path) -> None:
    made, feed, expected = lowered(tmp_path)
    backend = open_backend(serialize(made.graph, description="", metadata={}), "tflite", name="litert")
    with pytest.raises(EngineError, match="does not fit the original's inputs"):
        find_places(backend, {"x": feed["x"][:, :, :2]}, expected)
    with pytest.raises(EngineError, match="none of which fits output"):
        find_places(backend, feed, {"z": np.zeros((1, 5), np.float32)})
