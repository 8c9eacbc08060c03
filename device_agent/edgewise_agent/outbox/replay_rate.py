"""How fast an outage's records are replayed, so that a thousand devices do not send all theirs at once."""

import time
from collections.abc import Callable

from edgewise_agent.outbox.batches import BATCH_RECORDS

_SAVED_UP_S = 1.0


class ReplayRate:
    """A token bucket: over t seconds at most ``per_s`` * (t + 1) records, or one batch if that is more."""

    def __init__(self, per_s: float, *, now_s: Callable[[], float] = time.monotonic) -> None:
        """``per_s`` 0 means without limit."""
        self._per_s = per_s
        self._most = max(per_s * _SAVED_UP_S, float(BATCH_RECORDS))
        self._now_s = now_s
        self._saved = self._most
        self._at_s = now_s()

    def allows(self) -> int:
        """Records that may be given out now, at most a batch; 0 until half a batch is allowed."""
        if not self._per_s:
            return BATCH_RECORDS
        now_s = self._now_s()
        self._saved = min(self._most, self._saved + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        worth_it = min(BATCH_RECORDS / 2, self._per_s)
        return min(int(self._saved), BATCH_RECORDS) if self._saved >= max(worth_it, 1.0) else 0

    def spend(self, records: int) -> None:
        """So many were given out."""
        self._saved -= records
