"""What is where in the picture: boxes with classes, scores and points."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from edgewise.detection_card import SSD, DetectionCard
from edgewise.errors import EdgewiseError, InvalidInput
from edgewise.preprocess.geometry import View
from edgewise.preprocess.picture import ImageSource, upright
from edgewise.tasks.base import Setup, float_outputs, label_of, real_outputs
from edgewise.tasks.boxes import MAX_DETECTIONS, areas, suppress
from edgewise.tasks.drawing import Mark, colour_of, draw_marks
from edgewise.tasks.heads.base import Candidates, Facts
from edgewise.tasks.heads.blending import blend
from edgewise.tasks.heads.choice import guess_head, head_unknown, open_head
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray


@dataclass(frozen=True, eq=False)
class Detection:
    """One object. Coordinates are pixels of the upright original picture, from its left top corner."""

    box_xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    label: str
    """"" when the model file names none for this class."""
    keypoints_xy: FloatArray | None = None
    """[k, 2]; points may lie outside the picture."""

    @property
    def name(self) -> str:
        """The label, or the class id where there is none."""
        return self.label or f"#{self.class_id}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        values: dict[str, Any] = {
            "box_xyxy": [round(value, 2) for value in self.box_xyxy],
            "score": self.score,
            "class_id": self.class_id,
            "label": self.label,
        }
        if self.keypoints_xy is not None:
            values["keypoints_xy"] = [[round(x, 2), round(y, 2)] for x, y in self.keypoints_xy.tolist()]
        return values

    def __str__(self) -> str:
        left, top, right, bottom = self.box_xyxy
        return f"{self.score:.3f}  {self.name}  at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}"


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects in one picture, best first, as arrays; iterating gives each as a `Detection`."""

    boxes_xyxy: FloatArray
    """float32 [n, 4]: left, top, right, bottom in pixels of the upright original picture, clipped to it."""
    scores: FloatArray
    """float32 [n], 0 to 1."""
    class_ids: Array
    """int64 [n]."""
    labels: tuple[str, ...]
    """[n]; "" where the model file names none."""
    keypoints_xy: FloatArray | None
    """float32 [n, k, 2] in pixels of the picture, not clipped; None when the model gives none."""
    picture_wh: tuple[int, int]
    timings: Timings
    head: str = ""
    """What decoded the outputs."""
    is_head_guessed: bool = False
    """Whether the outputs' shapes chose it, because neither the caller nor the file did."""

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Detection:
        left, top, right, bottom = self.boxes_xyxy[index].tolist()
        return Detection(
            (left, top, right, bottom),
            float(self.scores[index]),
            int(self.class_ids[index]),
            self.labels[index],
            None if self.keypoints_xy is None else self.keypoints_xy[index],
        )

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    def counts(self) -> dict[str, int]:
        """How many of each label, most first."""
        return dict(Counter(one.name for one in self).most_common())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        timings = {f"{what}_ms": getattr(self.timings, f"{what}_ms") for what in _SPANS}
        return {
            "detections": [one.to_dict() for one in self],
            "picture_wh": list(self.picture_wh),
            "head": self.head,
            "is_head_guessed": self.is_head_guessed,
            "timings": timings,
        }

    def lines(self) -> list[str]:
        """One line for a person about each object."""
        guess = [f"head {self.head}, guessed from the outputs' shapes"] if self.is_head_guessed else []
        return [*map(str, self)] + guess if len(self) else ["nothing found", *guess]

    def draw(self, image: ImageSource) -> Image.Image:
        """A copy of ``image``, upright, with boxes, points and labels. It should be the one that was looked at.

        Raises UnreadableImage, and InvalidInput for a picture of another size.
        """
        picture = upright(image)
        if picture.size != self.picture_wh:
            raise InvalidInput(
                f"draw: got a picture of {picture.size}, expected the one that was looked at, {self.picture_wh}"
            )
        marks = [
            Mark(one.box_xyxy, f"{one.name} {one.score:.0%}", colour_of(one.class_id), one.keypoints_xy)
            for one in self
        ]
        draw_marks(picture, marks[::-1])  # the best on top
        return picture

    def to_supervision(self) -> Any:
        """As ``supervision.Detections``, class names in ``data``. Raises EdgewiseError when it is not installed."""
        try:
            import supervision
        except ImportError as error:
            raise EdgewiseError(
                "to_supervision: the supervision package is not installed: pip install supervision"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes_xyxy,
            confidence=self.scores,
            class_id=self.class_ids.astype(int),
            data={"class_name": np.array(self.labels, dtype=str)},
        )

    def __str__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in self.counts().items()) or "nothing"
        return f"{found} ({self.latency_ms:.1f} ms)"

    def __repr__(self) -> str:
        return f"<Detections {self}>"


