"""Debounce, hysteresis and cooldown of one rule, on the monotonic clock."""

import math
from enum import StrEnum

from edgewise_agent.rules.settings import RuleSettings


class Change(StrEnum):
    """What is told of a rule."""

    STARTED = "started"
    EACH = "each"
    ENDED = "ended"


class RuleState:
    """Where one rule is. Lives in memory: after a restart every rule begins as not true."""

    def __init__(self, settings: RuleSettings) -> None:
        self._settings = settings
        self._since_s: float | None = None
        self._inputs = 0
        self._quiet_until_s = -math.inf
        self.is_active = False
        self.began_s = 0.0

    def step(self, holds: bool, *, clears: bool, mono_s: float) -> Change | None:
        """Take in whether the condition holds, and whether what ends it does; what is to be told, if anything.

        A start that falls into the cooldown is told after it, if it still holds then.
        """
        if self.is_active and clears:
            return self._end()
        self._count(holds, mono_s)
        if self.is_active or not self._has_held(mono_s) or mono_s < self._quiet_until_s:
            return None
        self._quiet_until_s = mono_s + self._settings.cooldown_s
        if self._settings.tell == "each":
            return Change.EACH
        self.is_active, self.began_s = True, mono_s
        return Change.STARTED

    def _count(self, holds: bool, mono_s: float) -> None:
        if not holds:
            self._since_s, self._inputs = None, 0
            return
        self._inputs += 1
        if self._since_s is None:
            self._since_s = mono_s

    def _has_held(self, mono_s: float) -> bool:
        return (
            self._since_s is not None
            and mono_s - self._since_s >= self._settings.for_s
            and self._inputs >= self._settings.for_inputs
        )

    def _end(self) -> Change | None:
        self.is_active, self._since_s, self._inputs = False, None, 0
        return Change.ENDED if self._settings.tell_end else None
