"""The latest observations, in bounded memory."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewise_agent.drift.observation import Observation
from edgewise_agent.drift.rows import Rows
from edgewise_agent.drift.tails import Floats

NO_ANSWER = -(2**31)


class Window:
    """A ring of the latest ``size`` observations of the statistics ``names``."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        self._names, self._size = tuple(names), size
        self._rows = Rows.empty(size, len(self._names))
        self._answers = np.full(size, NO_ANSWER, np.int64)
        self.seen = 0
        """All that were ever added."""

    def add(self, observation: Observation) -> None:
        """Take one in; the oldest goes. A statistic that it lacks is NaN."""
        place = self.seen % self._size
        values = [observation.statistics.get(name, math.nan) for name in self._names]
        self._rows.put(place, values, *observation.likeliest)
        self._answers[place] = NO_ANSWER if observation.answer is None else observation.answer
        self.seen += 1

    def oldest(self) -> tuple[Rows, int | None] | None:
        """What the next `add` drops: one row and its answer; None before it is full."""
        if self.seen < self._size:
            return None
        place = self.seen % self._size
        answer = int(self._answers[place])
        return self._rows.take([place]), None if answer == NO_ANSWER else answer

    @property
    def filled(self) -> int:
        """How many are in it."""
        return min(self.seen, self._size)

    def values(self, length: int) -> Floats:
        """Of the latest ``length``, oldest first, float64 [length, names]."""
        values: Floats = self._rows.values[self._places(length)]
        return values

    def rows(self, length: int) -> Rows:
        """Of the latest ``length``, whole, oldest first."""
        return self._rows.take(self._places(length))

    def answers(self, length: int) -> list[int]:
        """Of the latest ``length``, oldest first; without those that had none."""
        return [int(index) for index in self._answers[self._places(length)] if index != NO_ANSWER]

    def _places(self, length: int) -> list[int]:
        length = min(length, self.filled)
        return [place % self._size for place in range(self.seen - length, self.seen)]

    def state(self) -> dict[str, object]:
        """For `restore`, as JSON can hold it."""
        return {
            "names": list(self._names),
            "rows": self.rows(self._size).state(),
            "answers": self._answers[self._places(self._size)].tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError for what `state` did not give."""
        if state["names"] != list(self._names):
            raise ValueError("other statistics")
        rows = Rows.restored(state["rows"], statistics=len(self._names))
        answers = [int(answer) for answer in state["answers"]]
        if not len(rows) == len(answers) <= self._size:
            raise ValueError("arrays of different lengths")
        for place, answer in enumerate(answers):
            self._rows.set(place, rows, place)
            self._answers[place] = answer
        self.seen = len(answers)
