"""Trained detectors on a photo: against OpenCV, against references written out here, and against the eye."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sdk.detection_files import NUDENET_INPUT, YUNET_INPUT, nudenet_labels, write_nudenet, write_yunet

import edgewise
from edgewise.model_card import ImagePreprocess
from edgewise.tasks.heads.faces import blazeface_anchors
from model_sources.environments import environment

EYES_XY = ((204, 106), (246, 107))
"""Of the astronaut, by eye, in pixels."""
EYE_PX = 8.0
"""An iris of that photo is about that wide."""
FACE_XYXY = (170, 60, 280, 185)
"""Chin to forehead, ear to ear; detectors differ on how much of the forehead is face."""
FACE_OVERLAP = 0.6
OPENCV_PX = 0.05
"""OpenCV's DNN module and onnxruntime sum convolutions in another order; boxes are up to 640 pixels wide."""
OPENCV_SCORE = 1e-3
TURNED_PX = 0.5
"""Pillow rounds to bytes between scaling along one axis and the other, so a turned picture's differ by one."""
MAPPED_PX = 1e-3
"""The reference maps in float64 and the product ends in float32, whose spacing at 512 is 6e-5."""

OPENCV = """
import json, sys, cv2
picture = cv2.imread(sys.argv[2])
detector = cv2.FaceDetectorYN.create(sys.argv[1], "", picture.shape[1::-1], 0.3, 0.3, 5000)
faces = detector.detect(picture)[1]
print(json.dumps([] if faces is None else faces.tolist()))
"""


