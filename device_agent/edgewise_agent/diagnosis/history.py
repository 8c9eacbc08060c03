"""The latest reports, bounded: for each metric its values with the time of each."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile

KEPT_REPORTS = 90
"""A quarter of an hour at a report every ten seconds; about 100 kB in all."""


@dataclass(frozen=True)
class Reading:
    """One value and when it was taken, in seconds of the monotonic clock."""

    at_s: float
    value: float


class History:
    """Of the metrics in ``names`` only."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._series: dict[str, deque[Reading]] = {}

    def add(self, metrics: Mapping[str, float | int], *, at_s: float) -> None:
        """One report."""
        for name in self._names & metrics.keys():
            series = self._series.setdefault(name, deque(maxlen=KEPT_REPORTS))
            series.append(Reading(at_s, float(metrics[name])))

    def knows(self, name: str) -> bool:
        """True when it was ever reported."""
        return bool(self._series.get(name))

    def before(self, name: str, at_s: float) -> list[float]:
        """The values taken before ``at_s``."""
        return [reading.value for reading in self._series.get(name, ()) if reading.at_s < at_s]

    def since(self, name: str, at_s: float) -> list[float]:
        """The values taken at ``at_s`` or later."""
        return [reading.value for reading in self._series.get(name, ()) if reading.at_s >= at_s]

    def began_s(self, name: str, holds: Callable[[float], bool]) -> float | None:
        """When the unbroken run of values for which it ``holds`` began that ends with the latest; None without one."""
        run = list(takewhile(lambda one: holds(one.value), reversed(self._series.get(name, ()))))
        return run[-1].at_s if run else None

    def forget(self) -> None:
        """Everything."""
        self._series.clear()
