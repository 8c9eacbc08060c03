"""The seam to what runs live: what an update asks of a pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class GroupAgreement:
    """Of the inputs that the current model answers in one way, such as with one label."""

    name: str
    inputs: int
    agreed: int


@dataclass(frozen=True)
class ShadowReport:
    """How a candidate did on live inputs beside the current model."""

    inputs: int
    """Both were asked about so many."""
    agreed: int
    errors: int = 0
    """Inputs at which the candidate failed and the current model did not."""
    median_ms: float | None = None
    current_median_ms: float | None = None
    """Medians, since of few inputs on a busy device p95 is the scheduler's."""
    groups: tuple[GroupAgreement, ...] = ()
    """By what the current model answered; none where that has no kinds."""
    rests: int = 0
    """How often the candidate stood back because the pipeline left inputs out."""


@dataclass(frozen=True)
class ModelHealth:
    """Of the current model; counters only ever grow while one model runs."""

    inferences: int
    errors: int
    p95_ms: float | None = None
    """Over its latest inputs; None before there are any. It must not mix two models."""
    drift_moved: int = 0
    busy_s: float = 0.0
    """How long the input under way has been taking; 0 between two."""
    promise_ms: float | None = None
    """The p95 that its card promises for this board."""


class LiveModel(Protocol):
    """One pipeline's model. Its methods are called from the update thread, while the pipeline runs."""

    def shadow(
        self, path: Path, *, inputs: int, within_s: float, should_stop: Callable[[], bool]
    ) -> ShadowReport:
        """Run another model beside this one, on so many of the next inputs; give back what it saw by then.

        Answers of the other one go nowhere. Raises edgewise.EdgewiseError or AgentError when it cannot be used here.
        """

    def switch(self, path: Path) -> None:
        """Run this model from the next input on. Raises the same; the old one then goes on."""

    def health(self) -> ModelHealth:
        """How the current model does."""

    @property
    def candidate_busy_s(self) -> float:
        """How long the candidate of a shadow run has been at one input; 0 where none is."""
