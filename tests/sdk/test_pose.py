"""Pose heads' layouts, cards, answers and errors; what they decode is compared in test_head_references.py."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sdk.detection_files import write_posing

import edgewise
from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.model_card import ModelCard
from edgewise.pose_card import COCO_NAMES, POSE_HEADS, PoseCard
from edgewise.tasks.heads.base import Facts
from edgewise.tasks.heads.pose import open_pose_head

PX = 1e-3
"""The references compute in float64 or in another order; positions are up to 256 pixels."""
PICTURE = Image.new("RGB", (128, 96), "grey")
FACTS = Facts((192, 256), keypoints=17)


def rng() -> np.random.Generator:
    """The same numbers each time."""
    return np.random.default_rng(0)


def test_heatmaps_are_read_whichever_way_they_lie() -> None:
    maps = rng().random((1, 17, 64, 48), np.float32)
    found = open_pose_head("heatmap", FACTS).decode([maps], 0.0)
    assert found.point_scores[0].tolist() == [float(one.max()) for one in maps[0]]
    turned = open_pose_head("heatmap", FACTS).decode([maps.transpose(0, 2, 3, 1).copy()], 0.0)
    assert np.array_equal(turned.points_xy, found.points_xy)


def test_simcc_is_read_as_mmpose_reads_it_in_either_order() -> None:
    across, down = rng().random((1, 17, 384), np.float32), rng().random((1, 17, 512), np.float32)
    found = open_pose_head("simcc", FACTS).decode([across, down], 0.0)
    for k in range(17):
        assert abs(found.points_xy[0, k, 0] - int(across[0, k].argmax()) / 2) < PX
        assert abs(found.points_xy[0, k, 1] - int(down[0, k].argmax()) / 2) < PX
        assert found.point_scores[0, k] == min(across[0, k].max(), down[0, k].max())
    swapped = open_pose_head("simcc", FACTS).decode([down, across], 0.0)
    assert np.array_equal(swapped.points_xy, found.points_xy)


def test_movenet_counts_y_first_and_in_shares_of_the_input() -> None:
    points = rng().random((1, 1, 17, 3), np.float32)
    found = open_pose_head("movenet", FACTS).decode([points], 0.0)
    for k, (y, x, score) in enumerate(points[0, 0].tolist()):
        assert abs(found.points_xy[0, k, 0] - x * 192) < PX and abs(found.points_xy[0, k, 1] - y * 256) < PX
        assert found.point_scores[0, k] == pytest.approx(score)
    seen = points[0, 0, :, 2][points[0, 0, :, 2] > 0.2]
    assert found.scores[0] == pytest.approx(seen.mean())


def test_movenet_multipose_keeps_bodies_of_its_threshold() -> None:
    rows = rng().random((1, 6, 56), np.float32)
    rows[0, :, 55] = (0.9, 0.05, 0.5, 0.0, 0.11, 0.2)
    found = open_pose_head("movenet-multipose", FACTS).decode([rows], 0.2)
    kept = [0, 2, 5]
    assert found.boxes_xyxy is not None and len(found.scores) == 3
    for place, index in enumerate(kept):
        top, left, bottom, right = rows[0, index, 51:55].tolist()
        expected = (left * 192, top * 256, right * 192, bottom * 256)
        assert np.abs(found.boxes_xyxy[place] - expected).max() < PX
        for k in range(17):
            y, x, _ = rows[0, index, 3 * k : 3 * k + 3].tolist()
            assert np.abs(found.points_xy[place, k] - (x * 192, y * 256)).max() < PX


def yolo_answer() -> np.ndarray:
    """[1, 56, 84]: two overlapping bodies and one apart, for an input of 64 x 64."""
    columns = np.zeros((1, 56, 84), np.float32)
    for place, row in ((3, (16, 24, 16, 16, 0.9)), (9, (17, 24, 16, 16, 0.7)), (20, (45, 45, 30, 30, 0.8))):
        columns[0, :5, place] = row
        columns[0, 5:, place] = np.stack([np.arange(17), np.arange(17) * 2, np.full(17, 0.5)], axis=1).ravel()
    return columns


def test_yolo_pose_suppresses_and_maps_to_the_picture(tmp_path: Path) -> None:
    path = write_posing(tmp_path / "a.onnx", {"out": yolo_answer()}, PoseCard("yolov8"))
    with edgewise.load(path) as model:
        found: edgewise.Poses = model.predict(PICTURE)
        assert model.task == "pose-estimation"
        assert len(model.predict(PICTURE, top=1)) == 1
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    assert found.boxes_xyxy is not None and found.boxes_xyxy[0].tolist() == [16, 24, 48, 48]
    expected = [(k * 2, k * 3) for k in range(17)]  # 64 x 64 to 128 x 96
    assert np.abs(found.keypoints_xy[0] - expected).max() < PX
    assert found.keypoints_xy.dtype == found.keypoint_scores.dtype == np.float32
    assert found.names == COCO_NAMES
    with edgewise.load(path, overlap_threshold=1.0, score_threshold=0.75) as model:
        assert len(model.predict(PICTURE)) == 2


def test_an_answer_is_json_reads_well_and_can_be_drawn(tmp_path: Path) -> None:
    path = write_posing(tmp_path / "a.onnx", {"out": yolo_answer()}, PoseCard("yolov8"))
    with edgewise.load(path) as model:
        found: edgewise.Poses = model.predict(PICTURE)
    values = json.loads(json.dumps(found.to_dict()))
    assert values["poses"][0]["keypoints_xy"][16] == [32, 48]
    assert found.lines()[0] == "0.900  17 of 17 points  at 0,0 to 32,48"
    drawn = np.asarray(found.draw(PICTURE)).astype(int)
    assert (np.abs(drawn - np.asarray(PICTURE)).sum(axis=2) > 0).any()
    with pytest.raises(InvalidInput, match="got a picture of"):
        found.draw(Image.new("RGB", (5, 5)))
    assert found[0].point("right_ankle") == (32, 48)
    with pytest.raises(InvalidInput, match="point: got 'tail', expected one of 'nose'"):
        found[0].point("tail")


@pytest.mark.skipif(find_spec("supervision") is not None, reason="it is installed")
def test_supervision_is_asked_for_by_name(tmp_path: Path) -> None:
    path = write_posing(tmp_path / "a.onnx", {"out": yolo_answer()}, PoseCard("yolov8"))
    with edgewise.load(path) as model, pytest.raises(EdgewiseError, match="pip install supervision"):
        model.predict(PICTURE).to_supervision()


@pytest.mark.parametrize(("wrist", "degrees"), [((10, 0), 90), ((0, 10), 180), ((0, -10), 0)])
def test_an_angle_is_told_at_its_corner(wrist: tuple[float, float], degrees: float) -> None:
    points = np.array([(0, -10), (0, 0), wrist], np.float32)
    pose = edgewise.Pose(points, np.ones(3, np.float32), ("shoulder", "elbow", "wrist"), 1.0)
    assert pose.angle_deg("shoulder", "elbow", "wrist") == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize("head", POSE_HEADS)
@pytest.mark.parametrize("shape", [(1, 5), (2, 17, 64, 48), (1, 7, 7), (0,), (1, 17, 17, 17)])
def test_outputs_that_are_not_the_heads_are_named(head: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(CardError, match=rf"head '{head}': got outputs .*, expected .*; say which head"):
        open_pose_head(head, FACTS).decode([np.zeros(shape, np.float32)], 0.5)


def test_the_head_is_said_by_card_or_caller(tmp_path: Path) -> None:
    points = np.zeros((1, 1, 17, 3), np.float32)
    path = write_posing(tmp_path / "a.onnx", {"out": points}, PoseCard("movenet"))
    with edgewise.load(path, head="movenet") as model:
        assert model.task == "pose-estimation" and len(model.predict(PICTURE)) == 1
    with edgewise.load(path, head="heatmap") as model, pytest.raises(CardError, match="head 'heatmap': got"):
        model.predict(PICTURE)
    with pytest.raises(CardError, match="got 'movenet' with task 'object-detection'"):
        edgewise.load(path, head="movenet", task="object-detection")


def test_a_card_comes_back_and_a_hostile_one_is_refused(tmp_path: Path) -> None:
    pose = PoseCard("heatmap", 3, ("a", "b", "c"), ((0, 1), (1, 2)), 0.4)
    maps = {"out": np.zeros((1, 3, 8, 8), np.float32)}
    card = edgewise.read_model(write_posing(tmp_path / "a.onnx", maps, pose)).card
    assert card is not None and card.pose == pose
    assert ModelCard.from_json(card.to_json()) == card
    assert '"pose"' not in replace(card, pose=None).to_json()
    for wrong, message in (
        ('"head":"heatmap"', "head: got 'evil'"),
        ('"keypoints":3', "keypoints: got 1000000000, expected 1 to 1000"),
        ("[[0,1],[1,2]]", r"skeleton: got \[0, 99\], expected points of 0 to 2"),
        ('["a","b","c"]', "names: got 1, expected one for each of 3"),
    ):
        bad = {'"head":"heatmap"': '"head":"evil"', '"keypoints":3': '"keypoints":1000000000',
               "[[0,1],[1,2]]": "[[0,99]]", '["a","b","c"]': '["a"]'}[wrong]  # fmt: skip
        assert wrong in card.to_json()
        with pytest.raises(CardError, match=message):
            ModelCard.from_json(card.to_json().replace(wrong, bad))
