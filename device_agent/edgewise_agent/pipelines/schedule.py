"""Times of the week at which a pipeline works, such as "mon-fri 07:00-19:00"."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(?:(?P<days>[a-z,\- ]+?) +)?(?P<begin>\d{1,2}:\d{2}) *- *(?P<end>\d{1,2}:\d{2})")
_DAY_MINUTES = 24 * 60
_EXPECTED = 'expected times such as "07:00-19:00", "mon-fri 22:00-06:00" or "sat,sun 10:00-14:00"'


@dataclass(frozen=True)
class _Span:
    days: frozenset[int]
    begin: int
    """Minutes after midnight."""
    end: int
    """Before ``begin`` it is on the day after."""

    def holds(self, day: int, minute: int) -> bool:
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        yesterday = (day - 1) % 7
        return (day in self.days and minute >= self.begin) or (yesterday in self.days and minute < self.end)


class Schedule:
    """Any of several spans, in the local time of the device; none at all means always."""

    def __init__(self, spans: Sequence[str]) -> None:
        """Raises ValueError naming the span that is none."""
        self._spans = tuple(_parse(text) for text in spans)

    def is_open(self, when: time.struct_time) -> bool:
        """At this local time."""
        minute = when.tm_hour * 60 + when.tm_min
        return not self._spans or any(span.holds(when.tm_wday, minute) for span in self._spans)


def _parse(text: str) -> _Span:
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"schedule: got {text!r}, {_EXPECTED}")
    begin, end = (_minutes(match[name], text) for name in ("begin", "end"))
    if begin == end:
        raise ValueError(
            f"schedule: got {text!r}, which is no time at all; for the whole day say 00:00-24:00"
        )
    return _Span(_days(match["days"] or "mon-sun", text), begin, end)


def _minutes(clock: str, text: str) -> int:
    hours, minutes = (int(part) for part in clock.split(":"))
    found = hours * 60 + minutes
    if minutes > 59 or found > _DAY_MINUTES:
        raise ValueError(f"schedule: got {text!r}, {_EXPECTED}")
    return found


def _days(words: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in words.split(","):
        names = [name.strip() for name in part.split("-")]
        if len(names) > 2 or any(name not in _DAYS for name in names):
            raise ValueError(f"schedule: got {text!r}, {_EXPECTED}; days are {', '.join(_DAYS)}")
        first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
        found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(found)
