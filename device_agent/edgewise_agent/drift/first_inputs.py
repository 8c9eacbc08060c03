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

from edgewise_agent.drift.rows import Rows
from edgewise_agent.drift.tails import Mark

MOST = 300
"""Of them; the card's own share of the baseline stays a quarter with a hundred samples."""


class FirstInputs:
    """No inputs: how many lay beyond each mark, how many were answered with each class, and what each was like."""

    def __init__(self, marks: Sequence[Sequence[Mark]]) -> None:
        """``marks`` of each statistic."""
        self._rows = Rows.empty(MOST, len(marks))
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

    @property
    def rows(self) -> Rows:
        """Of all statistics."""
        return self._rows.take(slice(self.count))

    def add(self, row: Rows, answer: int | None) -> None:
        """One input: its only row, and its class."""
        self._rows.set(self.count, row, 0)
        for place, (placed, value) in enumerate(zip(self._marks, row.values[0].tolist(), strict=True)):
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
            "rows": self.rows.state(),
            "totals": self.totals,
            "beyond": [counts.tolist() for counts in self.beyond],
            "classes": [[index, count] for index, count in self.classes.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError for what `state` did not give."""
        kept = [np.array(counts, np.int64) for counts in state["beyond"]]
        if [counts.shape for counts in kept] != [counts.shape for counts in self.beyond]:
            raise ValueError("other marks")
        totals = [int(total) for total in state["totals"]]
        rows = Rows.restored(state["rows"], statistics=len(self._marks))
        classes = Counter({int(index): int(number) for index, number in state["classes"]})
        if len(totals) != len(kept) or any(
            (counts < 0).any() or (counts > total).any() for counts, total in zip(kept, totals, strict=True)
        ):
            raise ValueError("counts that are not possible")
        if min([0, *totals, *classes.values()]) < 0:
            raise ValueError("counts below zero")
        if len(rows) > MOST or max([0, *totals, classes.total()]) > len(rows):
            raise ValueError("more inputs than are possible")
        for place in range(len(rows)):
            self._rows.set(place, rows, place)
        self.beyond, self.totals, self.classes, self.count = kept, totals, classes, len(rows)
