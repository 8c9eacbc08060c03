"""What stands in which zone, and what crossed which line."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgewise_agent.rules.facts import Box
from edgewise_agent.rules.geometry import do_cross, is_inside, side_of
from edgewise_agent.rules.settings import RulesSettings
from edgewise_agent.rules.tracker import Track, Tracker

CLEARLY = 0.01
"""Of the picture: what comes nearer to a line than this has not crossed it, so that a box that trembles on a line is
counted once."""

LEFT, RIGHT, EITHER = "left", "right", "either"


@dataclass(frozen=True)
class Sight:
    """Of one input; the keys are a name and a label, "" for all labels."""

    in_zone: Mapping[tuple[str, str], int] = field(default_factory=dict)
    stay_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    crossed: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By line, side and label."""


class Scene:
    """Follows the boxes of one camera."""

    def __init__(self, settings: RulesSettings) -> None:
        self._zones, self._lines = settings.zones, settings.lines
        self._tracker = Tracker(max_gap_s=settings.track_max_gap_s, min_score=settings.track_min_score)

    def look(self, boxes: Sequence[Box], *, mono_s: float) -> Sight:
        """Take the boxes of one picture in."""
        if not self._zones and not self._lines:
            return Sight()
        tracks = self._tracker.update(boxes, mono_s=mono_s)
        crossed: Counter[tuple[str, str, str]] = Counter()
        stay_s: dict[tuple[str, str], float] = {}
        for track in tracks:
            for name, side in self._crossings(track):
                for key in ((name, to, label) for to in (side, EITHER) for label in (track.label, "")):
                    crossed[key] += 1
            for name, seconds in self._stays(track, mono_s):
                for label in (track.label, ""):
                    stay_s[name, label] = max(seconds, stay_s.get((name, label), 0.0))
        return Sight(self._in_zones(boxes), stay_s, crossed)

    def _in_zones(self, boxes: Sequence[Box]) -> Mapping[tuple[str, str], int]:
        counts: Counter[tuple[str, str]] = Counter()
        for name, polygon in self._zones.items():
            for box in boxes:
                if is_inside((box.x, box.y), polygon):
                    counts[name, box.label] += 1
                    counts[name, ""] += 1
        return counts

    def _stays(self, track: Track, mono_s: float) -> list[tuple[str, float]]:
        found = []
        for name, polygon in self._zones.items():
            if is_inside(track.anchor, polygon):
                found.append((name, mono_s - track.entered_s.setdefault(name, mono_s)))
            else:
                track.entered_s.pop(name, None)
        return found

    def _crossings(self, track: Track) -> list[tuple[str, str]]:
        found = []
        for name, line in self._lines.items():
            distance = side_of(track.anchor, line)
            if abs(distance) < CLEARLY:
                continue
            before = track.sides.get(name)
            track.sides[name] = track.anchor
            if before is None or (side_of(before, line) > 0) == (distance > 0):
                continue
            if do_cross((before, track.anchor), line):
                found.append((name, RIGHT if distance > 0 else LEFT))
        return found
