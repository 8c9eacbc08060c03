"""Sees inferences that do not come back, from a thread that needs none of the others.

A thread inside a runtime cannot be ended; the process can. What hangs is written down first, so that the next start
knows it. Where the runtime holds Python's lock while it hangs, no thread of Python runs, this one neither: then the
C thread of faulthandler ends the process, and the service manager starts it again.
"""

import faulthandler
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

LOOK_S = 1.0
LOOKS_PER_LIMIT = 4.0
GRACE_S = 60.0
"""So much longer than the longest limit everything must stand still before the C thread ends it."""

PAUSE_S, PAUSES = 5.0, 64
"""A thread that sleeps a second and wakes so much too late was not let run."""

log = logging.getLogger("edgewise.agent.protection")


@dataclass(frozen=True)
class Watched:
    """Something that is busy or not."""

    what: str
    """In words."""
    busy_s: Callable[[], float]
    """How long with one thing; 0 between two."""
    limit_s: Callable[[], float]
    """0 is none."""
    on_hang: Callable[[str], None]
    """Called once with the reason, on the watch's thread."""


class HangWatch:
    """A context manager around the agent's work."""

    def __init__(self, watched: Sequence[Watched], *, last_resort_s: float = 0.0) -> None:
        """``last_resort_s`` without a turn of this thread ends the process; 0 never does."""
        self._watched = list(watched)
        self._last_resort_s = last_resort_s
        self._told: set[str] = set()
        self._pauses: deque[tuple[float, float]] = deque(maxlen=PAUSES)
        """When this thread was held up itself, and for how long: the whole process was, as by SIGSTOP."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="hang watch", daemon=True)

    def look(self) -> None:
        """One look at all of them."""
        for one in self._watched:
            limit_s, busy_s = one.limit_s(), one.busy_s()
            if 0 < limit_s < busy_s - self._paused_s(busy_s) and one.what not in self._told:
                self._told.add(one.what)
                reason = f"one {one.what} took more than {limit_s:g} s"
                log.error("%s", reason)
                one.on_hang(reason)

    def __enter__(self) -> "HangWatch":
        """Begin to look, where there is something to look at."""
        if self._watched:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """No longer."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._last_resort_s:
            faulthandler.cancel_dump_traceback_later()

    def _work(self) -> None:
        since_armed_s = self._last_resort_s
        while True:
            limits = [limit_s for one in self._watched if (limit_s := one.limit_s()) > 0]
            wait_s = min([LOOK_S, *(limit_s / LOOKS_PER_LIMIT for limit_s in limits)])
            if self._last_resort_s and since_armed_s >= self._last_resort_s / LOOKS_PER_LIMIT:
                self._arm()
                since_armed_s = 0.0
            began_s = time.monotonic()
            if self._stop.wait(wait_s):
                return
            late_s = time.monotonic() - began_s - wait_s
            if late_s > PAUSE_S:
                self._pauses.append((time.monotonic(), late_s))
            since_armed_s += wait_s
            try:
                self.look()
            except Exception as error:  # whatever one look breaks, the next may not
                log.error("unexpected error: %r", error)

    def _paused_s(self, busy_s: float) -> float:
        """Of that time."""
        since_s = time.monotonic() - busy_s
        return sum(paused_s for at_s, paused_s in self._pauses if at_s >= since_s)

    def _arm(self) -> None:
        if sys.__stderr__ is None:
            return
        with suppress(OSError, ValueError):  # a stderr without a file
            faulthandler.dump_traceback_later(self._last_resort_s, exit=True, file=sys.__stderr__)
