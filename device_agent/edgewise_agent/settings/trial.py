"""Watches over new settings while the agent runs with them: kept once the broker is reached, else undone."""

import logging
import threading
import time
from collections.abc import Callable

from edgewise_agent.settings.change import Notice, SettingsChange
from edgewise_messages import Severity

TellNotice = Callable[[str, str, Severity], None]
"""Event name, message, severity."""

log = logging.getLogger("edgewise.agent.settings")


class SettingsTrial:
    """Made at a start, after `load_on_trial`. `connected` may be called from any thread."""

    def __init__(
        self,
        change: SettingsChange,
        *,
        tell: TellNotice,
        restart: Callable[[str], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``restart`` stops the agent, with a reason, and starts it again. A trial that was undone is told now."""
        self._change = change
        self._tell = tell
        self._restart = restart
        self._now_s = now_s
        self._is_on = change.is_on_trial
        self._give_up_s = now_s() + change.connect_within_s
        self._lock = threading.Lock()
        self._say(change.take_notice(), Severity.WARNING)

    def connected(self) -> None:
        """The broker took the connection."""
        with self._lock:
            if self._is_on:
                self._is_on = False
                self._say(self._change.confirm(), Severity.INFO)

    def check(self) -> None:
        """Call it every few seconds: past the time given the settings before come back, and the agent restarts."""
        with self._lock:
            if not self._is_on or self._now_s() < self._give_up_s:
                return
            self._is_on = False
            reason = f"the broker was not reached within {self._change.connect_within_s:g} s"
            if self._change.undo(reason):
                self._restart(f"new settings undone: {reason}")

    def _say(self, notice: Notice | None, severity: Severity) -> None:
        if notice is not None:
            self._tell(notice.event, notice.message, severity)
