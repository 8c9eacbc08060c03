"""Which box of one picture is the same object as in the pictures before.

Boxes are matched with where the tracks' boxes are expected now, which is where they would be at their last speed. Pairs
of one label are taken best first: by their overlap (IoU), and where nothing overlaps by the distance of their middles,
as far as an object goes in one picture that moves by less than its own size. After Bewley et al., "Simple online and
realtime tracking", ICIP 2016, with an average of speeds for the Kalman filter and greedy for the assignment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgewise.tensors import FloatArray
from edgewise_agent.rules.facts import Box
from edgewise_agent.rules.geometry import Xy

MAX_TRACKS = 256
MIN_OVERLAP = 0.2
MAX_JUMP = 1.0
"""Of middles, in mean sides of the two boxes, where they do not overlap."""
SPEED_SHARE = 0.5
"""How much of the speed the last step is."""

NEITHER = -2.0
"""The likeness of what cannot be one object."""

Sides = tuple[float, float, float, float]


@dataclass(eq=False)
class Track:
    """One object."""

    number: int
    label: str
    box: Box
    seen_s: float
    speed: Xy = (0.0, 0.0)
    """Per second."""
    sightings: int = 1
    sides: dict[str, Xy] = field(default_factory=dict)
    """Where it was last clearly on one side of each line."""
    entered_s: dict[str, float] = field(default_factory=dict)
    """Since when it has been in each zone."""

    @property
    def anchor(self) -> Xy:
        """Where it stands."""
        return self.box.x, self.box.y

    def expected(self, mono_s: float) -> Sides:
        """Left, top, right, bottom now, at its last speed."""
        dx, dy = (one * (mono_s - self.seen_s) for one in self.speed)
        left, top, right, bottom = _sides(self.box)
        return left + dx, top + dy, right + dx, bottom + dy

    def move(self, box: Box, mono_s: float) -> None:
        """It was seen again."""
        elapsed_s = mono_s - self.seen_s
        if elapsed_s > 0:
            steps = zip(_middle(_sides(box)), _middle(_sides(self.box)), self.speed, strict=True)
            share = SPEED_SHARE if self.sightings > 1 else 1.0
            dx, dy = (share * (new - old) / elapsed_s + (1 - share) * speed for new, old, speed in steps)
            self.speed = dx, dy
        self.box, self.seen_s, self.sightings = box, mono_s, self.sightings + 1


class Tracker:
    """Bounded: at most 256 objects, the one not seen for longest goes first."""

    def __init__(self, *, max_gap_s: float = 1.0, min_score: float = 0.0) -> None:
        self._max_gap_s, self._min_score = max_gap_s, min_score
        self._tracks: list[Track] = []
        self._next = 1

    def update(self, boxes: Sequence[Box], *, mono_s: float) -> list[Track]:
        """The tracks of the boxes, those certain enough, in their order; new ones for what is new."""
        self._tracks = [one for one in self._tracks if mono_s - one.seen_s <= self._max_gap_s]
        certain = [box for box in boxes if box.score >= self._min_score]
        matches = self._match(certain, mono_s)
        seen = []
        for place, box in enumerate(certain):
            track = matches.get(place)
            if track is None:
                track = Track(self._next, box.label, box, mono_s)
                self._next += 1
                self._tracks.append(track)
            else:
                track.move(box, mono_s)
            seen.append(track)
        if len(self._tracks) > MAX_TRACKS:
            self._tracks = sorted(self._tracks, key=lambda one: one.seen_s)[-MAX_TRACKS:]
        return seen

    def _match(self, boxes: Sequence[Box], mono_s: float) -> dict[int, Track]:
        """By the boxes' places."""
        if not boxes or not self._tracks:
            return {}
        likeness = _likeness(
            np.array([_sides(box) for box in boxes]),
            np.array([track.expected(mono_s) for track in self._tracks]),
            np.array([_sides(track.box) for track in self._tracks]),
        )
        labels = np.array([track.label for track in self._tracks])
        likeness[np.array([box.label for box in boxes])[:, None] != labels] = NEITHER
        matches: dict[int, Track] = {}
        taken: set[int] = set()
        places, numbers = np.nonzero(likeness > NEITHER)
        order = np.argsort(-likeness[places, numbers], kind="stable")
        for place, number in zip(places[order].tolist(), numbers[order].tolist(), strict=True):
            if place not in matches and number not in taken:
                matches[place] = self._tracks[number]
                taken.add(number)
        return matches


def _likeness(boxes: FloatArray, expected: FloatArray, seen: FloatArray) -> FloatArray:
    """[boxes, tracks]: above 0 for what overlaps, from 0 down to -1 for what is near, `NEITHER` for the rest."""
    common = np.maximum(_overlaps(boxes, expected), _overlaps(boxes, seen))
    far = np.linalg.norm(_middles(boxes)[:, None] - _middles(expected), axis=2)
    reach = MAX_JUMP * (_mean_sides(boxes)[:, None] + _mean_sides(expected)) / 2
    near = np.where((reach > 0) & (far <= reach), -far / np.maximum(reach, 1e-12), NEITHER)
    likeness: FloatArray = np.where(common >= MIN_OVERLAP, common, near)
    return likeness


def _overlaps(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union, [first, second], of boxes in shares of the picture."""
    low = np.maximum(first[:, None, :2], second[:, :2])
    high = np.minimum(first[:, None, 2:], second[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    union = _areas(first)[:, None] + _areas(second) - common
    shares: FloatArray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def _middles(boxes: FloatArray) -> FloatArray:
    middles: FloatArray = (boxes[:, :2] + boxes[:, 2:]) / 2
    return middles


def _mean_sides(boxes: FloatArray) -> FloatArray:
    sides: FloatArray = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
    return sides


def _sides(box: Box) -> Sides:
    return box.left, box.top, box.left + box.width, box.top + box.height


def _middle(box: Sides) -> Xy:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
