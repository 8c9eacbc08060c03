"""Numbers over the latest inputs, in bounded memory."""

import math
from collections import deque

from edgewise_agent.rules.settings import WindowSettings

BUCKETS = 300
"""A window of seconds is cut into so many; its far end is as wide as one of them."""


class _Bucket:
    """What is needed of some values that came together."""

    __slots__ = ("begin_s", "count", "high", "low", "total", "true")

    def __init__(self, begin_s: float) -> None:
        self.begin_s = begin_s
        self.count = self.true = 0
        self.total = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        self.true += value != 0
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)


class Window:
    """The values of the last seconds or inputs; at most 1,000 buckets whatever the rate."""

    def __init__(self, settings: WindowSettings) -> None:
        self._of = settings.of
        self._last_s = settings.last_s
        self._width_s = settings.last_s / BUCKETS if settings.last_s is not None else 0.0
        self._buckets: deque[_Bucket] = deque(maxlen=settings.last_inputs)

    def add(self, value: float, *, mono_s: float) -> None:
        """One input's value."""
        if not self._buckets or self._last_s is None or mono_s - self._buckets[-1].begin_s >= self._width_s:
            self._buckets.append(_Bucket(mono_s))
        self._buckets[-1].add(float(value))
        if self._last_s is not None:
            while self._buckets[0].begin_s <= mono_s - self._last_s:
                self._buckets.popleft()

    def value(self) -> float | bool:
        """What the settings ask for; over what there is, when the window is not full yet. 0 or False over nothing."""
        inputs = sum(bucket.count for bucket in self._buckets)
        true = sum(bucket.true for bucket in self._buckets)
        if self._of in ("any", "all"):
            return true > 0 if self._of == "any" else 0 < true == inputs
        if self._of == "count" or not inputs:
            return float(true)
        if self._of in ("min", "max"):
            edges = [bucket.low if self._of == "min" else bucket.high for bucket in self._buckets]
            return min(edges) if self._of == "min" else max(edges)
        total = math.fsum(bucket.total for bucket in self._buckets)
        return total if self._of == "sum" else total / inputs
