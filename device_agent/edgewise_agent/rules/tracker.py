"""Which box of one picture is the same object as in the pictures before.

Boxes are matched with where the tracks' boxes are expected now, which is where they would be at their last speed. Pairs
of one label are taken best first: by their overlap (IoU), and where nothing overlaps by the distance of their middles,
as far as an object goes in one picture that moves by less than its own size. After Bewley et al., "Simple online and
realtime tracking", ICIP 2016, with an average of speeds for the Kalman filter and greedy for the assignment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgewise_agent.rules.facts import Box
from edgewise_agent.rules.geometry import Xy, overlap

MAX_TRACKS = 256
MIN_OVERLAP = 0.2
MAX_JUMP = 1.0
"""Of middles, in mean sides of the two boxes, where they do not overlap."""
SPEED_SHARE = 0.5
"""How much of the speed the last step is."""

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
        expected = [track.expected(mono_s) for track in self._tracks]
        pairs = []
        for place, box in enumerate(boxes):
            for number, track in enumerate(self._tracks):
                if track.label == box.label:
                    likeness = _likeness(_sides(box), expected[number], track)
                    if likeness is not None:
                        pairs.append((likeness, -place, -number))
        matches: dict[int, Track] = {}
        taken: set[int] = set()
        for _, place, number in sorted(pairs, reverse=True):
            if -place not in matches and -number not in taken:
                matches[-place] = self._tracks[-number]
                taken.add(-number)
        return matches


def _likeness(box: Sides, expected: Sides, track: Track) -> float | None:
    """Above 0 for what overlaps, below for what is near, None for what is neither."""
    common = max(overlap(box, expected), overlap(box, _sides(track.box)))
    if common >= MIN_OVERLAP:
        return common
    (x, y), (other_x, other_y) = _middle(box), _middle(expected)
    far = ((x - other_x) ** 2 + (y - other_y) ** 2) ** 0.5
    reach = MAX_JUMP * (_side(box) + _side(expected)) / 2
    return -far / reach if reach > 0 and far <= reach else None


def _sides(box: Box) -> Sides:
    return box.left, box.top, box.left + box.width, box.top + box.height


def _middle(box: Sides) -> Xy:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _side(box: Sides) -> float:
    return (box[2] - box[0] + box[3] - box[1]) / 2
