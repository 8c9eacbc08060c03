"""What is done to a store regularly: roll-ups every minute, forgetting every hour."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import Keep, Upkeep

ROLL_EVERY_S = 60.0
PRUNE_EVERY_S = 3600.0
DAY_MS = 86_400_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UpkeepSettings:
    """How long and how much is kept."""

    keep: Keep = field(default_factory=Keep)
    max_size_bytes: int = 0
    """0 is without a limit."""


class Keeper:
    """A thread that looks after one store. With several collectors on one database any number may run."""

    def __init__(
        self, store: Upkeep, settings: UpkeepSettings, *, also: Sequence[Callable[[int], int]] = ()
    ) -> None:
        """``also`` forget what is no record and older than a time in milliseconds; how many it was."""
        self._store = store
        self._also = also
        self._settings = settings
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._pruned_s = -PRUNE_EVERY_S

    def start(self) -> None:
        """Begin, with a first turn at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the piece of a turn that runs."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            except StoreUnusable as error:
                log.error("looking after the store: %s; trying again in a minute", error)
            if self._ended.wait(ROLL_EVERY_S):
                return

    def _turn(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        trouble = None
        try:
            # Before anything is forgotten: what is forgotten lives on in the roll-ups.
            self._store.roll_up(now_ms, goes_on=lambda: not self._ended.is_set())
        except StoreUnusable as error:
            trouble = error  # on a full disk forgetting is what makes room
        if not self._ended.is_set():
            self._forget(now_ms)
        if trouble is not None:
            raise trouble

    def _forget(self, now_ms: int) -> None:
        if time.monotonic() - self._pruned_s >= PRUNE_EVERY_S:
            keep = self._settings.keep
            if keep.raw_days:
                pruned = self._store.prune(now_ms - int(keep.raw_days * DAY_MS), keep=keep)
                if pruned:
                    log.info("forgot %d records older than %g days", pruned, keep.raw_days)
                for forget in self._also:
                    forget(now_ms - int(keep.raw_days * DAY_MS))
            self._pruned_s = time.monotonic()
        if self._settings.max_size_bytes:
            shrunk = self._store.shrink(self._settings.max_size_bytes)
            if shrunk:
                log.warning("forgot the oldest %d records: the store had reached --max-size", shrunk)
