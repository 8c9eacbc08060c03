"""One budget of threads for several models of a process, so that they do not fight for its cores."""

import os
from collections import deque
from threading import Condition, Lock
from types import TracebackType
from typing import Protocol

from edgewise.errors import InvalidInput

MAX_THREADS = 4
"""More do not pay on any Raspberry Pi: four threads already give only about twice one."""


def default_threads() -> int:
    """How many threads a model gets when nobody says: the cores, at most 4."""
    return min(MAX_THREADS, os.cpu_count() or 1)


class ThreadBudget:
    """The threads that all models loaded with it may run at once: ``load(path, threads=budget)`` for each.

    A model that is given the budget uses all of it, so such models take turns; one that is given `share` uses some, and
    as many run at once as fit. Calls wait in the order in which they came.
    """

    def __init__(self, threads: int | None = None) -> None:
        """By default the cores, at most 4. Raises InvalidInput for less than 1."""
        self.threads = default_threads() if threads is None else threads
        if self.threads < 1:
            raise InvalidInput(f"threads: got {threads}, expected at least 1")
        self._free = self.threads
        self._changed = Condition()
        self._waiting: deque[object] = deque()

    @property
    def running(self) -> int:
        """How many threads are taken by calls right now."""
        return self.threads - self._free

    def share(self, threads: int) -> "ThreadShare":
        """A part of it, for models that should leave room for others. Raises InvalidInput for more than there are."""
        return ThreadShare(self, threads)

    def _take(self, threads: int) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self._free < threads:
                    self._changed.wait()
                self._free -= threads
            finally:  # also on Ctrl-C
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _give_back(self, threads: int) -> None:
        with self._changed:
            self._free += threads
            self._changed.notify_all()

    def __repr__(self) -> str:
        return f"<ThreadBudget of {self.threads}, {self.running} running>"


class ThreadShare:
    """So many threads of a budget. A context manager: inside, they are taken."""

    def __init__(self, budget: ThreadBudget, threads: int) -> None:
        if not 1 <= threads <= budget.threads:
            raise InvalidInput(f"threads: got {threads}, expected 1 to the budget's {budget.threads}")
        self.budget, self.threads = budget, threads

    def __enter__(self) -> None:
        self.budget._take(self.threads)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.budget._give_back(self.threads)


class Turn(Protocol):
    """What a call of a model is made in."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


class SharedTurn:
    """A model's own lock first, then its threads: whoever waits for the model holds none."""

    def __init__(self, lock: Lock, share: ThreadShare) -> None:
        self._lock, self._share = lock, share

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._share.__enter__()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._share.__exit__(kind, error, trace)
        self._lock.release()


def share_of(threads: "int | ThreadBudget | ThreadShare | None") -> ThreadShare | None:
    """What `load` was given, where it is a part of a budget."""
    if isinstance(threads, ThreadBudget):
        return threads.share(threads.threads)
    return threads if isinstance(threads, ThreadShare) else None
