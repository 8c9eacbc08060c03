"""What is under way to the broker on one connection after another, and what becomes of each batch.

Acknowledged: forgotten. Refused for now (not authorised, quota): kept, its channel waits while the others go on.
Refused for ever (too large, malformed) or ending the connection again and again: sent alone, then quarantined.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edgewise_agent.connection.suspects import ALONE, Suspects
from edgewise_agent.errors import MessageUnsendable
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.outbox.outbox import Outbox
from edgewise_messages import MessageError

WINDOW = 8
"""Publishes under way at once: enough to hide a mobile network's delay, and little to send again."""
PAUSE_S, LONGEST_PAUSE_S = 30.0, 900.0
"""How long a channel waits that the broker refuses; doubles with each refusal."""

log = logging.getLogger("edgewise.agent.broker")


@dataclass(frozen=True)
class Refusal:
    """The broker's answer to a publish that it did not take; ``is_final`` when it never will."""

    reason: str
    is_final: bool


@dataclass(eq=False)
class _Parcel:
    """A batch on its way, and the numbers of its publishes that are not acknowledged yet."""

    batch: Batch
    since_s: float
    missing: set[int]


@dataclass(frozen=True)
class _Pause:
    until_s: float
    length_s: float
    is_over: bool = False


class Deliveries:
    """Used by the courier's thread alone."""

    def __init__(
        self, outbox: Outbox, *, unsure_for_s: float = 0.0, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """``unsure_for_s``: how long after sending a record stays on disk, where nobody acknowledges it."""
        self._outbox = outbox
        self._unsure_for_s = unsure_for_s
        self._unsure: deque[tuple[float, Batch]] = deque()
        self._now_s = now_s
        self._batches: deque[Batch] = deque()
        self._parcels: list[_Parcel] = []
        self._by_number: dict[int, _Parcel] = {}
        self._suspects = Suspects()
        self._pauses: dict[str, _Pause] = {}
        self._was_refused = False

    def begin(self) -> None:
        """A new connection: everything not acknowledged goes out again."""
        self._was_refused = False
        for kept in (self._batches, self._parcels, self._by_number, self._unsure):
            kept.clear()
        self._outbox.release()

    def fill(self, publish: Callable[[Batch], Iterable[int]], *, hurry: bool = False) -> None:
        """Publish until the window is full or nothing is left.

        ``publish`` returns the numbers that are to be acknowledged, none when all are already.
        """
        self._end_pauses()
        while len(self._parcels) < WINDOW:
            if not self._batches and not self._lease(hurry=hurry):
                return
            if self._must_wait(self._batches[0]):
                return
            batch = self._batches.popleft()
            try:
                numbers = set(publish(batch))
            except (MessageUnsendable, MessageError) as error:
                self._final(batch, str(error))
                continue
            if numbers:
                parcel = _Parcel(batch, self._now_s(), numbers)
                self._parcels.append(parcel)
                self._by_number |= dict.fromkeys(numbers, parcel)
            else:
                self._delivered(batch)

    def acknowledged(self, number: int) -> bool:
        """The broker has it, or the network at QoS 0; False when this number is none of these."""
        parcel = self._by_number.pop(number, None)
        if parcel is None:
            return False
        parcel.missing.discard(number)
        if not parcel.missing:
            self._parcels.remove(parcel)
            self._delivered(parcel.batch)
        return True

    def refused(self, number: int, refusal: Refusal) -> None:
        """The broker answered, and says no."""
        self._was_refused = True
        parcel = self._by_number.get(number)
        if parcel is None:
            return
        self._take_out(parcel)
        if refusal.is_final:
            self._final(parcel.batch, f"the broker says: {refusal.reason}")
            return
        self._outbox.give_back(parcel.batch)
        self._pause(parcel.batch.channel, refusal.reason)

    def ended_by_broker(self) -> None:
        """The broker ended a connection that had worked.

        Mosquitto 2.0.11 does so after each refusal: then it says nothing about what else was under way.
        """
        if self._was_refused:
            return
        condemned = self._suspects.ended_with([parcel.batch for parcel in self._parcels])
        if condemned is not None:
            self._quarantine(condemned, f"{ALONE} times the broker ended the connection when it got it")

    def settle_the_sure(self, *, all_of_them: bool = False) -> None:
        """Forget what was sent long enough ago; with ``all_of_them`` the broker vouches for everything."""
        now_s = self._now_s()
        while self._unsure and (all_of_them or self._unsure[0][0] <= now_s):
            self._outbox.settle(self._unsure.popleft()[1])

    @property
    def is_idle(self) -> bool:
        """True when nothing waits and nothing is under way."""
        return not (self._parcels or self._batches or self._outbox.has_more)

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest publish has been without an answer; 0 when there is none."""
        oldest = next(iter(self._parcels), None)
        return self._now_s() - oldest.since_s if oldest else 0.0

    def _must_wait(self, batch: Batch) -> bool:
        """A suspect is sent alone."""
        under_way = [parcel.batch for parcel in self._parcels]
        return bool(under_way) and any(self._suspects.include(one) for one in (*under_way, batch))

    def _lease(self, *, hurry: bool) -> bool:
        if not self._outbox.has_more:
            return False
        paused = [channel for channel, pause in self._pauses.items() if not pause.is_over]
        for batch in self._outbox.lease(hurry=hurry, without=paused):
            self._batches.extend(self._suspects.separate(batch))
        return bool(self._batches)

    def _delivered(self, batch: Batch) -> None:
        self._suspects.clear(batch)
        self._pauses.pop(batch.channel, None)
        if self._unsure_for_s:
            self._unsure.append((self._now_s() + self._unsure_for_s, replace(batch, bodies=())))
        else:
            self._outbox.settle(batch)

    def _take_out(self, parcel: _Parcel) -> None:
        self._parcels.remove(parcel)
        for number in parcel.missing:
            self._by_number.pop(number, None)

    def _final(self, batch: Batch, reason: str) -> None:
        """One record of it may be to blame: the others must not suffer."""
        if len(batch.sequences) > 1:
            self._batches.extendleft(reversed(batch.one_by_one()))
        else:
            self._quarantine(batch, reason)

    def _quarantine(self, batch: Batch, reason: str) -> None:
        self._suspects.clear(batch)
        self._outbox.quarantine(batch, reason)

    def _pause(self, channel: str, reason: str) -> None:
        before = self._pauses.get(channel)
        if before is not None and not before.is_over:
            return
        length_s = min(before.length_s * 2.0, LONGEST_PAUSE_S) if before else PAUSE_S
        self._pauses[channel] = _Pause(self._now_s() + length_s, length_s)
        waiting = [batch for batch in self._batches if batch.channel == channel]
        for batch in waiting:
            self._batches.remove(batch)
            self._outbox.give_back(batch)
        log.warning("the broker refuses %s records: %s; kept, next try in %.0f s", channel, reason, length_s)

    def _end_pauses(self) -> None:
        now_s = self._now_s()
        over = [name for name, pause in self._pauses.items() if not pause.is_over and now_s >= pause.until_s]
        for channel in over:
            pause = self._pauses[channel]
            self._pauses[channel] = _Pause(pause.until_s, pause.length_s, is_over=True)
        if over:
            self._outbox.resume()
