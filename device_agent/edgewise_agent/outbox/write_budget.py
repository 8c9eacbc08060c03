"""How much the agent writes to its SD card a day, held against a budget."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

DAY_S = 86_400.0
FIRST_AFTER_S = 600.0
"""Less than ten minutes says nothing about a day."""
WINDOW_S = DAY_S
_LOOK_EVERY_S = 60.0
_SHORTEST_S = 0.1
"""What an interval of 0 is stretched from."""
_FINE_BELOW = 0.8
"""The budget counts as kept again below this share of it, so that the warning does not flutter."""
_MIB = 1024 * 1024


class WriteBudget:
    """Bytes written over the last day at most, extrapolated to a day, and what follows when that is too much."""

    def __init__(
        self,
        budget_bytes_per_day: int,
        *,
        longest_interval_s: float,
        now_s: Callable[[], float] = time.monotonic,
        process_bytes: Callable[[], int] | None = None,
    ) -> None:
        """``budget_bytes_per_day`` 0 means none. ``process_bytes`` counts what the whole process wrote."""
        self._budget = budget_bytes_per_day
        self._longest_interval_s = longest_interval_s
        self._now_s = now_s
        self._process_bytes = process_bytes or process_written_bytes
        self._process_began = self._process_bytes()
        self._looks: deque[tuple[float, int]] = deque([(now_s(), 0)])
        self._stretch = 1.0
        self._is_exceeded = False

    def see(self, outbox_bytes: int) -> str:
        """Take in what the outbox has written by now; return a sentence when that changes the verdict."""
        now_s = self._now_s()
        if now_s - self._looks[-1][0] < _LOOK_EVERY_S:
            return ""
        self._looks.append((now_s, max(outbox_bytes, self._process_bytes() - self._process_began)))
        while len(self._looks) > 2 and now_s - self._looks[1][0] >= WINDOW_S:
            self._looks.popleft()
        return self._judge()

    @property
    def per_day_bytes(self) -> int | None:
        """Bytes per day at the pace of the last day; None before there is something to go by."""
        (began_s, first), (ended_s, last) = self._looks[0], self._looks[-1]
        span_s = ended_s - began_s
        return round((last - first) / span_s * DAY_S) if span_s >= FIRST_AFTER_S else None

    @property
    def is_exceeded(self) -> bool:
        """True from the moment the budget was exceeded until well below it."""
        return self._is_exceeded

    def stretched(self, interval_s: float) -> float:
        """The commit interval: longer by a factor while over the budget, up to the stated limit."""
        if self._stretch == 1.0:
            return interval_s
        return min(max(interval_s, _SHORTEST_S) * self._stretch, max(self._longest_interval_s, interval_s))

    def _judge(self) -> str:
        pace = self.per_day_bytes
        if pace is None or not self._budget:
            return ""
        recent = self._recent_pace()
        if recent > self._budget:
            self._stretch = min(self._stretch * 2.0, 1024.0)
        elif recent < self._budget * _FINE_BELOW / 2.0:
            self._stretch = max(self._stretch / 2.0, 1.0)
        was, budget = self._is_exceeded, f"{self._budget / _MIB:.0f} MiB"
        self._is_exceeded = pace > self._budget * (_FINE_BELOW if was else 1.0)
        if self._is_exceeded == was:
            return ""
        if self._is_exceeded:
            return f"{pace / _MIB:.0f} MiB a day are written, the budget is {budget}; commits are made less often"
        return f"{pace / _MIB:.0f} MiB a day are written, within the budget of {budget} again"

    def _recent_pace(self) -> float:
        """Of the last ten minutes: what stretching changes shows there, not in the mean of a day."""
        now_s, last = self._looks[-1]
        since_s, first = next(look for look in self._looks if now_s - look[0] <= FIRST_AFTER_S)
        return (last - first) / (now_s - since_s) * DAY_S if now_s > since_s else 0.0


def process_written_bytes() -> int:
    """What this process caused to be written to storage (proc(5), /proc/pid/io); 0 where that is not told."""
    try:
        for line in Path("/proc/self/io").read_text().splitlines():
            name, _, value = line.partition(": ")
            if name == "write_bytes":
                return int(value)
    except (OSError, ValueError):
        pass
    return 0
