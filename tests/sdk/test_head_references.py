"""Every head against the released reference implementations' numbers: the same boxes, from the same raw outputs.

scripts/head_references.py made tests/sdk/data/head_references.*: it ran the packages named in the .json.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sdk.detection_files import write_answering, write_posing

import edgewise
from edgewise.detection_card import HEADS, DetectionCard
from edgewise.model_card import ImagePreprocess
from edgewise.pose_card import POSE_HEADS, PoseCard
from edgewise.tasks.boxes import areas

FIXTURE = Path(__file__).parent / "data" / "head_references"
PX = 1e-3
"""Boxes and points, in pixels of the picture: the claim of docs/sdk.md."""
SCORE = 1e-5
"""Scores: references multiply in another order, or in float64."""
IN_THE_FILE = ("nms", "ssd")
"""Heads of networks that suppress by themselves."""
FACTS = json.loads(FIXTURE.with_suffix(".json").read_text())
CASES = {facts["key"]: facts for facts in FACTS["cases"]}
PICTURES = [(key, tuple(wh)) for key, facts in CASES.items() for wh in facts["pictures_wh"]]
POSES = ("yolov8-pose", "movenet", "movenet-multipose", "heatmap", "simcc")


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    """The fixture's arrays."""
    with np.load(FIXTURE.with_suffix(".npz")) as file:
        numbers = np.ascontiguousarray(file["float32_bytes"].T).view("<f4")[:, 0]
    return {
        name: numbers[offset : offset + math.prod(shape)].reshape(shape)
        for name, (offset, *shape) in FACTS["arrays"].items()
    }


def found_by_us(
    path: Path, facts: dict[str, Any], raw: dict[str, np.ndarray], picture_wh: tuple[int, int]
) -> edgewise.Detections | edgewise.Poses:
    """What `predict` says of a picture of this size to which a network answers ``raw``."""
    size_wh = tuple(facts["input_wh"])
    options: dict[str, Any] = {
        # MoveNet's reference begins with the middle square of a picture.
        "preprocess": ImagePreprocess(size_wh, "centre-crop" if facts["head"] == "movenet" else "letterbox"),
        "score_threshold": facts["score"],
        "overlap_threshold": None if facts["head"] in IN_THE_FILE else facts["overlap"],
    }
    if facts["head"] in POSES:
        card = PoseCard("yolov8" if facts["head"] == "yolov8-pose" else facts["head"], facts["keypoints"])
        write_posing(path, raw, card, size_wh)
        options["score_threshold"] = facts["score"] if card.head not in ("heatmap", "simcc") else 0.0
    else:
        points = facts["keypoints"] if facts["head"] in ("yolov8", "nms") else 0
        labels = tuple(f"class {index}" for index in range(facts["classes"]))
        options["head"] = DetectionCard(
            facts["head"], keypoints=points, is_class_agnostic=facts["is_class_agnostic"]
        )
        write_answering(path, raw, size_wh=size_wh, labels=labels)
    with edgewise.load(path, **options) as model:
        found = model.predict(Image.new("RGB", picture_wh))
    assert isinstance(found, edgewise.Detections | edgewise.Poses)
    return found


def expected_parts(
    numbers: dict[str, np.ndarray], key: str, picture_wh: tuple[int, int]
) -> dict[str, np.ndarray]:
    """The reference's answer, without boxes that lie outside the picture, which `Detections` leave out."""
    place = f"{key}@{picture_wh[0]}x{picture_wh[1]}/"
    parts = {name.removeprefix(place): array for name, array in numbers.items() if name.startswith(place)}
    if "boxes" not in parts:
        return parts
    parts["boxes"] = np.clip(parts["boxes"], 0, np.tile(np.float32(picture_wh), 2))
    if CASES[key]["head"] in POSES:
        return parts
    inside = areas(parts["boxes"]) > 0
    return {name: array[inside] for name, array in parts.items()}


def differences(
    found: edgewise.Detections | edgewise.Poses,
    expected: dict[str, np.ndarray],
    clip_wh: tuple[int, int] | None,
) -> dict[str, float]:
    """The largest of boxes and points in pixels and of scores; after the counts and classes were found equal."""
    points = found.keypoints_xy
    if points is not None and clip_wh:
        points = np.clip(points, 0, np.float32(clip_wh))
    ours = {"boxes": found.boxes_xyxy, "points": points}
    if isinstance(found, edgewise.Poses):
        ours["point_scores"] = found.keypoint_scores
    else:
        assert found.class_ids.tolist() == expected["classes"].tolist()
    if "scores" in expected:
        ours["scores"] = found.scores
    largest = {}
    for part, array in ours.items():
        if array is not None and part in expected:
            assert array.shape == expected[part].shape
            largest[part] = float(np.abs(array - expected[part]).max(initial=0))
    return largest


@pytest.mark.parametrize(("key", "picture_wh"), PICTURES, ids=lambda value: str(value))
def test_a_head_finds_what_its_reference_finds(
    numbers: dict[str, np.ndarray],
    tmp_path: Path,
    key: str,
    picture_wh: tuple[int, int],
) -> None:
    facts = CASES[key]
    raw = {name: numbers[place] for name, place in facts["raw"].items()}
    found = found_by_us(tmp_path / "a.onnx", facts, raw, picture_wh)
    expected = expected_parts(numbers, key, picture_wh)
    clip_wh = picture_wh if "ultralytics" in FACTS["sources"][facts["head"]] else None
    largest = differences(found, expected, clip_wh)
    assert largest.keys() >= ({"points", "point_scores"} if facts["head"] in POSES else {"boxes", "scores"})
    assert all(value <= (SCORE if "scores" in part else PX) for part, value in largest.items()), largest


def test_every_head_has_a_reference_with_something_to_find(numbers: dict[str, np.ndarray]) -> None:
    names = {facts["head"].removesuffix("-pose") for facts in CASES.values()}
    assert names == {*HEADS, *POSE_HEADS} == {head.removesuffix("-pose") for head in FACTS["sources"]}
    for head in FACTS["sources"]:
        counts = [
            len(array) for name, array in numbers.items() if name.startswith(f"{head}.") and "@" in name
        ]
        assert max(counts) > 0
