"""What a detector finds is cut out and answered, on real networks and photos, as one would do it by hand."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from sdk.detection_files import write_answering, write_yunet

import edgewise
from edgewise import DetectionCard, ImagePreprocess, InvalidInput, Pipeline, ThreadBudget
from edgewise.streams import SimulatedSensor
from edgewise.testing import write_tiny_model

LITE0 = ImagePreprocess((224, 224), mean=(127.0,), std=(128.0,))


def crowd(astronaut: Path) -> Image.Image:
    """The astronaut five times, in several sizes."""
    picture = Image.new("RGB", (640, 640), "grey")
    with Image.open(astronaut) as photo:
        for x, y, side in ((0, 0, 400), (400, 0, 240), (420, 260, 200), (0, 420, 120), (200, 410, 220)):
            picture.paste(photo.convert("RGB").resize((side, side)), (x, y))
    return picture


@pytest.fixture
def faces_first(yunet: Path, efficientnet_lite0: Path, tmp_path: Path) -> Iterator[Pipeline]:
    """YuNet finds faces, EfficientNet-Lite0 makes an embedding of each; both on one budget of threads."""
    budget = ThreadBudget(2)
    with (
        edgewise.load(write_yunet(tmp_path / "yunet.onnx", yunet), threads=budget) as detector,
        edgewise.load(
            efficientnet_lite0, preprocess=LITE0, task="image-embedding", threads=budget
        ) as embedder,
    ):
        yield Pipeline(detector, embedder, labels=["face"], margin=0.2)
        assert budget.running == 0


def test_real_networks_answer_each_face_as_by_hand(
    faces_first: Pipeline, astronaut_photo: Path, tmp_path: Path
) -> None:
    picture = crowd(astronaut_photo)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    for given in (picture, np.asarray(picture), tmp_path / "turned.png"):
        answer = faces_first.predict(given)
        detections = faces_first.detector.predict(given)
        assert len(answer) == len(detections) == 5
        for found, detection in zip(answer, detections, strict=True):
            assert found.detection.box_xyxy == detection.box_xyxy
            left, top, right, bottom = detection.box_xyxy
            more = 0.2 * max(right - left, bottom - top)
            box = (left - more, top - more, right + more, bottom + more)
            assert np.abs(np.clip(box, 0, 640) - found.crop_xyxy).max() <= 0.5
            by_hand = faces_first.model.predict(picture.crop(found.crop_xyxy))
            assert found.answer.cosine(by_hand) > 1 - 1e-6
        assert answer.timings.total_ms == pytest.approx(answer.latency_ms)
        json.dumps(answer.to_dict())
        assert answer.draw(given).size == (640, 640)


def test_the_same_face_is_alike_and_a_gallery_names_it(faces_first: Pipeline, astronaut_photo: Path) -> None:
    gallery = edgewise.Gallery()
    gallery.add("Collins", faces_first.predict(astronaut_photo)[0].answer)
    with Image.open(astronaut_photo) as photo:
        mirrored = ImageOps.mirror(photo.convert("RGB"))
    (match,) = gallery.search(faces_first.predict(mirrored)[0].answer)
    assert match.score > 0.9


def test_it_streams_folders_and_skips_what_is_no_picture(
    faces_first: Pipeline, astronaut_photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    crowd(astronaut_photo).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"no picture")
    Image.new("RGB", (320, 240)).save(folder / "c.png")
    with faces_first.stream(folder) as results:
        assert [len(result.answer) for result in results] == [5, 0]
        assert results.skipped == 1

    async def count() -> list[int]:
        return [len(result.answer) async for result in faces_first.astream(folder)]

    assert asyncio.run(count()) == [5, 0]
    sensor = SimulatedSensor(np.zeros((9, 1), np.float32), rate_hz=10, channels=("x",))
    with pytest.raises(InvalidInput, match="a pipeline takes pictures"):
        next(faces_first.stream(sensor))


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[edgewise.Model]:
    """A detector that finds the same four boxes in each picture of 64 x 64, the last of them outside it."""
    rows = np.array(
        [[0, 0, 32, 32, 0.9, 0], [32, 0, 64, 32, 0.8, 1], [10, 10, 14, 12, 0.7, 0], [64, 64, 70, 70, 0.6, 0]],
        np.float32,
    )
    path = write_answering(
        tmp_path / "boxes.onnx", {"rows": rows}, labels=("cup", "cap"), detection=DetectionCard("nms")
    )
    with edgewise.load(path) as model:
        yield model


def test_labels_sides_and_the_limit_say_what_is_cut_out(boxes: edgewise.Model, tiny: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32, 0] = picture[:32, 32:, 1] = 255
    with edgewise.load(tiny) as colours:
        answer = Pipeline(boxes, colours).predict(picture, top=1)
        assert [(one.detection.label, one.answer.top.label) for one in answer][:2] == [
            ("cup", "red"),
            ("cap", "green"),
        ]
        assert len(answer) == 3  # nothing of the fourth is in the picture
        assert len(answer.detections) >= 3
        assert [len(one.answer.categories) for one in answer] == [1, 1, 1]
        assert len(Pipeline(boxes, colours, min_side=3).predict(picture)) == 2
        assert len(Pipeline(boxes, colours, limit=1).predict(picture)) == 1
        (cap,) = Pipeline(boxes, colours, labels=["cap"]).predict(picture)
        assert cap.crop_xyxy == (32, 0, 64, 32)
        assert Pipeline(boxes, colours).predict(picture).lines()[1].strip().endswith("red")


def test_what_makes_no_pipeline_is_refused(boxes: edgewise.Model, tiny: Path, tmp_path: Path) -> None:
    with edgewise.load(tiny) as colours:
        with pytest.raises(
            InvalidInput, match="its task is 'image-classification', expected 'object-detection'"
        ):
            Pipeline(colours, boxes)
        with pytest.raises(InvalidInput, match="labels: got 'cat', expected some of 'cup', 'cap'"):
            Pipeline(boxes, colours, labels=["cat"])
        with pytest.raises(InvalidInput, match="margin -1"):
            Pipeline(boxes, colours, margin=-1)
        with pytest.raises(edgewise.UnreadableImage, match="missing"):
            Pipeline(boxes, colours).predict(tmp_path / "missing.png")


def test_an_empty_picture_costs_no_run_of_the_second_model(tmp_path: Path, boxes: edgewise.Model) -> None:
    path = write_tiny_model(tmp_path / "closed.tflite")
    with edgewise.load(path) as closed:
        pipeline = Pipeline(boxes, closed, labels=["cap"], min_side=40)
    assert len(pipeline.predict(np.zeros((64, 64, 3), np.uint8))) == 0  # it is closed, and nobody asks it
