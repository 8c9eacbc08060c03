"""The latest observations, in bounded memory."""

import math
from collections.abc import Sequence

import numpy as np

from edgewise_agent.drift.observation import Observation
from edgewise_agent.drift.tails import Floats

NO_ANSWER = -(2**31)


class Window:
    """A ring of the latest ``size`` observations of the statistics ``names``."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        self._names, self._size = tuple(names), size
        self._values = np.full((size, len(self._names)), math.nan)
        self._answers = np.full(size, NO_ANSWER, np.int64)
        self.seen = 0
        """All that were ever added."""

    def add(self, observation: Observation) -> None:
        """Take one in; the oldest goes. A statistic that it lacks is NaN."""
        place = self.seen % self._size
        self._values[place] = [observation.statistics.get(name, math.nan) for name in self._names]
        self._answers[place] = NO_ANSWER if observation.answer is None else observation.answer
        self.seen += 1

    def oldest(self) -> tuple[Floats, int | None] | None:
        """What the next `add` drops: the statistics' values and the answer; None before it is full."""
        if self.seen < self._size:
            return None
        place = self.seen % self._size
        answer = int(self._answers[place])
        return self._values[place], None if answer == NO_ANSWER else answer

    @property
    def filled(self) -> int:
        """How many are in it."""
        return min(self.seen, self._size)

    def values(self, length: int) -> Floats:
        """Of the latest ``length``, oldest first, float64 [length, names]."""
        return self._values[self._places(length)]

    def answers(self, length: int) -> list[int]:
        """Of the latest ``length``, oldest first; without those that had none."""
        return [int(index) for index in self._answers[self._places(length)] if index != NO_ANSWER]

    def _places(self, length: int) -> list[int]:
        length = min(length, self.filled)
        return [place % self._size for place in range(self.seen - length, self.seen)]

    def state(self) -> dict[str, object]:
        """For `restore`, as JSON can hold it."""
        values = [
            [None if math.isnan(value) else float(f"{value:.6g}") for value in row]
            for row in self.values(self._size)
        ]
        return {
            "names": list(self._names),
            "values": values,
            "answers": self._answers[self._places(self._size)].tolist(),
        }

    def restore(self, state: dict[str, object]) -> None:
        """Raises ValueError, KeyError or TypeError for what `state` did not give."""
        if state["names"] != list(self._names):
            raise ValueError("other statistics")
        rows, answers = state["values"], state["answers"]
        if not isinstance(rows, list) or not isinstance(answers, list):
            raise TypeError("expected lists")
        for row, answer in list(zip(rows, answers, strict=True))[-self._size :]:
            statistics = {
                name: math.nan if value is None else float(value)
                for name, value in zip(self._names, row, strict=True)
            }
            self.add(Observation(statistics, None if answer == NO_ANSWER else int(answer)))
