"""Raw outputs of the YOLO heads and of those that suppress in the graph."""

from collections.abc import Iterator

import numpy as np

from reference_heads.raw_outputs import EVEN, ODD, TALL, WIDE, Case, crowd, grid, spread, steps

CELLS = 2100
"""40 squared, 20 squared and 10 squared together: an input of 320 px."""
CLASSES = 8


def yolo_cases(nudenet_answer: np.ndarray) -> Iterator[Case]:
    """yolov8, yolov5, nms and the pose head of yolov8. ``nudenet_answer`` is [1, 22, 2100]."""
    yield from _yolov8(nudenet_answer)
    yield from _yolov5()
    yield from _pose()
    yield from _finished()


def _yolov8(nudenet_answer: np.ndarray) -> Iterator[Case]:
    def case(name: str, boxes: np.ndarray, scores: np.ndarray, seed: int = 0, **more: object) -> Case:
        rows = spread(np.random.default_rng(seed), np.concatenate([boxes, scores], axis=1), CELLS)
        more = {"pictures_wh": (WIDE,), "overlap": 0.7, **more}
        return Case("yolov8", name, {"out": rows.T[np.newaxis]}, classes=scores.shape[1], **more)  # type: ignore[arg-type]  # keywords by name, checked when called

    boxes, scores = crowd(np.random.default_rng(1), 200, classes=CLASSES)
    yield case("crowd", boxes, scores, pictures_wh=(*EVEN, ODD))
    yield case("agnostic", boxes, scores, overlap=0.45, is_class_agnostic=True)
    yield case("low-threshold", boxes, scores, score=0.001, overlap=0.6)
    boxes, scores = crowd(np.random.default_rng(2), 100, classes=80, objects=40)
    yield case("80-classes", boxes, steps(scores * (scores > 0.25), 1 / 4096))
    boxes, scores = crowd(np.random.default_rng(3), 200, classes=2, objects=6)
    yield case("ties", boxes, steps(scores, 1 / 4))
    yield case("scores-at-the-threshold", boxes[:64], np.repeat([[0.25], [0.2500001]], 32, 0), overlap=1.0)
    yield case("nothing", boxes[:8], np.full((8, 1), 0.1, np.float32))
    rng = np.random.default_rng(4)
    many = rng.permutation(np.linspace(0.3, 0.9, 420, dtype=np.float32))[:, np.newaxis]
    yield case("more-than-300", grid(420), many)
    seen = nudenet_answer[:, 4:].max(axis=1, keepdims=True) > 0.01
    photo = {"out": (nudenet_answer * seen).astype(np.float32)}
    yield Case("yolov8", "nudenet-photo", photo, score=0.02, classes=18, pictures_wh=(WIDE, TALL))


def _yolov5() -> Iterator[Case]:
    def case(
        name: str, boxes: np.ndarray, objectness: np.ndarray, scores: np.ndarray, **more: object
    ) -> Case:
        rows = np.concatenate([boxes, objectness[:, np.newaxis], scores], axis=1)
        out = spread(np.random.default_rng(0), rows, 3 * CELLS)[np.newaxis]
        return Case("yolov5", name, {"out": out}, classes=scores.shape[1], **{"pictures_wh": (WIDE,), **more})  # type: ignore[arg-type]  # keywords by name, checked when called

    rng = np.random.default_rng(5)
    boxes, scores = crowd(rng, 160, classes=CLASSES)
    objectness = steps(rng.uniform(0.3, 1, 160), 1 / 4096)
    yield case("crowd", boxes, objectness, scores, pictures_wh=EVEN)
    yield case("agnostic", boxes, objectness, scores, is_class_agnostic=True)
    yield case("low-threshold", boxes, objectness, scores, score=0.001, overlap=0.6)
    exact = np.concatenate([np.full(32, 0.5), np.linspace(0.51, 1, 32)])[
        :, np.newaxis
    ]  # times 0.5: at least 0.25
    yield case("scores-at-the-threshold", boxes[:64], np.full(64, 0.5, np.float32), exact, overlap=1.0)
    yield case("nothing", boxes[:8], np.full(8, 0.2, np.float32), scores[:8])
    many = rng.permutation(np.linspace(0.3, 0.9, 420, dtype=np.float32))
    yield case("more-than-300", grid(420), many, np.ones((420, 1), np.float32))


def _pose() -> Iterator[Case]:
    rng = np.random.default_rng(6)
    for name, count, score in (("crowd", 40, 0.25), ("nothing", 4, 0.995)):
        boxes, scores = crowd(rng, count, objects=5)
        points = boxes[:, np.newaxis, :2] + rng.uniform(-0.6, 0.6, (count, 17, 2)) * boxes[:, np.newaxis, 2:]
        seen = steps(rng.random((count, 17, 1)), 1 / 4096)
        rows = np.concatenate([steps(points, 1 / 16), seen], axis=2).reshape(count, 51)
        out = spread(rng, np.concatenate([boxes, scores, rows], axis=1), CELLS).T[np.newaxis]
        yield Case(
            "yolov8-pose",
            name,
            {"out": out},
            score=score,
            overlap=0.7,
            keypoints=17,
            pictures_wh=(WIDE, ODD),
        )


def _finished() -> Iterator[Case]:
    rng = np.random.default_rng(7)
    for name, keypoints in (("boxes", 0), ("points", 5)):
        boxes, scores = crowd(rng, 60)
        corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
        best_first = -np.sort(-scores[:, :1], axis=0)
        best_first[30] = 0.25
        ids = rng.integers(0, CLASSES, (60, 1))
        points = steps(rng.uniform(0, 320, (60, 3 * keypoints)), 1 / 16)
        rows = np.concatenate([corners, best_first, ids, points], axis=1).astype(np.float32)
        out = np.zeros((1, 300, rows.shape[1]), np.float32)
        out[0, :60] = rows
        yield Case("nms", name, {"out": out}, classes=CLASSES, keypoints=keypoints, pictures_wh=(WIDE, ODD))
