"""Many pictures give the answers of one after another, by batches where a file takes them."""

from collections.abc import Iterator
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image
from sdk.detection_files import NUDENET_INPUT, nudenet_labels

import edgewise
from edgewise import ImagePreprocess, InvalidInput, UnreadableImage
from edgewise.tasks.batching import may_batch
from edgewise.testing import write_tiny_model
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

SCORE = 1e-5
"""A batch is summed in another order than one picture."""


def with_open_batch(path: Path) -> Path:
    """The .tflite file without its card, and with the first dimension of its ends open."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    for index in (*graph.inputs, *graph.outputs):
        graph.tensors[index].shapeSignature = [-1, *graph.tensors[index].shape[1:]]
    model.metadata = []
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def pictures(count: int) -> list[np.ndarray]:
    """Of noise."""
    return [
        np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8) for seed in range(count)
    ]


@pytest.fixture
def batched(tmp_path: Path) -> Iterator[edgewise.Model]:
    """A classifier that takes batches."""
    path = with_open_batch(write_tiny_model(tmp_path / "a.tflite"))
    preprocess = ImagePreprocess((8, 8), std=(255.0,))
    with edgewise.load(path, task="image-classification", preprocess=preprocess) as model:
        assert may_batch(model._opened)
        yield model


def categories(answers: list[edgewise.Classification]) -> list[tuple[int, ...]]:
    """The answers, best first."""
    return [tuple(one.index for one in answer.categories) for answer in answers]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11])
def test_batches_and_the_last_part_of_one_answer_as_one_after_another(
    batched: edgewise.Model, count: int
) -> None:
    alone = [batched.predict(one) for one in pictures(count)]
    shapes = []
    run = batched._opened.run

    def watched(inputs: np.ndarray, views: bool = False) -> dict[str, np.ndarray]:
        shapes.append(len(inputs))
        return run(inputs, views)

    batched._opened.run = watched  # type: ignore[method-assign,assignment]
    together = list(batched.predict_many(pictures(count), batch=4))
    assert categories(together) == categories(alone)
    for one, other in zip(together, alone, strict=True):
        assert one.top.score == pytest.approx(other.top.score, rel=SCORE)
        assert one.latency_ms > 0
    expected = {
        0: [],
        1: [1],
        3: [3, 1, 1, 1],
        4: [4, 1, 1, 1, 1],
        5: [4, 1, 1, 1, 1, 1],
        11: [4, 1, 1, 1, 1, 4, 3],
    }
    assert shapes == expected[count]  # the first batch is checked against one after another


def test_a_file_that_says_open_and_takes_no_batch_is_predicted_one_after_another(
    efficientnet_lite0: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lite0.tflite"
    convert(Request(source=efficientnet_lite0, target="rpi4", precision="fp32", out=out))
    path = with_open_batch(out)
    preprocess = ImagePreprocess((224, 224), mean=(127.0,), std=(128.0,))
    with edgewise.load(path, task="image-classification", preprocess=preprocess) as model:
        assert may_batch(model._opened)
        with pytest.raises(InvalidInput):
            model.run(np.zeros((3, 224, 224, 3), np.float32))
        together = list(model.predict_many(pictures(3)))
        assert [one.categories for one in together] == [model.predict(one).categories for one in pictures(3)]


def test_a_detector_of_open_sizes_finds_the_same_in_batches(nudenet: Path, astronaut_photo: Path) -> None:
    with Image.open(astronaut_photo) as photo:
        upright = photo.convert("RGB")
    photos = [
        upright,
        upright.resize((300, 300)),
        Image.new("RGB", (64, 48)),
        upright.crop((100, 0, 400, 300)),
        upright,
    ]
    with edgewise.load(
        nudenet, preprocess=NUDENET_INPUT, head="yolov8", labels=nudenet_labels(nudenet)
    ) as model:
        assert may_batch(model._opened)
        alone = [model.predict(photo) for photo in photos]
        together = list(model.predict_many(photos, batch=3))
    assert [found.labels for found in together] == [found.labels for found in alone]
    assert len(alone[0]) > 0
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=0.1)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_what_cannot_be_read_is_raised_at_its_turn(batched: edgewise.Model, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    given = [*pictures(2), tmp_path / "broken.png", *pictures(1)]
    answers = batched.predict_many(given)
    assert len([next(answers), next(answers)]) == 2
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        next(answers)


def test_no_more_pictures_are_taken_than_are_asked_for(batched: edgewise.Model) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(1)
            yield pictures(1)[0]

    answers = batched.predict_many(endless(), batch=4)
    assert taken == []
    next(answers)
    assert len(taken) == 4


def test_other_tasks_and_fixed_files_are_predicted_one_after_another(tiny: Path) -> None:
    x = np.ones((1, 8, 8, 3), np.float32)
    with edgewise.load(tiny, task="tensors") as model:
        assert [found["scores"].shape for found in model.predict_many([x, x])] == [(1, 3), (1, 3)]
    with edgewise.load(tiny) as model:
        assert not may_batch(model._opened)
        assert len(list(model.predict_many(pictures(3)))) == 3
        with pytest.raises(InvalidInput, match="batch: got 0"):
            model.predict_many([], batch=0)
