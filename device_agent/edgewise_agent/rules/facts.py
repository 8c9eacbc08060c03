"""Each kind of answer as plain numbers and texts for expressions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from edgewise.pipeline import PipelineAnswer
from edgewise.tasks.anomaly import Anomaly
from edgewise.tasks.classification import Category, Classification
from edgewise.tasks.detection import Detections
from edgewise.tasks.embedding import Embedding
from edgewise.tasks.gallery import Match
from edgewise.tasks.keyword_spotting import Keyword
from edgewise.tasks.pose import Poses
from edgewise.tasks.segmentation import Segmentation
from edgewise.tasks.series_classification import SeriesAnswer
from edgewise.tasks.tensors import Tensors
from edgewise.tasks.text.page import PageText, TextLine
from edgewise.tasks.voice_activity import SpeechSegment

MAX_BOXES = 100
"""Expressions see the best of more; an answer has 100 unless its model says otherwise."""


@dataclass(frozen=True)
class Box:
    """One object; numbers are shares of the picture's width, height or area."""

    label: str
    score: float
    x: float
    """Of its middle."""
    y: float
    """Of its lower edge: where it stands."""
    width: float
    height: float
    left: float
    top: float

    @property
    def area(self) -> float:
        """Its share of the picture."""
        return self.width * self.height


