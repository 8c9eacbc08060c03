"""A LiveModel where none runs: a pipeline that is stopped until an update comes."""

from collections.abc import Callable
from pathlib import Path

from edgewise_agent.updates.live_model import ModelHealth, ShadowReport


class StoppedLive:
    """Takes any model that passed its trial in a child; the agent starts again to run it."""

    candidate_busy_s = 0.0

    def __init__(self, restart: Callable[[str], None]) -> None:
        """``restart`` stops the agent in order, with a reason, and starts it again."""
        self._restart = restart

    def shadow(
        self, path: Path, *, inputs: int, within_s: float, should_stop: Callable[[], bool]
    ) -> ShadowReport:
        """There is nothing to compare it with."""
        return ShadowReport(0, 0)

    def switch(self, path: Path) -> None:
        """At the start that comes."""
        self._restart("an update for a pipeline that is stopped")

    def health(self) -> ModelHealth:
        """Of nothing."""
        return ModelHealth(0, 0)
