"""Overlap and non-maximum suppression, against brute force and onnxruntime's own operator."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgewise.tasks.boxes import overlaps, suppress, xyxy_from_cxcywh
from edgewise.tasks.heads.base import Candidates
from edgewise.tasks.heads.blending import blend


def random_boxes(seed: int, count: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crowded boxes [n, 4], some of no area, with scores, some of them equal, and classes."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (count, 2))
    sizes = np.where(rng.random((count, 1)) < 0.05, 0, rng.uniform(1, 40, (count, 2)))
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
    scores = np.round(rng.random(count), 2).astype(np.float32)
    return boxes, scores, rng.integers(0, classes, count)


def overlap_by_hand(first: list[float], second: list[float]) -> float:
    """Intersection over union of two boxes, in plain Python."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - common
    return common / union if union > 0 else 0.0


def suppress_by_hand(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray | None, limit: float
) -> list[int]:
    """Greedy suppression, every pair looked at."""
    kept: list[int] = []
    for place in sorted(range(len(scores)), key=lambda index: (-scores[index], index)):
        rivals = [other for other in kept if classes is None or classes[other] == classes[place]]
        if all(overlap_by_hand(boxes[other].tolist(), boxes[place].tolist()) <= limit for other in rivals):
            kept.append(place)
    return kept


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 80), st.sampled_from([0.0, 0.3, 0.45, 0.9, 1.0]), st.booleans())
def test_suppression_is_brute_force(seed: int, count: int, limit: float, by_class: bool) -> None:
    boxes, scores, classes = random_boxes(seed, count)
    ids = classes if by_class else None
    got = suppress(boxes, scores, ids, overlap_threshold=limit, limit=1000)
    assert got.tolist() == suppress_by_hand(boxes, scores, ids, limit)


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_onnxruntimes(seed: int) -> None:
    boxes, scores, _ = random_boxes(seed, 300)
    scores = np.random.default_rng(seed).permutation(np.linspace(0.1, 0.9, 300, dtype=np.float32))  # no ties
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["kept"])
    shapes = {"boxes": [1, 300, 4], "scores": [1, 1, 300], "most": [1], "overlap": [1]}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64 if name == "most" else TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    kept = helper.make_tensor_value_info("kept", TensorProto.INT64, [None, 3])
    graph = helper.make_graph([node], "nms", inputs, [kept])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for limit in (0.2, 0.45, 0.7):
        feed = {
            "boxes": boxes[np.newaxis],
            "scores": scores[np.newaxis, np.newaxis],
            "most": np.array([300]),
            "overlap": np.array([limit], np.float32),
        }
        expected = session.run(None, feed)[0][:, 2].tolist()
        assert suppress(boxes, scores, overlap_threshold=limit).tolist() == expected
        assert 10 < len(expected) < 290


def test_at_most_so_many_boxes_stay_and_they_are_the_best() -> None:
    boxes, scores, _ = random_boxes(1, 100)
    every = suppress(boxes, scores, overlap_threshold=0.5, limit=1000).tolist()
    assert suppress(boxes, scores, overlap_threshold=0.5, limit=7).tolist() == every[:7]


def test_boxes_without_area_overlap_nothing() -> None:
    point = np.array([5, 5, 5, 5], np.float32)
    assert overlaps(point, np.array([[0, 0, 9, 9], [5, 5, 5, 5]], np.float32)).tolist() == [0, 0]


def test_blended_boxes_are_means_by_score_and_one_without_area_stays_alone() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 5], [2, 0, 12, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.6, 0.9, 0.2, 0.7], np.float32)
    found = blend(Candidates(boxes, scores, np.zeros(4, np.int64)), overlap_threshold=0.3)
    assert found.scores.tolist() == scores[[1, 3, 0]].tolist()
    assert found.boxes_xyxy[:2].tolist() == boxes[[1, 3]].tolist()
    assert found.boxes_xyxy[2].tolist() == pytest.approx([0.5, 0, 10.5, 10])
    assert (
        blend(Candidates(boxes[:0], scores[:0], np.zeros(0, np.int64)), overlap_threshold=0.3).scores.size
        == 0
    )


def test_centre_and_size_become_corners() -> None:
    assert xyxy_from_cxcywh(np.array([[5, 6, 4, 2]], np.float32)).tolist() == [[3, 5, 7, 7]]
