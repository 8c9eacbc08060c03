"""The seam to time: what paces sources, and one that a test moves by hand."""

import time
from threading import Event, Lock
from typing import Protocol

SLICE_S = 0.25
"""Longest single wait. A Ctrl-C that comes just as a wait begins is seen only at its end (CPython's lock.acquire)."""


class Clock(Protocol):
    """A clock that never goes back, and waiting by it."""

    def time_s(self) -> float:
        """Seconds since some moment."""

    def is_set_within(self, event: Event, seconds: float) -> bool:
        """Wait, at most so long. True when the event is set."""


class MonotonicClock:
    """The machine's own."""

    def time_s(self) -> float:
        """See `Clock.time_s`."""
        return time.monotonic()

    def is_set_within(self, event: Event, seconds: float) -> bool:
        """See `Clock.is_set_within`."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            if event.wait(min(left_s, SLICE_S)):
                return True
        return event.is_set()


class SimulatedClock:
    """A clock for tests: it stands still, and waiting moves it on at once."""

    def __init__(self) -> None:
        self._time_s = 0.0
        self._turn = Lock()

    def time_s(self) -> float:
        """See `Clock.time_s`."""
        return self._time_s

    def is_set_within(self, event: Event, seconds: float) -> bool:
        """See `Clock.is_set_within`. A wait that the event ends takes no time."""
        if not event.is_set():
            self.advance(max(0.0, seconds))
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._turn:
            self._time_s += seconds
