"""The device's own first inputs, which join the baseline.

A card's hundred samples are few, and the device's place is not quite that of the samples. Inputs that were in the
window without an alarm are taken for the same kind as the baseline: if they are, they and the latest inputs are
exchangeable, and every test holds with their counts added to the card's. They come to an end, so that a slow change
later is still held against what there was at first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise_agent.drift.tails import Floats, Mark

MOST = 300
"""Of them; the card's own share of the baseline stays a quarter with a hundred samples."""


class FirstInputs:
    """Counts, no inputs: how many lay beyond each mark, and how many were answered with each class."""

    def __init__(self, marks: Sequence[Sequence[Mark]]) -> None:
        """``marks`` of each statistic."""
        self._marks = [tuple(placed) for placed in marks]
        self.beyond: list[npt.NDArray[np.int64]] = [np.zeros(len(placed), np.int64) for placed in self._marks]
        """For each statistic, of each mark."""
        self.totals = [0] * len(self._marks)
        """Inputs that had the statistic."""
        self.classes: Counter[int] = Counter()
        self.count = 0

    @property
    def is_complete(self) -> bool:
        """No more are taken."""
        return self.count >= MOST

    def add(self, values: Floats, answer: int | None) -> None:
        """One input: ``values`` of the statistics, NaN where it has none, and its class."""
        for place, (placed, value) in enumerate(zip(self._marks, values.tolist(), strict=True)):
            self.beyond[place] += [
                value < mark.value if mark.is_low else value >= mark.value for mark in placed
            ]
            self.totals[place] += value == value
        if answer is not None:
            self.classes[answer] += 1
        self.count += 1

    def joined(self, classes: Mapping[int, int]) -> Mapping[int, int]:
        """The card's counts by class, with theirs."""
        return Counter(classes) + self.classes

    def state(self) -> dict[str, Any]:
        """For `restore`, as JSON can hold it."""
        return {
            "count": self.count,
            "totals": self.totals,
            "beyond": [counts.tolist() for counts in self.beyond],
            "classes": [[index, count] for index, count in self.classes.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError for what `state` did not give."""
        kept = [np.array(counts, np.int64) for counts in state["beyond"]]
        if [counts.shape for counts in kept] != [counts.shape for counts in self.beyond]:
            raise ValueError("other marks")
        totals, count = [int(total) for total in state["totals"]], int(state["count"])
        classes = Counter({int(index): int(number) for index, number in state["classes"]})
        if len(totals) != len(kept) or any(
            (counts < 0).any() or (counts > total).any() for counts, total in zip(kept, totals, strict=True)
        ):
            raise ValueError("counts that are not possible")
        if min([count, *totals, *classes.values()]) < 0:
            raise ValueError("counts below zero")
        self.beyond, self.totals, self.classes, self.count = kept, totals, classes, count
