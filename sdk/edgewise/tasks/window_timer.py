"""Several runs for one answer: where the time went."""

from time import perf_counter
from typing import TYPE_CHECKING

from edgewise.tasks.timings import Timings
from edgewise.tensors import Array

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel


class WindowTimer:
    """Runs a model for windows of one answer. What comes before a run counts as its pre-processing."""

    def __init__(self) -> None:
        self._mark = perf_counter()
        self._before_s = self._inside_s = 0.0

    def run(self, opened: "OpenedModel", inputs: Array | dict[str, Array]) -> dict[str, Array]:
        """See `OpenedModel.run`."""
        began = perf_counter()
        outputs = opened.run(inputs)
        ended = perf_counter()
        self._before_s += began - self._mark
        self._inside_s += ended - began
        self._mark = ended
        return outputs

    def timings(self) -> Timings:
        """All that was, and what came since the last run as post-processing."""
        after_s = perf_counter() - self._mark
        return Timings(self._before_s * 1000, self._inside_s * 1000, after_s * 1000)