def overlap(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = max(min(first[2], second[2]) - max(first[0], second[0]), 0)
    height = max(min(first[3], second[3]) - max(first[1], second[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def assert_the_astronauts_face(found: edgewise.Detections) -> None:
    """One face, where it is."""
    assert found.labels == ("face",)
    assert found.scores[0] > 0.8
    assert overlap(tuple(found.boxes_xyxy[0]), FACE_XYXY) > FACE_OVERLAP
    assert found.keypoints_xy is not None
    assert np.abs(found.keypoints_xy[0, :2] - EYES_XY).max() < EYE_PX


@pytest.mark.parametrize("resize", ["letterbox", "stretch", "centre-crop"])
def test_yunet_finds_the_face_and_nothing_else(yunet: Path, astronaut_photo: Path, resize: str) -> None:
    preprocess = ImagePreprocess((640, 640), resize, colour="bgr")
    with edgewise.load(yunet, preprocess=preprocess, head="yunet", task="object-detection") as model:
        found = model.predict(astronaut_photo)
    assert_the_astronauts_face(found)
    assert (found.head, found.is_head_guessed) == ("yunet", False)


@pytest.mark.parametrize(
    ("name", "side"),
    [("face_detection_front", 128), ("face_detection_back", 256), ("face_detection_full_range_sparse", 192)],
)
def test_blazeface_finds_the_face_and_nothing_else(
    faces: Path, astronaut_photo: Path, name: str, side: int
) -> None:
    preprocess = ImagePreprocess((side, side), "letterbox", mean=(127.5,), std=(127.5,))
    with edgewise.load(faces / f"{name}.tflite", preprocess=preprocess) as model:
        found = model.predict(astronaut_photo)
        assert model.task == "object-detection"
    assert_the_astronauts_face(found)
    assert (found.head, found.is_head_guessed) == ("blazeface", True)
    assert found.keypoints_xy is not None and found.keypoints_xy.shape == (1, 6, 2)


def test_a_face_is_found_where_the_photo_has_it_when_it_is_stored_turned_or_is_a_part(
    yunet: Path, astronaut_photo: Path, tmp_path: Path
) -> None:
    with Image.open(astronaut_photo) as photo:
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = photo.convert("RGB").transpose(Image.Transpose.ROTATE_90)
        turned.save(tmp_path / "turned.png", exif=exif)
        wide = Image.new("RGB", (1000, 512))
        wide.paste(photo, (300, 0))
    with edgewise.load(yunet, preprocess=YUNET_INPUT) as model:
        whole, stored_turned, shifted = map(model.predict, (astronaut_photo, tmp_path / "turned.png", wide))
    assert_the_astronauts_face(stored_turned)
    assert np.abs(stored_turned.boxes_xyxy - whole.boxes_xyxy).max() < TURNED_PX
    assert len(shifted) == 1
    assert overlap(tuple(shifted.boxes_xyxy[0] - [300, 0, 300, 0]), FACE_XYXY) > FACE_OVERLAP


def test_yunet_agrees_with_opencv(yunet: Path, astronaut_photo: Path, tmp_path: Path) -> None:
    with Image.open(astronaut_photo) as photo:
        crowd = Image.new("RGB", (640, 640), "grey")
        for x, y, side in ((0, 0, 400), (400, 0, 240), (420, 260, 200), (0, 420, 120), (200, 410, 220)):
            crowd.paste(photo.convert("RGB").resize((side, side)), (x, y))
    crowd.save(tmp_path / "crowd.png")
    python = environment("opencv", ["opencv-python-headless==4.12.0.88", "numpy<2.3"])
    command = [python, "-c", OPENCV, yunet, tmp_path / "crowd.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = np.array(json.loads(done.stdout))
    with edgewise.load(yunet, preprocess=YUNET_INPUT, score_threshold=0.3, overlap_threshold=0.3) as model:
        found = model.predict(tmp_path / "crowd.png")
    assert len(found) == len(expected) >= 5
    expected = expected[np.argsort(-expected[:, 14])]
    boxes = np.concatenate([expected[:, :2], expected[:, :2] + expected[:, 2:4]], axis=1).clip(0, 640)
    assert np.abs(found.scores - expected[:, 14]).max() < OPENCV_SCORE
    assert np.abs(found.boxes_xyxy - boxes).max() < OPENCV_PX
    assert found.keypoints_xy is not None
    assert np.abs(found.keypoints_xy.reshape(-1, 10) - expected[:, 4:14]).max() < OPENCV_PX


def nudenet_by_hand(
    output: np.ndarray, min_score: float, max_overlap: float
) -> list[tuple[float, int, list[float]]]:
    """Ultralytics' layout, box by box: (score, class, xyxy in pixels of the input), best first."""
    found = []
    for column in output[0].T:
        cx, cy, w, h = column[:4]
        class_id = max(range(18), key=lambda index: column[4 + index])
        score = column[4 + class_id]
        if score >= min_score:
            half = np.float32(2)
            found.append(
                (float(score), class_id, [cx - w / half, cy - h / half, cx + w / half, cy + h / half])
            )
    found.sort(key=lambda one: -one[0])
    kept: list[tuple[float, int, list[float]]] = []
    for one in found:
        rivals = [other for other in kept if other[1] == one[1]]
        if all(overlap(tuple(other[2]), tuple(one[2])) <= max_overlap for other in rivals):
            kept.append(one)
    return kept


@pytest.mark.parametrize("size_wh", [(512, 512), (900, 600), (333, 777)])
def test_yolov8_agrees_with_a_reference_on_a_trained_network(
    nudenet: Path, astronaut_photo: Path, size_wh: tuple[int, int]
) -> None:
    with Image.open(astronaut_photo) as photo:
        picture = photo.convert("RGB").resize(size_wh)
    with edgewise.load(
        nudenet,
        preprocess=NUDENET_INPUT,
        labels=nudenet_labels(nudenet),
        task="object-detection",
        head="yolov8",
        score_threshold=0.02,
        overlap_threshold=0.45,
    ) as model:
        found = model.predict(picture)
        tensor = model.image_reader().read(picture)
    (output,) = onnxruntime.InferenceSession(str(nudenet)).run(None, {"images": tensor})
    expected = nudenet_by_hand(output, 0.02, 0.45)
    assert len(found) == len(expected) >= 3
    assert found.class_ids.tolist() == [class_id for _, class_id, _ in expected]
    assert found.scores.tolist() == [score for score, _, _ in expected]
    scale = min(320 / size_wh[0], 320 / size_wh[1])
    inner = [round(side * scale) for side in size_wh]
    border = [(320 - side) // 2 for side in inner]
    for box, (_, _, input_box) in zip(found.boxes_xyxy, expected, strict=True):
        for place, value in enumerate(input_box):
            axis = place % 2
            mapped = (float(value) - border[axis]) * size_wh[axis] / inner[axis]
            assert abs(box[place] - min(max(mapped, 0), size_wh[axis])) < MAPPED_PX


def test_a_card_makes_load_and_predict_enough(
    nudenet: Path, yunet: Path, astronaut_photo: Path, tmp_path: Path
) -> None:
    with edgewise.load(write_nudenet(tmp_path / "n.onnx", nudenet)) as model:
        found = model.predict(astronaut_photo)
    assert found.counts() == {"FACE_FEMALE": 1}
    assert overlap(tuple(found.boxes_xyxy[0]), FACE_XYXY) > FACE_OVERLAP
    with edgewise.load(write_yunet(tmp_path / "y.onnx", yunet)) as model:
        assert_the_astronauts_face(model.predict(astronaut_photo))


def test_blazefaces_anchors_are_mediapipes() -> None:
    # mediapipe/calculators/tflite/ssd_anchors_calculator.cc, with the options of face_detection_short_range
    expected = []
    strides, layer = [8, 16, 16, 16], 0
    while layer < len(strides):
        same = layer
        per_cell = 0
        while same < len(strides) and strides[same] == strides[layer]:
            per_cell += 2  # one for aspect_ratios: 1.0, one for interpolated_scale_aspect_ratio: 1.0
            same += 1
        cells = math.ceil(128 / strides[layer])
        for y in range(cells):
            for x in range(cells):
                expected += [((x + 0.5) / cells, (y + 0.5) / cells)] * per_cell
        layer = same
    assert np.array_equal(blazeface_anchors(896), np.array(expected, np.float32))
    assert blazeface_anchors(2304)[49].tolist() == pytest.approx([1.5 / 48, 1.5 / 48])
