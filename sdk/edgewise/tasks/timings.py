"""Where the time of one prediction went."""

from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter


@dataclass(frozen=True)
class Timings:
    """Where the time of one prediction went, in milliseconds."""

    preprocess_ms: float
    invoke_ms: float
    postprocess_ms: float

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.preprocess_ms + self.invoke_ms + self.postprocess_ms


class Stopwatch:
    """Runs from its making; ``lap`` after the pre-processing and after the model, ``timings`` at the end.

    A second attempt at the same answer makes two laps more.
    """

    def __init__(self) -> None:
        self._marks = [perf_counter()]

    @classmethod
    def after(cls, preprocess_ms: float, invoke_ms: float) -> "Stopwatch":
        """One whose first two spans took so long, elsewhere, and have ended now."""
        watch, now = cls(), perf_counter()
        watch._marks = [now - (preprocess_ms + invoke_ms) / 1000, now - invoke_ms / 1000, now]
        return watch

    def lap(self) -> None:
        """One span has ended."""
        self._marks.append(perf_counter())

    def timings(self) -> Timings:
        """The laps and what came since."""
        spans = [(end - start) * 1000 for start, end in pairwise([*self._marks, perf_counter()])]
        return Timings(sum(spans[:-1:2]), sum(spans[1:-1:2]), spans[-1])
