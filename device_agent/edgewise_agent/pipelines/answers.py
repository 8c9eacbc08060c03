"""What an agent tells of an answer in a few plain values, whatever the task."""

from collections.abc import Mapping
from typing import Any

import edgewise  # its names are loaded when they are used
from edgewise.tasks.classification import Classification
from edgewise.tasks.timings import Timings
from edgewise_agent.recorder import Scalar

MOST_KINDS = 8
"""Labels counted in one event; the rest is left out."""


def confidence_of(answer: Any) -> float | None:
    """Of the best part of it, where that is a probability."""
    if isinstance(answer, Classification):
        score = answer.top.score
    elif isinstance(answer, edgewise.Detections | edgewise.Poses) and len(answer):
        score = float(answer.scores.max())
    else:
        return None
    return score if 0.0 <= score <= 1.0 else None


def told_of(answer: Any) -> dict[str, Scalar]:
    """For an event; a vector or a tensor is not told, its size is."""
    if isinstance(answer, Classification):
        top = answer.top
        return {"label": top.label or str(top.index), "score": round(top.score, 6)}
    if isinstance(answer, edgewise.Detections):
        counts = sorted(answer.counts().items(), key=lambda item: -item[1])[:MOST_KINDS]
        best = {"score": round(float(answer.scores.max()), 6)} if len(answer) else {}
        return {"detections": len(answer), "labels": _counted(counts), **best}
    if isinstance(answer, edgewise.Poses):
        return {"poses": len(answer)}
    if isinstance(answer, edgewise.Segmentation):
        areas = [(area.label or f"#{area.class_id}", round(area.share, 4)) for area in answer.areas]
        return {"areas": ", ".join(f"{label} {share:g}" for label, share in areas[:MOST_KINDS])}
    if isinstance(answer, edgewise.Anomaly):
        is_known = answer.threshold is not None
        return {"score": round(answer.score, 6), "anomalous": answer.is_anomalous if is_known else None}
    return _of_other(answer)


def timings_of(answer: Any) -> Timings | None:
    """Where the SDK tells."""
    found = getattr(answer, "timings", None)
    return found if isinstance(found, Timings) else None


def _of_other(answer: Any) -> dict[str, Scalar]:
    vector = getattr(answer, "vector", None)
    if vector is not None:
        return {"dimensions": int(vector.size)}
    if isinstance(answer, Mapping):
        return {name: _number(value) for name, value in list(answer.items())[:MOST_KINDS]}
    return {"answer": str(answer)}


def _number(value: Any) -> Scalar:
    """An output of one number; of a larger one its size in words."""
    return float(value.reshape(-1)[0]) if value.size == 1 else f"{value.size} numbers"


def _counted(counts: list[tuple[str, int]]) -> str:
    return ", ".join(f"{label} {count}" for label, count in counts)
