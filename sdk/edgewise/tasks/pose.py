"""How bodies stand: their points."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from inspect import signature
from typing import Any

import numpy as np
from PIL import Image

from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.pose_card import POSE_HEADS, PoseCard
from edgewise.preprocess.geometry import View
from edgewise.preprocess.picture import ImageSource, upright
from edgewise.tasks.base import Setup, real_outputs
from edgewise.tasks.boxes import MAX_DETECTIONS, suppress
from edgewise.tasks.drawing import colour_of, draw_skeleton
from edgewise.tasks.heads.base import Facts
from edgewise.tasks.heads.pose import open_pose_head
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray

SEEN = 0.3
"""Points of a lower score are not drawn; as in mmpose's and TensorFlow's own drawings, give or take 0.1."""


@dataclass(frozen=True, eq=False)
class Pose:
    """One body."""

    keypoints_xy: FloatArray
    """float32 [k, 2] in pixels of the upright original picture."""
    keypoint_scores: FloatArray
    """float32 [k]."""
    names: tuple[str, ...]
    score: float
    box_xyxy: tuple[float, float, float, float] | None = None

    def point(self, name: str) -> tuple[float, float]:
        """Where a point is. Raises InvalidInput for a name it does not have."""
        if name not in self.names:
            raise InvalidInput(f"point: got {name!r}, expected one of {', '.join(map(repr, self.names))}")
        x, y = self.keypoints_xy[self.names.index(name)].tolist()
        return x, y

    def angle_deg(self, first: str, corner: str, last: str) -> float:
        """The angle at ``corner`` between the lines to two other points, 0 to 180: 180 is a stretched arm."""
        a, b, c = (np.array(self.point(name)) for name in (first, corner, last))
        u, v = a - b, c - b
        return float(np.degrees(np.arctan2(abs(u[0] * v[1] - u[1] * v[0]), u @ v)))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        values: dict[str, Any] = {"score": self.score}
        if self.box_xyxy is not None:
            values["box_xyxy"] = [round(value, 2) for value in self.box_xyxy]
        values["keypoints_xy"] = [[round(x, 2), round(y, 2)] for x, y in self.keypoints_xy.tolist()]
        values["keypoint_scores"] = self.keypoint_scores.tolist()
        return values

    def __str__(self) -> str:
        seen = int((self.keypoint_scores >= SEEN).sum())
        left, top = self.keypoints_xy.min(axis=0)
        right, bottom = self.keypoints_xy.max(axis=0)
        where = f"{left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}"
        return f"{self.score:.3f}  {seen} of {len(self.names)} points  at {where}"


@dataclass(frozen=True, eq=False)
class Poses:
    """The bodies in one picture, best first, as arrays; iterating gives each as a `Pose`."""

    keypoints_xy: FloatArray
    """float32 [n, k, 2] in pixels of the upright original picture, not clipped."""
    keypoint_scores: FloatArray
    """float32 [n, k], as the network gives them: 0 to 1, but for simcc's, which may be a little more."""
    scores: FloatArray
    """float32 [n]: the body's, or where the network gives none the mean of its points'."""
    boxes_xyxy: FloatArray | None
    """float32 [n, 4], clipped to the picture; None where the network gives none."""
    names: tuple[str, ...]
    """[k]."""
    skeleton: tuple[tuple[int, int], ...]
    """Pairs of points that belong together."""
    picture_wh: tuple[int, int]
    timings: Timings
    head: str = ""

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Pose]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Pose:
        box = None
        if self.boxes_xyxy is not None:
            left, top, right, bottom = self.boxes_xyxy[index].tolist()
            box = (left, top, right, bottom)
        points, scores = self.keypoints_xy[index], self.keypoint_scores[index]
        return Pose(points, scores, self.names, float(self.scores[index]), box)

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "poses": [one.to_dict() for one in self],
            "names": list(self.names),
            "picture_wh": list(self.picture_wh),
            "head": self.head,
            "timings": asdict(self.timings),
        }

    def lines(self) -> list[str]:
        """One line for a person about each body."""
        return [*map(str, self)] or ["nobody found"]

    def draw(self, image: ImageSource) -> Image.Image:
        """A copy of ``image``, upright, with the points of at least 0.3 and the lines between them.

        Raises UnreadableImage, and InvalidInput for a picture of another size than the one that was looked at.
        """
        picture = upright(image)
        if picture.size != self.picture_wh:
            raise InvalidInput(
                f"draw: got a picture of {picture.size}, expected the one that was looked at, {self.picture_wh}"
            )
        for number, one in enumerate(self):
            seen = one.keypoint_scores >= SEEN
            draw_skeleton(picture, one.keypoints_xy, seen, self.skeleton, colour_of(number))
        return picture

    def to_supervision(self) -> Any:
        """As ``supervision.KeyPoints``. Raises EdgewiseError when it is not installed."""
        try:
            import supervision
        except ImportError as error:
            raise EdgewiseError(
                "to_supervision: the supervision package is not installed: pip install supervision"
            ) from error
        known = signature(supervision.KeyPoints).parameters
        scores = "keypoint_confidence" if "keypoint_confidence" in known else "confidence"  # before 0.29
        return supervision.KeyPoints(
            xy=self.keypoints_xy, class_id=np.zeros(len(self), int), **{scores: self.keypoint_scores}
        )

    def __repr__(self) -> str:
        return f"<Poses of {len(self)} ({self.latency_ms:.1f} ms)>"


