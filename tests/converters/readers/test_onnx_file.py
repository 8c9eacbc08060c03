"""Reading ONNX files: shapes fixed, the rest refused in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of

from edgewise_converters.errors import SourceError
from edgewise_converters.readers import read_onnx

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a model whose input has the dimensions given, words being open ones."""

    def write(*dims: int | str, name: str = "x") -> Path:
        model = model_of(case("y = Relu(x)", x=(1, 3, 4, 4)))
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(dims))
        model.graph.input[0].CopyFrom(value)
        path = tmp_path / "open.onnx"
        onnx.save(model, path)
        return path

    return write


def test_open_batch_becomes_one_and_is_said(save: Save) -> None:
    source, _ = read_onnx(save("batch", 3, 8, 8))
    assert source.inputs[0].shape == (1, 3, 8, 8)
    assert "batch 1" in source.notices[0]


def test_open_size_needs_a_hint_which_the_message_spells_out(save: Save) -> None:
    with pytest.raises(SourceError, match=r"--shape x=1,3,\.\.\.,\.\.\."):
        read_onnx(save("b", 3, "h", "w"))


def test_hint_fixes_open_sizes(save: Save) -> None:
    source, model = read_onnx(save("b", 3, "h", "w"), shapes={"x": (2, 3, 32, 64)})
    assert source.inputs[0].shape == (2, 3, 32, 64)
    assert "as asked" in source.notices[0]
    assert list(model.graph.inputs[0].shape or ()) == [2, 3, 32, 64]


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ({"x": (1, 3, 32)}, "got 3 dimensions, the model has 4"),
        ({"x": (1, 4, 32, 32)}, "got 4 where the model fixes 3"),
        ({"X1": (1, 3, 32, 32)}, "no such input"),
    ],
)
def test_wrong_hint_is_refused(save: Save, hint: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_onnx(save("b", 3, "h", "w"), shapes=hint)


def test_misspelt_hint_suggests_the_name(save: Save) -> None:
    model = onnx.load(save(1, 3, 4, 4))
    model.graph.input[0].name = model.graph.node[0].input[0] = "image"
    path = save(1, 3, 4, 4)
    onnx.save(model, path)
    with pytest.raises(SourceError, match="did you mean image"):
        read_onnx(path, shapes={"imgae": (1, 3, 4, 4)})


def test_open_dimension_without_a_name_is_shown(save: Save) -> None:
    path = save(1, 3, 4, 4)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].Clear()
    onnx.save(model, path)
    with pytest.raises(SourceError, match=r"\[1,3,\?,4\]"):
        read_onnx(path)


def test_dimensions_that_are_all_called_by_a_question_mark_are_not_one(save: Save) -> None:
    source, _ = read_onnx(save("b", 3, "?", "?"), shapes={"x": (1, 3, 48, 192)})
    assert source.inputs[0].shape == (1, 3, 48, 192)


def test_initializers_listed_as_inputs_are_none(tmp_path: Path) -> None:
    model = model_of(case("y = Conv(x, w)", x=(1, 3, 4, 4), w=(2, 3, 1, 1), opset=7))
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [2, 3, 1, 1]))
    onnx.save(model, tmp_path / "old.onnx")
    source, _ = read_onnx(tmp_path / "old.onnx")
    assert [entry.name for entry in source.inputs] == ["x"]


@pytest.mark.parametrize("opset", [6, 99])
def test_opset_outside_the_range_is_refused(tmp_path: Path, opset: int) -> None:
    model = model_of(case("y = Relu(x)", x=(1, 2)))
    model.opset_import[0].version = opset
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(SourceError, match=f"opset {opset}"):
        read_onnx(tmp_path / "m.onnx")


def save_apart(model: onnx.ModelProto, path: Path) -> None:
    """The weights into w.bin beside the model."""
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    model = model_of(case("y = MatMul(x, w)", x=(2, 64), w=(64, 64)))
    expected = onnx.numpy_helper.to_array(model.graph.initializer[0])
    save_apart(model, tmp_path / "m.onnx")
    _, read = read_onnx(tmp_path / "m.onnx")
    weights = read.graph.initializers["w"].const_value
    assert weights is not None
    np.testing.assert_array_equal(weights.numpy(), expected)


def test_missing_weights_beside_the_file_are_named(tmp_path: Path) -> None:
    model = model_of(case("y = MatMul(x, w)", x=(2, 64), w=(64, 64)))
    save_apart(model, tmp_path / "m.onnx")
    (tmp_path / "w.bin").unlink()
    with pytest.raises(SourceError, match=r"w\.bin"):
        read_onnx(tmp_path / "m.onnx")


def test_source_is_described_by_its_digest_and_opset(save: Save) -> None:
    import hashlib

    path = save(1, 3, 4, 4)
    source, _ = read_onnx(path)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.opset == 17


def test_cut_weights_beside_the_file_are_named(tmp_path: Path) -> None:
    save_apart(model_of(case("y = MatMul(x, w)", x=(2, 64), w=(64, 64))), tmp_path / "m.onnx")
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(SourceError, match=r"w\.bin.*expected at least 16384"):
        read_onnx(tmp_path / "m.onnx")
