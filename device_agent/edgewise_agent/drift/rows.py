"""Single inputs, whole: what each was like and what was answered to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise.drift_baseline import LIKELIEST, SampleRows
from edgewise_agent.drift.tails import Floats

NONE = -1
"""The class of an input without an answer, and of places that an answer does not fill."""


@dataclass(frozen=True)
class Rows:
    """Arrays of equal length."""

    values: Floats
    """[rows, statistics], NaN where an input has none."""
    classes: npt.NDArray[np.int64]
    """[rows, `LIKELIEST`], each class at most once in a row, `NONE` where there are fewer."""
    probabilities: Floats
    """[rows, `LIKELIEST`]; of an input without an answer, 1 for `NONE`."""

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def empty(cls, rows: int, statistics: int) -> "Rows":
        """To be written with `put`."""
        found = cls(
            np.full((rows, statistics), np.nan),
            np.full((rows, LIKELIEST), NONE, np.int64),
            np.zeros((rows, LIKELIEST)),
        )
        found.probabilities[:, 0] = 1
        return found

    @classmethod
    def of(cls, samples: SampleRows) -> "Rows":
        """A card's."""
        statistics = len(samples.statistics[0]) if samples.statistics else 0
        found = cls.empty(len(samples.statistics), statistics)
        for place, values in enumerate(samples.statistics):
            answer = (samples.classes[place], samples.probabilities[place]) if samples.classes else ((), ())
            found.put(place, values, *answer)
        return found

    def put(
        self,
        place: int,
        values: Sequence[float] | Floats,
        classes: Sequence[int],
        probabilities: Sequence[float],
    ) -> None:
        """Write one row."""
        self.values[place] = values
        self.classes[place], self.probabilities[place] = NONE, 0
        if not classes:
            self.probabilities[place, 0] = 1
        self.classes[place, : len(classes)] = classes
        self.probabilities[place, : len(classes)] = probabilities

    def set(self, place: int, other: "Rows", of: int) -> None:
        """Write one row as it is in ``other``."""
        self.values[place] = other.values[of]
        self.classes[place], self.probabilities[place] = other.classes[of], other.probabilities[of]

    def take(self, places: Any) -> "Rows":
        """Some of them, in another order if asked so."""
        return Rows(self.values[places], self.classes[places], self.probabilities[places])

    def joined(self, other: "Rows") -> "Rows":
        """These and then the others."""
        return Rows(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.probabilities, other.probabilities]),
        )

    def state(self) -> dict[str, Any]:
        """For `restore`, as JSON can hold it."""
        return {
            "values": [[None if v != v else float(f"{v:.6g}") for v in row] for row in self.values.tolist()],
            "classes": self.classes.tolist(),
            "probabilities": self.probabilities.round(3).tolist(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], *, statistics: int) -> "Rows":
        """Raises ValueError, KeyError or TypeError for what `state` did not give."""
        values = [[np.nan if value is None else float(value) for value in row] for row in state["values"]]
        found = cls(
            np.array(values, np.float64).reshape(-1, statistics),
            np.array(state["classes"], np.int64).reshape(-1, LIKELIEST),
            np.array(state["probabilities"], np.float64).reshape(-1, LIKELIEST),
        )
        if not len(found.values) == len(found.classes) == len(found.probabilities) == len(values):
            raise ValueError("arrays of different lengths")
        if found.classes.min(initial=NONE) < NONE:
            raise ValueError("classes below zero")
        if not ((found.probabilities >= 0) & (found.probabilities <= 1)).all():
            raise ValueError("probabilities that are none")
        return found
