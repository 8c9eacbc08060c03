"""Load, run, predict, self-test, close."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sdk.detection_files import answering_onnx

import edgewise
from edgewise import backends, tiny_model
from edgewise.errors import BackendUnavailable, CardError, InvalidInput, ModelFileError, ShapeMismatch
from edgewise.model_card import ImagePreprocess, TensorCard
from edgewise.model_file import read_model, write_model
from edgewise.tensors import TensorSpec
from edgewise.testing import FakeBackend, tiny_card, tiny_golden, write_tiny_model

TFLITE_RUNTIMES = [name for name in ("litert", "tflite-runtime") if not backends.available()[name]]
EVERY_MODEL = [
    *((name, "tflite", dtype) for name in TFLITE_RUNTIMES for dtype in ("float32", "int8", "uint8")),
    ("onnxruntime", "onnx", "float32"),
]


@pytest.mark.parametrize(("backend", "suffix", "dtype"), EVERY_MODEL)
def test_predict_gives_the_right_answer_in_every_runtime(
    tmp_path: Path, backend: str, suffix: str, dtype: str
) -> None:
    path = write_tiny_model(tmp_path / f"a.{suffix}", dtype=dtype)
    with edgewise.load(path, backend=backend) as model:
        for label, colour in (("red", "red"), ("green", "lime"), ("blue", "blue")):
            result = model.predict(Image.new("RGB", (64, 48), colour))
            assert (result.top.label, model.backend_name) == (label, backend)
            assert result.top.score > 0.99  # softmax of 8, 0, 0
            assert sum(category.score for category in result.categories) == pytest.approx(1, abs=1e-5)
        test = model.self_test()
        assert test.passed
        assert len(test.results) == 2


def test_predict_takes_what_people_have(tiny: Path, save_picture: Callable[..., Path]) -> None:
    path = save_picture(Image.new("RGB", (30, 20), (0, 0, 250)), "blue.png")
    with edgewise.load(tiny) as model, path.open("rb") as stream, Image.open(path) as picture:
        for given in (path, str(path), stream, picture, np.asarray(picture)):
            assert model.predict(given).top.label == "blue"
        assert len(model.predict(path, top=2).categories) == 2


def test_a_result_is_json_and_reads_well(tiny: Path) -> None:
    with edgewise.load(tiny) as model:
        result = model.predict(Image.new("RGB", (8, 8), "lime"), top=2)
    values = result.to_dict()
    assert values["categories"][0]["label"] == "green"
    assert set(values["timings"]) == {"preprocess_ms", "invoke_ms", "postprocess_ms"}
    assert repr(result).startswith("<Classification green 0.999")
    assert result.latency_ms > 0


def test_run_takes_a_bare_array_or_names(tiny: Path) -> None:
    with edgewise.load(tiny) as model:
        given = np.full((1, 8, 8, 3), 0.25, np.float32)
        assert model.run(given)["scores"] == pytest.approx(2.0, abs=1e-5)
        assert np.array_equal(model.run({"image": given})["scores"], model.run(given)["scores"])
        assert np.array_equal(model.run(given.astype(np.float64))["scores"], model.run(given)["scores"])


def test_floats_given_to_a_quantized_input_are_quantized(tmp_path: Path) -> None:
    with edgewise.load(write_tiny_model(tmp_path / "a.tflite", dtype="int8")) as model:
        real = np.full((1, 8, 8, 3), 0.25, np.float32)
        integers = model.inputs[0].quantization.quantize(real, "int8")  # type: ignore[union-attr]
        assert np.array_equal(model.run(real)["scores"], model.run(integers)["scores"])
        assert model.run(real)["scores"].dtype == np.int8


def test_wrong_inputs_are_named(tiny: Path) -> None:
    with edgewise.load(tiny) as model:
        with pytest.raises(
            ShapeMismatch, match=r"input 'image': got \(1, 3, 8, 8\), expected \(1, 8, 8, 3\)"
        ):
            model.run(np.zeros((1, 3, 8, 8), np.float32))
        with pytest.raises(InvalidInput, match="input 'image': got uint8, expected float32"):
            model.run(np.zeros((1, 8, 8, 3), np.uint8))
        with pytest.raises(InvalidInput, match="inputs: got 'picture', expected 'image'"):
            model.run({"picture": np.zeros((1, 8, 8, 3), np.float32)})
        with pytest.raises(InvalidInput, match="inputs: got 'image', 'more', expected 'image'"):
            model.run({"image": np.zeros((1, 8, 8, 3), np.float32), "more": np.zeros(1)})


def test_a_closed_model_says_so(tiny: Path) -> None:
    model = edgewise.load(tiny)
    model.close()
    model.close()
    with pytest.raises(InvalidInput, match="the model is closed"):
        model.run(np.zeros((1, 8, 8, 3), np.float32))


def test_a_foreign_file_runs_and_says_what_predict_lacks(tmp_path: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tiny_model.tflite_model((4, 4), 3))
    with edgewise.load(path) as model:
        assert (model.name, model.task, model.card, model.inputs[0].layout) == ("foreign", "", None, "nhwc")
        assert model.run(np.ones((1, 4, 4, 3), np.float32))["scores"] == pytest.approx(8.0, abs=1e-4)
        with pytest.raises(CardError, match=r"does not say how a picture becomes its input .*preprocess="):
            model.predict(Image.new("RGB", (4, 4)))
        with pytest.raises(CardError, match="carries no golden cases"):
            model.self_test()


def test_arguments_say_what_a_foreign_file_does_not(tmp_path: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tiny_model.tflite_model((4, 4), 3))
    spec = ImagePreprocess((4, 4), std=(255.0,))
    with edgewise.load(path, preprocess=spec, labels=["r", "g", "b"]) as model:
        top = model.predict(Image.new("RGB", (9, 9), "blue")).top
        assert (top.label, top.score) == ("b", pytest.approx(8.0, abs=1e-4))
    with (
        edgewise.load(path, preprocess=replace(spec, size_wh=(8, 8))) as model,
        pytest.raises(
            CardError, match=r"input 'image' is \(1, 4, 4, 3\), pre-processing gives \(1, 8, 8, 3\)"
        ),
    ):
        model.predict(Image.new("RGB", (9, 9)))
    with (
        edgewise.load(path, preprocess=spec, labels=["one"]) as model,
        pytest.raises(CardError, match="got 1 labels for 3 scores"),
    ):
        model.predict(Image.new("RGB", (9, 9)))


def test_standard_metadata_is_enough_to_predict(tmp_path: Path, tiny: Path) -> None:
    network = tiny.read_bytes()
    path = tmp_path / "foreign.tflite"
    from edgewise import archive, tflite_metadata
    from edgewise.flatbuffer_writer import Writer

    assert tflite_metadata.of_tflite(network)
    writer = Writer()
    options = writer.table(2, {0: writer.floats([0.0]), 1: writer.floats([255.0])})
    given = writer.table(7, {4: writer.tables([writer.table(2, {1: options}, bytes_={0: 1})])})
    labels = writer.table(5, {0: writer.text("l.txt")}, bytes_={2: 2})
    result = writer.table(7, {6: writer.tables([labels])})
    subgraph = writer.table(10, {2: writer.tables([given]), 3: writer.tables([result])})
    metadata = writer.finish(writer.table(8, {3: writer.tables([subgraph])}), b"M001")
    content = tiny_model.tflite_model((4, 4), 3, dtype="uint8", metadata=metadata)
    path.write_bytes(content + archive.pack({"l.txt": b"r\ng\nb\n"}, behind=len(content)))
    with edgewise.load(path) as model:
        assert model.card is None
        assert model.predict(Image.new("RGB", (9, 9), "lime")).top.label == "g"


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    card = replace(tiny_card(), golden=None)
    path = tmp_path / "a.tflite"
    other = replace(card, inputs=(replace(card.inputs[0], name="other"),))
    write_model(path, tiny_model.tflite_model((8, 8), 3), card=other)
    with pytest.raises(ModelFileError, match=r"the model has \['image'\], its card says \['other'\]"):
        edgewise.load(path)
    write_model(path, tiny_model.tflite_model((4, 4), 3), card=card)
    with pytest.raises(ModelFileError, match=r"'image': the model has \(1, 4, 4, 3\), its card says \(1, 8"):
        edgewise.load(path)


def test_another_task_runs_and_does_not_predict(tmp_path: Path) -> None:
    card = replace(tiny_card(), golden=None, task="tensors")
    path = tmp_path / "a.tflite"
    write_model(path, tiny_model.tflite_model((8, 8), 3), card=card)
    with edgewise.load(path) as model:
        assert model.run(np.zeros((1, 8, 8, 3), np.float32))["scores"].shape == (1, 3)
        with pytest.raises(CardError, match="its task is 'tensors'"):
            model.predict(Image.new("RGB", (8, 8)))


def test_the_task_is_the_callers_or_the_cards_and_another_names_those_there_are(
    tmp_path: Path, tiny: Path
) -> None:
    card = replace(tiny_card(), golden=None, task="tensors")
    path = tmp_path / "a.tflite"
    write_model(path, tiny_model.tflite_model((8, 8), 3), card=card)
    with edgewise.load(path, task="image-classification") as model:
        assert model.task == "image-classification"
        assert model.predict(Image.new("RGB", (8, 8), "lime")).top.label == "green"
    with edgewise.load(tiny, task="image-embedding") as model:
        red = model.predict(Image.new("RGB", (8, 8), "red"))
        assert red.vector.tolist() == pytest.approx([1, 0, 0], abs=1e-6)
    names = "'image-classification', 'object-detection', .*'text-embedding', 'tensors'"
    with pytest.raises(
        CardError, match=rf"its task is 'pose', predict\(\) knows {names}; give load\(\) task="
    ):
        edgewise.load(tiny, task="pose")


def test_outputs_that_could_be_anything_are_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(answering_onnx((8, 8), {"a": np.zeros((1, 3, 9), np.float32)}))
    with (
        edgewise.load(path, preprocess=ImagePreprocess((8, 8))) as model,
        pytest.raises(CardError, match=r"the file does not say its task, predict\(\) knows 'image-classif"),
    ):
        model.predict(Image.new("RGB", (8, 8)))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_model_that_gives_other_answers_fails_its_self_test(tmp_path: Path, dtype: str) -> None:
    right, wrong = tiny_golden(tiny_card(dtype=dtype))
    swapped = replace(wrong, outputs=right.outputs)
    with edgewise.load(
        write_tiny_model(tmp_path / "a.tflite", dtype=dtype, golden=[right, swapped])
    ) as model:
        test = model.self_test()
    assert not test.passed
    assert [result.db > 40 for result in test.results] == [True, False]
    assert test.to_dict()["passed"] is False


def test_wrong_backends_and_threads_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="expected one of litert, tflite-runtime"):
        edgewise.load(tiny, backend="onnxruntime")
    with pytest.raises(InvalidInput, match="threads: got 0"):
        edgewise.load(tiny, threads=0)
    with pytest.raises(ModelFileError, match="No such file"):
        edgewise.load(tmp_path / "none.tflite")


def fake_model(tiny: Path, outputs: list[np.ndarray]) -> edgewise.Model:
    """The tiny file in a backend that answers what it is told."""
    file = read_model(tiny)
    given = TensorSpec("image", (1, 8, 8, 3), "float32")
    answers = [TensorSpec("scores", (1, 3), "float32")]
    return edgewise.Model(file, FakeBackend([given], answers, outputs))


def test_nan_is_not_made_into_an_answer(tiny: Path) -> None:
    model = fake_model(tiny, [np.array([[np.nan, 1, 2]], np.float32)])
    with pytest.raises(InvalidInput, match="output 'scores': the model gave NaN"):
        model.predict(Image.new("RGB", (8, 8)))
    assert model.self_test().worst_db == -200


def test_several_inputs_are_taken_by_name(tmp_path: Path) -> None:
    card = tiny_card()
    specs = [TensorSpec(name, (2,), "float32") for name in ("a", "b")]
    path = tmp_path / "a.tflite"
    inputs = tuple(TensorCard(name, (2,), "float32") for name in ("b", "a"))
    outputs = (TensorCard("c", (2,), "float32"),)
    write_model(
        path,
        tiny_model.tflite_model((8, 8), 3),
        card=replace(card, inputs=inputs, outputs=outputs, labels=(), golden=None),
    )
    backend = FakeBackend(specs, [TensorSpec("c", (2,), "float32")], [np.zeros(2, np.float32)])
    model = edgewise.Model(read_model(path), backend)
    model.run({"b": np.full(2, 2, np.float32), "a": np.full(2, 1, np.float32)})
    assert [array.tolist() for array in backend.calls[0]] == [[1, 1], [2, 2]]
    with pytest.raises(InvalidInput, match="got one array, expected a dictionary with 'a', 'b'"):
        model.run(np.zeros(2, np.float32))
    with pytest.raises(CardError, match="got 2 inputs, expected one image"):
        model.predict(Image.new("RGB", (8, 8)))
    with model:
        pass
    assert not backend.is_open