_SPANS = ("preprocess", "invoke", "postprocess")


class Detector:
    """The task of finding objects. Raises CardError when neither card, caller nor shapes tell the head."""

    def __init__(self, setup: Setup) -> None:
        self._outputs = setup.outputs
        card = _wanted(setup)
        names = tuple(spec.name for spec in setup.outputs)
        facts = Facts(setup.input_wh, setup.labels, card.keypoints if card else 0, names)
        shapes = [spec.shape for spec in setup.outputs]
        guessed = "" if card else guess_head(shapes, facts)
        if not card and not guessed:
            raise head_unknown(shapes)
        self._is_guessed = bool(guessed)
        self._head = open_head(card.head if card else guessed, facts)
        self._labels = setup.labels or self._head.labels
        score = _first(setup.options.score_threshold, card.score_threshold if card else None)
        self._min_score = self._head.score_threshold if score is None else score
        overlap = _first(setup.options.overlap_threshold, card.overlap_threshold if card else None)
        self._max_overlap = self._head.overlap_threshold if overlap is None else overlap
        self._is_class_agnostic = bool(card and card.is_class_agnostic)

    def answer(
        self, outputs: Mapping[str, Array], view: View, *, top: int | None, watch: Stopwatch
    ) -> Detections:
        """See `Task.answer`; ``top`` is by default 300."""
        # The operator of an ssd leaves what it does not mean as it was in memory; its head looks at the rest.
        read = float_outputs if self._head.name == SSD else real_outputs
        found = self._head.decode(read(outputs, self._outputs), self._min_score)
        limit = MAX_DETECTIONS if top is None else top
        if found.is_blended and self._max_overlap is not None:
            found = blend(found, overlap_threshold=self._max_overlap)
            kept = np.arange(min(len(found.scores), limit))
        else:
            kept = self._suppress(found, limit)
        boxes = view.boxes_to_picture(found.boxes_xyxy[kept])
        inside = areas(boxes) > 0  # a box in a letterbox's border shows nothing of the picture
        kept, boxes = kept[inside], boxes[inside]
        class_ids = found.class_ids[kept]
        points = found.keypoints_xy
        return Detections(
            boxes_xyxy=boxes,
            scores=found.scores[kept],
            class_ids=class_ids,
            labels=tuple(label_of(self._labels, int(index)) for index in class_ids),
            keypoints_xy=None if points is None else view.to_picture(points[kept]),
            picture_wh=view.picture_wh,
            timings=watch.timings(),
            head=self._head.name,
            is_head_guessed=self._is_guessed,
        )

    def _suppress(self, found: Candidates, limit: int) -> Array:
        """The indices of the boxes that stay, best first."""
        if self._max_overlap is None:
            return np.argsort(-found.scores, kind="stable")[:limit]
        class_ids = None if self._is_class_agnostic else found.class_ids
        return suppress(
            found.boxes_xyxy if found.compared_xyxy is None else found.compared_xyxy,
            found.scores,
            class_ids,
            overlap_threshold=self._max_overlap,
            limit=limit,
        )


def _wanted(setup: Setup) -> DetectionCard | None:
    """The caller's head, else the file's."""
    head = setup.options.head
    if isinstance(head, str):
        card = setup.detection
        return card if card and card.head == head else DetectionCard(head)
    return head if isinstance(head, DetectionCard) else setup.detection


def _first(asked: float | None, stated: float | None) -> float | None:
    """The caller's value, else the file's."""
    return stated if asked is None else asked
