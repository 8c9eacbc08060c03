"""Which of several brokers: the nearest that answers, without going back and forth between two alike."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewise_agent.connection.broker_url import BrokerUrl

NEARER_RATIO = 0.7
NEARER_MS = 5.0
NEARER_ROUNDS = 3
"""Another broker must be nearer by both, in so many measurements in a row, before a working one is left."""
_SMOOTHING = 0.3
"""Weight of the newest measurement."""
_BASE_S, _LONGEST_S = 5.0, 300.0
"""A broker that failed is skipped for a random time below a ceiling that doubles from the one to the other."""


@dataclass
class _Known:
    round_trip_ms: float | None = None
    failures: int = 0
    not_before_s: float = 0.0
    nearer_rounds: int = 0


class BrokerChoice:
    """Remembers for each broker its round trip and its failures. Locked by its user."""

    def __init__(
        self, urls: Sequence[BrokerUrl], *, key: str, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """``key`` seeds the random times; it should differ between devices."""
        self._known = {url: _Known() for url in urls}
        self._now_s = now_s
        self._random = random.Random(key)
        self._current: BrokerUrl | None = None

    def order(self) -> list[BrokerUrl]:
        """Whom to try, in this order: the current one, then by round trip, at last those that failed lately."""
        now_s = self._now_s()

        def rank(url: BrokerUrl) -> tuple[bool, float, bool, float]:
            known = self._known[url]
            failed = known.not_before_s > now_s
            distance = known.round_trip_ms if known.round_trip_ms is not None else float("inf")
            return failed, known.not_before_s if failed else 0.0, url != self._current, distance

        ranked = sorted(self._known, key=rank)
        ready = [url for url in ranked if self._known[url].not_before_s <= now_s]
        return ready or ranked[:1]

    @property
    def is_measured(self) -> bool:
        """True when every broker was measured or failed."""
        return all(known.round_trip_ms is not None or known.failures for known in self._known.values())

    def chosen(self, url: BrokerUrl) -> None:
        """The connection is with this one now."""
        self._current = url
        for known in self._known.values():
            known.nearer_rounds = 0

    def measured(self, url: BrokerUrl, round_trip_ms: float) -> None:
        """It answered, in this time."""
        known = self._known[url]
        before = known.round_trip_ms
        known.round_trip_ms = (
            round_trip_ms if before is None else before + _SMOOTHING * (round_trip_ms - before)
        )
        known.failures, known.not_before_s = 0, 0.0

    def failed(self, url: BrokerUrl) -> None:
        """It did not answer, or refused."""
        known = self._known[url]
        ceiling_s = min(_LONGEST_S, _BASE_S * 2.0 ** min(known.failures, 10))
        known.failures += 1
        known.nearer_rounds = 0
        known.not_before_s = self._now_s() + self._random.uniform(ceiling_s / 2, ceiling_s)

    def nearer(self) -> BrokerUrl | None:
        """Called once after each round of measurements: the broker to move to, if one is clearly nearer."""
        here = self._known[self._current].round_trip_ms if self._current is not None else None
        if here is None:
            return None
        for url, known in self._known.items():
            there = known.round_trip_ms
            is_nearer = (
                url != self._current
                and there is not None
                and not known.failures
                and there < min(here * NEARER_RATIO, here - NEARER_MS)
            )
            known.nearer_rounds = known.nearer_rounds + 1 if is_nearer else 0
        enough = [url for url, known in self._known.items() if known.nearer_rounds >= NEARER_ROUNDS]
        return min(enough, key=lambda url: self._known[url].round_trip_ms or 0.0, default=None)

    def leave_for(self, url: BrokerUrl) -> None:
        """`order` begins with this one from now on."""
        self._current = url
