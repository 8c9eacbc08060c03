"""Who of the agent's parts is alive: each says by when it will be heard again."""

import logging
import threading
import time
from collections.abc import Callable

from edgewise_agent.service.notify import Notifier

_FEEDS_PER_TIMEOUT = 3
_LOOK_EVERY_S = 10.0
"""Without systemd: for the log and the status page."""

log = logging.getLogger("edgewise.agent.service")

Beat = Callable[[float], None]
"""Called with the seconds within which the part will call again; infinity when it has ended in order."""


def never_mind(within_s: float) -> None:
    """A Beat where nobody listens."""


class Heartbeats:
    """Safe between threads."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._deadlines_s: dict[str, float] = {}

    def part(self, name: str, *, within_s: float) -> Beat:
        """A new part, which must call what this returns within ``within_s``, and then as it says itself."""

        def beat(within_s: float) -> None:
            with self._lock:
                self._deadlines_s[name] = self._now_s() + within_s

        beat(within_s)
        return beat

    def silent(self) -> dict[str, float]:
        """The parts that are overdue, with the seconds since they should have been heard."""
        now_s = self._now_s()
        with self._lock:
            return {name: now_s - due_s for name, due_s in self._deadlines_s.items() if now_s > due_s}


class Watchdog:
    """Feeds systemd's watchdog as long as every part is alive; then it stops, and systemd restarts the agent."""

    def __init__(self, heartbeats: Heartbeats, notifier: Notifier) -> None:
        self._heartbeats, self._notifier = heartbeats, notifier
        watched_s = notifier.watchdog_s
        self._every_s = min(_LOOK_EVERY_S, watched_s / _FEEDS_PER_TIMEOUT) if watched_s else _LOOK_EVERY_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> bool:
        """One look: True and fed when all parts are alive."""
        silent = self._heartbeats.silent()
        if not silent:
            self._notifier.alive()
            return True
        names = ", ".join(f"{name} ({late_s:.0f} s late)" for name, late_s in silent.items())
        log.error("not heard from: %s; %s", names, self._consequence())
        self._notifier.status(f"hangs: {names}")
        return False

    def _consequence(self) -> str:
        return "systemd will restart the agent" if self._notifier.watchdog_s else "nobody watches the agent"

    def _work(self) -> None:
        self.look()
        while not self._stop.wait(self._every_s):
            self.look()
