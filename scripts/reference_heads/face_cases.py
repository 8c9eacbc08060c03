"""Raw outputs of the face detectors' heads and of TFLite_Detection_PostProcess."""

from collections.abc import Iterator

import numpy as np

from reference_heads.raw_outputs import TALL, WIDE, Arrays, Case, crowd, spread, steps

SHORT_RANGE, FULL_RANGE = 896, 2304
"""MediaPipe's counts of anchors."""


def yunet_cases(photo: Arrays) -> Iterator[Case]:
    """Twelve maps at 320 px; ``photo`` are a trained YuNet's."""
    maps = _yunet_maps(np.random.default_rng(8))
    yield _yunet("crowd", maps, 0.3)
    yield _yunet("strict", maps, 0.9)
    yield _yunet("ties", {k: steps(v, 1 / 4) if k[:3] in ("cls", "obj") else v for k, v in maps.items()}, 0.5)
    yield _yunet("nothing", {k: v / 2 if k[:3] == "cls" else v for k, v in maps.items()}, 0.9)
    yield _yunet("photo", photo, 0.3, side=640)


def _yunet(name: str, maps: Arrays, score: float, *, side: int = 320) -> Case:
    return Case("yunet", name, maps, (side, side), ((side, side),), score, overlap=0.3, keypoints=5)


def _yunet_maps(rng: np.random.Generator) -> Arrays:
    """A twelfth of the cells have something to say, some of it more than 1, as int8 networks do."""
    maps = {}
    for stride in (8, 16, 32):
        cells = (320 // stride) ** 2
        active = rng.random((cells, 1)) < 1 / 12
        kinds = {
            "cls": rng.uniform(0.2, 1.1, (cells, 1)),
            "obj": rng.uniform(0.2, 1.1, (cells, 1)),
            "bbox": np.concatenate([rng.normal(0, 0.6, (cells, 2)), rng.normal(1, 0.6, (cells, 2))], axis=1),
            "kps": rng.normal(0.5, 1.5, (cells, 10)),
        }
        maps |= {f"{kind}_{stride}": steps(map_ * active, 1 / 64)[np.newaxis] for kind, map_ in kinds.items()}
    return {f"{kind}_{stride}": maps[f"{kind}_{stride}"] for kind in kinds for stride in (8, 16, 32)}


def blazeface_cases(short_photo: Arrays) -> Iterator[Case]:
    """Regressors and logits; ``short_photo`` are those of MediaPipe's trained short range network."""
    for name, count, side, faces, lowest in (
        ("crowd", SHORT_RANGE, 128, 60, -1.0),
        ("alone", SHORT_RANGE, 128, 5, 0.5),
        ("nothing", SHORT_RANGE, 128, 5, -9.0),
        ("full-range", FULL_RANGE, 192, 70, -1.0),
    ):
        rng = np.random.default_rng(count + faces)
        boxes, _ = crowd(rng, faces, objects=6, side=side)
        points = rng.normal(0, 0.2, (faces, 6, 2)) * boxes[:, np.newaxis, 2:]
        logits = rng.uniform(lowest, lowest + 5 if lowest > -9 else -3, (faces, 1))
        rows = np.concatenate(
            [boxes * 0, steps(points.reshape(faces, 12), 1 / 16), steps(logits, 1 / 256)], axis=1
        )
        rows[:, 2:4] = boxes[:, 2:]
        rows[:, :2] = steps(rng.normal(0, 3, (faces, 2)), 1 / 16)
        out = spread(rng, rows, count)
        out[:, 16] = np.where(out[:, 2] > 0, out[:, 16], -20)
        yield _blazeface(
            name, {"regressors": out[np.newaxis, :, :16], "classificators": out[np.newaxis, :, 16:]}, side
        )
    yield _blazeface("photo", short_photo, 128)


def _blazeface(name: str, raw: Arrays, side: int) -> Case:
    # These come to whole pixels in a letterbox of 128 or 192.
    pictures = (WIDE, TALL)
    return Case("blazeface", name, raw, (side, side), pictures, score=0.5, overlap=0.3, keypoints=6)


def ssd_case() -> Case:
    """Encodings, class scores and anchors for the operator, made from boxes that are known (`truth`)."""
    rng = np.random.default_rng(10)
    boxes, _ = crowd(rng, 60, objects=15)
    anchors = np.stack([*rng.uniform(0.1, 0.9, (2, 60)), *rng.uniform(0.1, 0.6, (2, 60))], axis=1)
    centres, sizes = boxes[:, 1::-1] / 320, boxes[:, :1:-1] / 320  # y before x
    encodings = np.concatenate(
        [(centres - anchors[:, :2]) / anchors[:, 2:] * 10, np.log(sizes / anchors[:, 2:]) * 5], axis=1
    )
    scores = np.zeros((60, 1 + 4), np.float32)  # the first is the background's
    scores[np.arange(60), 1 + rng.integers(0, 4, 60)] = rng.permutation(np.linspace(0.05, 0.95, 60))
    raw = {
        "encodings": encodings[np.newaxis].astype(np.float32),
        "class_scores": scores[np.newaxis],
        "anchors": anchors.astype(np.float32),
    }
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    return Case("ssd", "operator", raw, score=0.3, overlap=0.5, classes=4, truth={"boxes": corners})
