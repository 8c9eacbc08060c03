"""What the page shows of rollouts, and what it may do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class RolloutLine:
    """One rollout as the page shows it."""

    key: str
    """Names it in `act`."""
    model: str
    phase: str
    """running, paused, halted, done: in words, as they are shown."""
    stage: str
    """Such as "2 of 4 (25 %)"."""
    counts: tuple[tuple[str, int], ...] = ()
    """Devices by how far they are: (("waiting", 8), ("running it", 2))."""
    reason: str = ""
    """Why it is as it is: what halted it, what it waits for."""
    actions: tuple[str, ...] = ()
    """What can be done now: pause, resume, roll back."""


class RolloutsView(Protocol):
    """Rollouts, as far as the page needs them. May be called from any thread."""

    def lines(self) -> Sequence[RolloutLine]:
        """Newest first."""

    def act(self, key: str, action: str, *, who: str) -> str:
        """Do one of its actions; returns what was done in words. Raises FleetError with what to do instead."""