class PoseEstimator:
    """The task of finding the points of bodies. Raises CardError when neither card nor caller tells the head."""

    def __init__(self, setup: Setup) -> None:
        self._outputs = setup.outputs
        self._card = card = _wanted(setup)
        facts = Facts(setup.input_wh, setup.labels, card.keypoints)
        self._head = open_pose_head(card.head, facts)
        asked = setup.options
        self._min_score = _first(asked.score_threshold, card.score_threshold, self._head.score_threshold)
        self._max_overlap = _first(
            asked.overlap_threshold, card.overlap_threshold, self._head.overlap_threshold
        )

    def answer(self, outputs: Mapping[str, Array], view: View, *, top: int | None, watch: Stopwatch) -> Poses:
        """See `Task.answer`; ``top`` is by default 300."""
        found = self._head.decode(real_outputs(outputs, self._outputs), self._min_score or 0.0)
        limit = MAX_DETECTIONS if top is None else top
        boxes = found.boxes_xyxy
        if boxes is None or self._head.overlap_threshold is None or self._max_overlap is None:
            kept = np.argsort(-found.scores, kind="stable")[:limit]
        else:
            kept = suppress(boxes, found.scores, overlap_threshold=self._max_overlap, limit=limit)
        return Poses(
            keypoints_xy=view.to_picture(found.points_xy[kept]),
            keypoint_scores=found.point_scores[kept],
            scores=found.scores[kept],
            boxes_xyxy=None if boxes is None else view.boxes_to_picture(boxes[kept]),
            names=self._card.point_names,
            skeleton=self._card.lines,
            picture_wh=view.picture_wh,
            timings=watch.timings(),
            head=self._head.name,
        )


def _wanted(setup: Setup) -> PoseCard:
    """The caller's head, else the file's."""
    head = setup.options.head
    if isinstance(head, PoseCard):
        return head
    if isinstance(head, str) and not (setup.pose and setup.pose.head == head):
        return PoseCard(head)
    if setup.pose is None:
        heads = ", ".join(map(repr, POSE_HEADS))
        raise CardError(
            f"pose-estimation: nothing says the head; give load() head= one of {heads}, or the card a PoseCard"
        )
    return setup.pose


def _first(*values: float | None) -> float | None:
    """The first that is said."""
    return next((value for value in values if value is not None), None)
