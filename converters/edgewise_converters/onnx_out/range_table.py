"""The range of every value by every way to choose one, each computed once."""

from collections.abc import Mapping

import numpy as np

from edgewise_converters.quantize.calibrate import Statistics
from edgewise_converters.quantize.ranges import CHOOSERS

_SMALLEST = 1e-12
_APART = 1.15
"""Ranges whose widths differ by less are the same choice."""


class RangeTable:
    """Ranges of what was seen."""

    def __init__(self, statistics: Mapping[str, Statistics]) -> None:
        self._statistics = statistics
        self._known: dict[tuple[str, str], tuple[float, float]] = {}

    def of(self, name: str, way: str) -> tuple[float, float]:
        """The range of a value by a key of `CHOOSERS`."""
        key = name, way
        if key not in self._known:
            self._known[key] = CHOOSERS[way](self._statistics[name])
        return self._known[key]

    def chosen(self, way: str, others: Mapping[str, str]) -> dict[str, tuple[float, float]]:
        """Of every value: by ``way``, or by what ``others`` say of it."""
        return {name: self.of(name, others.get(name, way)) for name in self._statistics}

    def disputed(self, way: str, names: set[str]) -> list[tuple[str, str]]:
        """Of ``names``, those that another way gives another range, with that way; the widest apart first."""
        found = []
        for name in names:
            # Entropy is left out: it is far from the others as a rule, and seldom right alone.
            ways = [other for other in CHOOSERS if other not in (way, "entropy")]
            apart = {other: abs(np.log(self._width(name, other) / self._width(name, way))) for other in ways}
            furthest = max(apart, key=lambda other: apart[other])
            if apart[furthest] > np.log(_APART):
                found.append((-float(apart[furthest]), name, furthest))
        return [(name, other) for _, name, other in sorted(found)]

    def _width(self, name: str, way: str) -> float:
        low, high = self.of(name, way)
        return max(max(high, 0.0) - min(low, 0.0), _SMALLEST)
