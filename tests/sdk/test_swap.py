"""One model in the place of another, between two calls, while threads are calling."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from PIL import Image

import edgewise
from edgewise import tiny_model
from edgewise.errors import InvalidInput, ModelFileError
from edgewise.model_file import read_model, write_model
from edgewise.tensors import TensorSpec
from edgewise.testing import FakeBackend, tiny_card, tiny_golden, write_tiny_model

CALLS = 4000
"""Of each of two threads; a swap happens every millisecond or so."""
GIVEN = np.full((1, 8, 8, 3), 0.25, np.float32)


def turned_model(path: Path) -> Path:
    """The tiny model with all its weights doubled: every score is twice as high."""
    weights = np.full(8 * 8 * 3, 0, np.float32)
    weights[0::3] = tiny_model.GAIN / 64
    network = bytearray(tiny_model.tflite_model((8, 8), 3))
    for channel in range(3):
        row = np.roll(weights, channel).tobytes()
        at = network.index(row)
        network[at : at + len(row)] = (np.roll(weights, channel) * 2).tobytes()
    write_model(path, bytes(network), card=replace(tiny_card(), golden=None))
    return path


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_after_a_swap_the_other_file_answers(tmp_path: Path, suffix: str) -> None:
    first = write_tiny_model(tmp_path / f"a.{suffix}", name="first")
    second = write_tiny_model(tmp_path / f"b.{suffix}", name="second")
    with edgewise.load(first) as model:
        model.swap(second)
        assert (model.name, model.path) == ("second", second)
        assert model.predict(Image.new("RGB", (8, 8), "lime")).top.label == "green"


def test_every_answer_is_that_of_one_of_the_models(tmp_path: Path, tiny: Path) -> None:
    paths = [tiny, turned_model(tmp_path / "b.tflite")]
    wrong: list[object] = []
    model = edgewise.load(tiny, threads=1)

    def call(value: float) -> None:
        given = np.full((1, 8, 8, 3), value, np.float32)
        right = [round(float(value * tiny_model.GAIN * factor), 3) for factor in (1, 2)]
        try:
            for _ in range(CALLS):
                scores = set(model.run(given)["scores"].round(3).ravel().tolist())
                if len(scores) != 1 or not np.isclose(right, scores.pop()).any():
                    wrong.append(scores)
        except Exception as error:
            wrong.append(error)

    threads = [Thread(target=call, args=(value,)) for value in (0.25, 0.75)]
    for thread in threads:
        thread.start()
    swaps = 0
    while any(thread.is_alive() for thread in threads):
        swaps += 1
        model.swap(paths[swaps % 2], probe=False)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert swaps > 3
    model.close()


def test_a_call_in_flight_ends_on_the_old_model_and_then_its_memory_goes(tmp_path: Path, tiny: Path) -> None:
    inside, go_on = Event(), Event()

    class Slow(FakeBackend):
        def run(self, inputs, *, views=False):  # type: ignore[no-untyped-def]
            inside.set()
            go_on.wait()
            return super().run(inputs, views=views)

    old = Slow(
        [TensorSpec("image", (1, 8, 8, 3), "float32")],
        [TensorSpec("scores", (1, 3), "float32")],
        [np.full((1, 3), 7, np.float32)],
    )
    model = edgewise.Model(read_model(tiny), old)
    answers: list[float] = []
    thread = Thread(target=lambda: answers.append(float(model.run(GIVEN)["scores"][0, 0])))
    thread.start()
    inside.wait()
    model.swap(turned_model(tmp_path / "b.tflite"), probe=False)
    assert model.run(GIVEN)["scores"][0, 0] == pytest.approx(4.0, abs=1e-4)
    assert old.is_open
    go_on.set()
    thread.join()
    assert answers == [7.0]
    assert not old.is_open


def test_the_old_interpreter_is_gone_without_a_collection(tmp_path: Path, tiny: Path) -> None:
    with edgewise.load(tiny) as model:
        model.predict(Image.new("RGB", (8, 8)))
        old = weakref.ref(model._opened.backend)
        gc.disable()
        try:
            model.swap(turned_model(tmp_path / "b.tflite"), probe=False)
            assert old() is None
        finally:
            gc.enable()


def other_shape(path: Path) -> Path:
    return write_tiny_model(path, size_wh=(4, 4))


def other_dtype(path: Path) -> Path:
    return write_tiny_model(path, dtype="int8")


def other_task(path: Path) -> Path:
    return write_tiny_model(path, card=replace(tiny_card(), task="tensors"))


def wrong_answers(path: Path) -> Path:
    right, wrong = tiny_golden(tiny_card())
    return write_tiny_model(path, golden=[right, replace(wrong, outputs=right.outputs)])


def no_model(path: Path) -> Path:
    path.write_text("no model")
    return path


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "No such file"),
        (no_model, "expected a TensorFlow Lite or ONNX model"),
        (
            other_shape,
            r"its inputs are 'image' float32\[1, 4, 4, 3\], expected 'image' float32\[1, 8, 8, 3\]",
        ),
        (other_dtype, r"its inputs are 'image' int8.* swap\(compatible=False\)"),
        (other_task, "its task is 'tensors', expected 'image-classification'"),
        (wrong_answers, "does not give its promised answers here"),
    ],
)
def test_a_file_that_cannot_take_the_place_leaves_the_old_model(
    tmp_path: Path, tiny: Path, make: Callable[[Path], Path], message: str, probe: bool
) -> None:
    with edgewise.load(tiny) as model:
        with pytest.raises(ModelFileError, match=message):
            model.swap(make(tmp_path / "new.tflite"), probe=probe)
        assert model.path == tiny
        assert model.run(GIVEN)["scores"] == pytest.approx(2.0, abs=1e-5)


def test_an_incompatible_model_is_taken_when_asked_for(tmp_path: Path, tiny: Path) -> None:
    with edgewise.load(tiny) as model:
        model.swap(other_shape(tmp_path / "b.tflite"), compatible=False)
        assert model.inputs[0].shape == (1, 4, 4, 3)
        assert model.predict(Image.new("RGB", (8, 8), "blue")).top.label == "blue"


def test_a_closed_model_stays_closed(tmp_path: Path, tiny: Path) -> None:
    model = edgewise.load(tiny)
    model.close()
    with pytest.raises(InvalidInput, match="the model is closed"):
        model.swap(tiny, probe=False)
    with pytest.raises(InvalidInput, match="the model is closed"):
        model.run(GIVEN)


def test_a_swap_checks_the_digest(tiny: Path) -> None:
    with edgewise.load(tiny) as model:
        with pytest.raises(ModelFileError, match="its SHA-256 is"):
            model.swap(tiny, sha256="0" * 64, probe=False)
        model.swap(tiny, sha256=model.file.sha256(), probe=False)