@dataclass(frozen=True)
class Facts:
    """What expressions know of one answer, apart from zones, lines and windows."""

    kind: str
    """Of the answer, as the vocabulary names them."""
    label: str = ""
    score: float = 0.0
    margin: float = 0.0
    total: int = 0
    text: str = ""
    threshold: float = 0.0
    is_anomalous: bool = False
    top_channel: str = ""
    is_speech: bool = False
    duration_s: float = 0.0
    boxes: tuple[Box, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    """The best score of each label."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often each label occurs."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Which share of the picture each label covers."""
    outputs: Mapping[str, float] = field(default_factory=dict)
    """The first number of each output."""


def facts_of(result: Any) -> Facts:
    """The facts of any answer of a task. Raises TypeError for anything else. Numbers that are not finite are 0."""
    return _finite(_facts(result))


@singledispatch
def _facts(result: Any) -> Facts:
    raise TypeError(f"got {type(result).__name__}, expected the answer of a task")


@_facts.register
def _(result: Classification) -> Facts:
    return _of_categories(result.categories)


@_facts.register
def _(result: SeriesAnswer) -> Facts:
    return replace(
        Facts("classification", result.label or f"#{result.index}", result.score, total=1),
        scores={result.label or f"#{result.index}": result.score},
        counts={result.label or f"#{result.index}": 1},
    )


@_facts.register
def _(result: Detections) -> Facts:
    width, height = result.picture_wh
    boxes = tuple(
        _box(one.name, one.score, one.box_xyxy, (width, height))
        for _, one in zip(range(MAX_BOXES), result, strict=False)
    )
    return _of_boxes("detections", boxes, total=len(result), counts=result.counts())


@_facts.register
def _(result: PipelineAnswer) -> Facts:
    return _facts(result.detections)


@_facts.register
def _(result: Poses) -> Facts:
    boxes = []
    for _, one in zip(range(MAX_BOXES), result, strict=False):
        xyxy = one.box_xyxy
        if xyxy is None:  # the points' own
            (left, top), (right, bottom) = one.keypoints_xy.min(axis=0), one.keypoints_xy.max(axis=0)
            xyxy = (float(left), float(top), float(right), float(bottom))
        boxes.append(_box("person", one.score, xyxy, result.picture_wh))
    return _of_boxes("poses", tuple(boxes), total=len(result), counts={"person": len(result)})


@_facts.register
def _(result: Segmentation) -> Facts:
    shares = {area.label or f"#{area.class_id}": area.share for area in result.areas}
    first = next(iter(shares), "")
    return Facts(
        "segmentation",
        first,
        shares.get(first, 0.0),
        _margin(list(shares.values())),
        len(shares),
        scores=shares,
        counts=dict.fromkeys(shares, 1),
        shares=shares,
    )


@_facts.register
def _(result: PageText) -> Facts:
    lines = list(result)
    best = max((line.score for line in lines), default=0.0)
    return Facts("text", score=best, total=len(lines), text="\n".join(line.text for line in lines))


@_facts.register
def _(result: TextLine) -> Facts:
    return Facts("text", score=result.score, total=1, text=result.text)


@_facts.register
def _(result: Keyword) -> Facts:
    return Facts(
        "keyword",
        result.label,
        result.score,
        total=1,
        scores={result.label: result.score},
        counts={result.label: 1},
    )


@_facts.register
def _(result: SpeechSegment) -> Facts:
    return Facts("voice", is_speech=True, duration_s=result.duration_s, total=1)


@_facts.register
def _(result: Match) -> Facts:
    return Facts(
        "match",
        result.name,
        result.score,
        total=1,
        scores={result.name: result.score},
        counts={result.name: 1},
    )


@_facts.register
def _(result: Embedding) -> Facts:
    return Facts("embedding", total=len(result.vector))


@_facts.register
def _(result: Anomaly) -> Facts:
    has_threshold = result.threshold is not None
    return Facts(
        "anomaly",
        score=result.score,
        threshold=result.threshold or 0.0,
        is_anomalous=has_threshold and result.is_anomalous,
        top_channel=result.top_channel,
        total=1,
    )


@_facts.register
def _(result: Tensors) -> Facts:
    firsts = {name: float(array.ravel()[0]) for name, array in result.arrays.items() if array.size}
    return Facts("tensors", total=len(result.arrays), outputs=firsts)


@_facts.register(dict)
def _(result: dict[str, Any]) -> Facts:
    """What a model of the task tensors answers."""
    if not all(isinstance(array, np.ndarray) for array in result.values()):
        raise TypeError("got dict of other things than arrays, expected the answer of a task")
    firsts = {name: float(array.ravel()[0]) for name, array in result.items() if array.size}
    return Facts("tensors", total=len(result), outputs=firsts)


def _of_categories(categories: tuple[Category, ...]) -> Facts:
    scores = {
        one.label or f"#{one.index}": one.score for one in reversed(categories)
    }  # the best of alike ones
    first = categories[0] if categories else None
    label = (first.label or f"#{first.index}") if first else ""
    return Facts(
        "classification",
        label,
        first.score if first else 0.0,
        _margin([one.score for one in categories]),
        len(categories),
        scores=scores,
        counts={label: 1} if first else {},
    )


def _of_boxes(kind: str, boxes: tuple[Box, ...], *, total: int, counts: Mapping[str, int]) -> Facts:
    scores: dict[str, float] = {}
    shares: dict[str, float] = {}
    for box in boxes:
        scores[box.label] = max(box.score, scores.get(box.label, 0.0))
        shares[box.label] = min(box.area + shares.get(box.label, 0.0), 1.0)
    best = max(boxes, key=lambda box: box.score, default=None)
    return Facts(
        kind,
        best.label if best else "",
        best.score if best else 0.0,
        _margin([box.score for box in boxes]),
        total,
        boxes=boxes,
        scores=scores,
        counts=dict(counts),
        shares=shares,
    )


def _box(
    label: str, score: float, box_xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]
) -> Box:
    values = np.array(box_xyxy, float) / (*size_wh, *size_wh)
    left, top, right, bottom = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0).tolist()
    return Box(
        label,
        _number(score),
        (left + right) / 2,
        bottom,
        max(right - left, 0),
        max(bottom - top, 0),
        left,
        top,
    )


def _margin(scores: list[float]) -> float:
    """The best before the second one."""
    first, second = ([*sorted(scores, reverse=True), 0.0, 0.0])[:2]
    return first - second


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _finite(facts: Facts) -> Facts:
    """A comparison with NaN is an error in the expressions' library, and infinity is no reading."""
    return replace(
        facts,
        score=_number(facts.score),
        margin=_number(facts.margin),
        threshold=_number(facts.threshold),
        duration_s=_number(facts.duration_s),
        scores={name: _number(value) for name, value in facts.scores.items()},
        outputs={name: _number(value) for name, value in facts.outputs.items()},
    )
