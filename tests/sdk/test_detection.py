"""Decoding every head, from outputs that are made up; the answer's arrays, words and pictures."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sdk.detection_files import write_answering

import edgewise
from edgewise.detection_card import HEADS, DetectionCard
from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.tasks.heads.base import Facts
from edgewise.tasks.heads.choice import guess_head, open_head
from edgewise.testing import write_tiny_detector

PICTURE = Image.new("RGB", (128, 96), "grey")
LABELS = ("cat", "dog", "bird")
ANCHORS = 84
FLAT = 0.1 / 255
"""What the compiled resize leaves a flat area off by at most (docs/decisions/0011)."""
"""64 / 8 squared, 64 / 16 squared and 64 / 32 squared together."""


def yolo_rows(*rows: tuple[float, ...], width: int, count: int = ANCHORS) -> np.ndarray:
    """[1, count, width]: these rows, the rest 0."""
    output = np.zeros((1, count, width), np.float32)
    for place, row in enumerate(rows):
        output[0, place * 7 + 3, : len(row)] = row
    return output


def detect(
    tmp_path: Path, answers: dict[str, np.ndarray], head: str | DetectionCard, **options: object
) -> edgewise.Detections:
    """What a model of 64 x 64 that answers so finds in a picture of 128 x 96."""
    path = write_answering(tmp_path / "a.onnx", answers, labels=LABELS)
    with edgewise.load(path, head=head, **options) as model:  # type: ignore[arg-type]  # keywords by name, checked when called
        found = model.predict(PICTURE)
    assert isinstance(found, edgewise.Detections)
    return found


def assert_cat_and_dog(found: edgewise.Detections) -> None:
    """A cat at 8,16 to 24,32 and a dog at 30,30 to 60,60 of the input, which the picture is stretched to."""
    assert found.labels == ("cat", "dog")
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    assert found.class_ids.tolist() == [0, 1]
    assert found.boxes_xyxy.tolist() == [[16, 24, 48, 48], [60, 45, 120, 90]]
    assert (found.boxes_xyxy.dtype, found.scores.dtype) == (np.float32, np.float32)


CAT_DOG_V8 = ((16, 24, 16, 16, 0.9, 0.1, 0.0), (45, 45, 30, 30, 0.2, 0.8, 0.1))
CAT_DOG_V5 = ((16, 24, 16, 16, 0.9, 1.0, 0.1, 0.0), (45, 45, 30, 30, 1.0, 0.2, 0.8, 0.1))


def test_yolov8_is_read_whichever_way_it_lies(tmp_path: Path) -> None:
    rows = yolo_rows(*CAT_DOG_V8, width=7)
    assert_cat_and_dog(detect(tmp_path, {"out": rows}, "yolov8"))
    assert_cat_and_dog(detect(tmp_path, {"out": rows.transpose(0, 2, 1).copy()}, "yolov8"))


def test_without_a_word_yolov8s_thresholds_are_ultralytics(tmp_path: Path) -> None:
    for score, overlap_px, expected in ((0.26, 2, 1), (0.24, 2, 0), (0.26, 4, 2)):
        rows = [(16 + shift, 24, 16, 16, score, 0, 0) for shift in (0, overlap_px)]  # 14 / 18 and 12 / 20
        found = detect(tmp_path, {"out": yolo_rows(*rows, width=7)}, "yolov8")
        assert len(found) == expected


def test_yolov8_keypoints_are_read_without_their_visibility(tmp_path: Path) -> None:
    row = (16, 24, 16, 16, 0.9, 0.1, 0.0, 10, 20, 0.5, 30, 40, 0.7)
    found = detect(tmp_path, {"out": yolo_rows(row, width=13)}, DetectionCard("yolov8", keypoints=2))
    assert found.keypoints_xy is not None
    assert found.keypoints_xy.tolist() == [[[20, 30], [60, 60]]]


def test_yolov5_multiplies_by_objectness(tmp_path: Path) -> None:
    found = detect(tmp_path, {"out": yolo_rows(*CAT_DOG_V5, width=8, count=252)}, "yolov5")
    assert_cat_and_dog(found)


def ssd_answers() -> dict[str, np.ndarray]:
    """Cat and dog as shares of the input, and a third that the count leaves out."""
    boxes = np.array([[[16, 8, 32, 24], [30, 30, 60, 60], [0, 0, 64, 64]]], np.float32) / 64
    return {
        "boxes": boxes,
        "classes": np.array([[0, 1, 2]], np.float32),
        "scores": np.array([[0.9, 0.8, 0.7]], np.float32),
        "count": np.array([2], np.float32),
    }


def test_ssd_is_read_in_its_order_or_by_its_names(tmp_path: Path) -> None:
    answers = ssd_answers()
    assert_cat_and_dog(detect(tmp_path, answers, "ssd"))
    reordered = {name: answers[name] for name in ("scores", "count", "classes", "boxes")}
    assert_cat_and_dog(detect(tmp_path, reordered, "ssd"))
    nameless = {f"out{place}": array for place, array in enumerate(reordered.values())}
    with pytest.raises(CardError, match=r"a\.onnx: head 'ssd': got outputs .* a name with 'score'"):
        detect(tmp_path, nameless, "ssd")


def test_an_ssd_may_leave_anything_beyond_its_count_but_no_nan_within(tmp_path: Path) -> None:
    answers = ssd_answers()
    for name in ("boxes", "classes", "scores"):
        answers[name][0, 2] = np.nan
    assert_cat_and_dog(detect(tmp_path, answers, "ssd"))
    answers["count"][0] = 3
    with pytest.raises(InvalidInput, match="head 'ssd': the model gave NaN"):
        detect(tmp_path, answers, "ssd")


@pytest.mark.parametrize("batched", [True, False])
def test_finished_boxes_are_read_and_padding_is_not(tmp_path: Path, batched: bool) -> None:
    six = np.array([[8, 16, 24, 32, 0.9, 0], [30, 30, 60, 60, 0.8, 1], [0, 0, 0, 0, 0, 0]], np.float32)
    assert_cat_and_dog(detect(tmp_path, {"out": six[np.newaxis] if batched else six}, "nms"))
    assert_cat_and_dog(detect(tmp_path, {"out": six}, "nms", score_threshold=0.0))
    seven = np.array([[0, 30, 30, 60, 60, 1, 0.8], [0, 8, 16, 24, 32, 0, 0.9]], np.float32)
    assert_cat_and_dog(detect(tmp_path, {"out": seven}, "nms"))


def test_overlapping_boxes_of_one_class_become_one_and_of_two_classes_stay(tmp_path: Path) -> None:
    rows = ((16, 24, 16, 16, 0.9, 0, 0), (17, 24, 16, 16, 0.7, 0, 0), (16, 25, 16, 16, 0, 0.6, 0))
    answers = {"out": yolo_rows(*rows, width=7)}
    assert detect(tmp_path, answers, "yolov8").labels == ("cat", "dog")
    agnostic = DetectionCard("yolov8", is_class_agnostic=True)
    assert detect(tmp_path, answers, agnostic).labels == ("cat",)
    assert detect(tmp_path, answers, "yolov8", overlap_threshold=1.0).labels == ("cat", "cat", "dog")
    assert detect(tmp_path, answers, "yolov8", score_threshold=0.65, overlap_threshold=1.0).labels == (
        "cat",
        "cat",
    )


def test_boxes_are_clipped_and_those_outside_the_picture_are_dropped(tmp_path: Path) -> None:
    rows = ((0, 0, 16, 16, 0.9, 0, 0), (80, 20, 8, 8, 0.8, 0, 0))
    found = detect(tmp_path, {"out": yolo_rows(*rows, width=7)}, "yolov8")
    assert found.boxes_xyxy.tolist() == [[0, 0, 16, 12]]


def test_nothing_found_is_an_answer(tmp_path: Path) -> None:
    found = detect(tmp_path, {"out": yolo_rows(width=7)}, "yolov8")
    assert (len(found), list(found), found.labels, found.boxes_xyxy.shape) == (0, [], (), (0, 4))
    assert found.lines() == ["nothing found"]
    assert found.draw(PICTURE).tobytes() == PICTURE.tobytes()


def test_a_thousand_boxes_are_cut_to_the_best(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform(0, 64, (1000, 4)), np.linspace(0.3, 0.9, 1000)[:, np.newaxis]], axis=1)
    boxes = np.zeros((1000, 6), np.float32)
    boxes[:, :2], boxes[:, 2:4], boxes[:, 4] = rows[:, :2] / 2, 32 + rows[:, 2:4] / 2, rows[:, 4]
    found = detect(tmp_path, {"out": boxes}, "nms")
    assert len(found) == 300
    assert (np.diff(found.scores) <= 0).all()
    with edgewise.load(tmp_path / "a.onnx", head="nms") as model:
        assert len(model.predict(PICTURE, top=5)) == 5
        with pytest.raises(InvalidInput, match="top: got 0, expected at least 1"):
            model.predict(PICTURE, top=0)


def test_nan_is_not_made_into_boxes(tmp_path: Path) -> None:
    rows = yolo_rows((np.nan, 24, 16, 16, 0.9), width=7)
    with pytest.raises(InvalidInput, match="output 'out': the model gave NaN"):
        detect(tmp_path, {"out": rows}, "yolov8")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", [(1, 5), (1, 84, 3), (2, 84, 85), (1, 7, 7), (0,)])
def test_outputs_that_are_not_the_heads_are_named(head: str, shape: tuple[int, ...]) -> None:
    decoder = open_head(head, Facts((64, 64), LABELS, output_names=("out",)))
    with pytest.raises(CardError, match=rf"head '{head}': got outputs .*, expected .*; say which head"):
        decoder.decode([np.zeros(shape, np.float32)], 0.5)


def test_a_head_is_guessed_only_without_doubt() -> None:
    facts, unlabelled = Facts((64, 64), LABELS), Facts((64, 64))
    assert guess_head([(1, 7, ANCHORS)], facts) == guess_head([(1, ANCHORS, 7)], facts) == "yolov8"
    assert guess_head([(1, 3 * ANCHORS, 8)], facts) == "yolov5"
    assert guess_head([(1, ANCHORS, 8)], facts) == ""  # YOLOX: not decoded in the graph
    assert guess_head([(1, 7, ANCHORS)], unlabelled) == ""
    assert guess_head([(1, 10, 4), (1, 10), (1, 10), (1,)], facts) == "ssd"
    assert guess_head([(1, 300, 6)], facts) == guess_head([(10, 7)], facts) == ""
    assert guess_head([(1, 896, 1), (1, 896, 16)], facts) == "blazeface"


def test_a_guess_is_said_and_doubt_is_an_error(tmp_path: Path) -> None:
    path = write_answering(tmp_path / "a.onnx", {"out": yolo_rows(*CAT_DOG_V8, width=7)}, labels=LABELS)
    with edgewise.load(path) as model:
        found = model.predict(PICTURE)
    assert_cat_and_dog(found)
    assert found.lines()[-1] == "head yolov8, guessed from the outputs' shapes"
    assert found.to_dict()["is_head_guessed"] is True
    write_answering(path, {"out": yolo_rows(*CAT_DOG_V8, width=7)})
    with (
        edgewise.load(path) as model,
        pytest.raises(
            CardError, match=r"a\.onnx: .* do not tell the head; give load\(\) head= one of 'yolov8'"
        ),
    ):
        model.predict(PICTURE)


def test_the_card_says_head_and_thresholds_and_the_caller_wins(tmp_path: Path) -> None:
    card = DetectionCard("yolov8", score_threshold=0.85)
    path = write_answering(
        tmp_path / "a.onnx", {"out": yolo_rows(*CAT_DOG_V8, width=7)}, labels=LABELS, detection=card
    )
    with edgewise.load(path) as model:
        assert model.predict(PICTURE).labels == ("cat",)
    with edgewise.load(path, score_threshold=0.5) as model:
        assert_cat_and_dog(model.predict(PICTURE))
    with edgewise.load(path, head="yolov5") as model, pytest.raises(CardError, match="head 'yolov5': got"):
        model.predict(PICTURE)
    with pytest.raises(CardError, match="score_threshold: got 40, expected 0 to 1"):
        edgewise.load(path, score_threshold=40)
    with pytest.raises(CardError, match="head: got 'yolo', expected one of 'yolov8', 'yolov5'"):
        edgewise.load(path, head="yolo")


def test_an_answer_is_json_and_reads_well(tmp_path: Path) -> None:
    found = detect(tmp_path, {"out": yolo_rows(*CAT_DOG_V8, width=7)}, "yolov8")
    values = json.loads(json.dumps(found.to_dict()))
    assert values["detections"][0]["box_xyxy"] == [16, 24, 48, 48]
    assert values["picture_wh"] == [128, 96]
    assert found.lines() == ["0.900  cat  at 16,24 to 48,48", "0.800  dog  at 60,45 to 120,90"]
    assert str(found).startswith("1 cat, 1 dog (")
    assert [one.name for one in found] == ["cat", "dog"]
    assert found[1].box_xyxy == (60, 45, 120, 90)
    assert found.counts() == {"cat": 1, "dog": 1}
    assert found.latency_ms > 0


def test_drawing_marks_the_boxes_and_leaves_the_given_picture_alone(tmp_path: Path) -> None:
    found = detect(tmp_path, {"out": yolo_rows(*CAT_DOG_V8, width=7)}, "yolov8")
    before = PICTURE.tobytes()
    drawn = np.asarray(found.draw(PICTURE)).astype(int)
    assert PICTURE.tobytes() == before
    changed = np.abs(drawn - np.asarray(PICTURE)).sum(axis=2) > 0
    assert changed[24:48, 16].all() and changed[47, 16:48].all()  # left and lower edge of the cat
    assert not changed[60:, :50].any()
    ground = drawn[10:24, 16:60].reshape(-1, 3)  # the label's: its colour, and ink on it
    assert np.ptp(ground.sum(axis=1)) > 300
    with pytest.raises(InvalidInput, match=r"got a picture of \(5, 5\), expected the one that was looked at"):
        found.draw(Image.new("RGB", (5, 5)))


@pytest.mark.skipif(find_spec("supervision") is not None, reason="it is installed")
def test_supervision_is_asked_for_by_name(tmp_path: Path) -> None:
    found = detect(tmp_path, {"out": yolo_rows(*CAT_DOG_V8, width=7)}, "yolov8")
    with pytest.raises(EdgewiseError, match="pip install supervision"):
        found.to_supervision()


def test_the_detector_for_tests_finds_the_middle_of_green_pictures(tmp_path: Path) -> None:
    with edgewise.load(write_tiny_detector(tmp_path / "a.tflite")) as model:
        found = model.predict(Image.new("RGB", (80, 40), (0, 204, 0)))
        assert found.boxes_xyxy.tolist() == [[20, 10, 60, 30]]
        assert (found.labels, found.scores.tolist()) == (("here",), [pytest.approx(0.8, abs=FLAT)])
        assert len(model.predict(Image.new("RGB", (80, 40), "red"))) == 0
