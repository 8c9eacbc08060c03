"""A store that also tells what it has just kept; everything else goes to the store behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgewise_fleet.alerts.engine import Heard
from edgewise_fleet.store import Added, Arrival, RecordsArrival, Store, placed_ms
from edgewise_messages import Event

PREDICTION = "prediction"


class TappedStore:
    """`Store.add` of another store, with a listener for events. The listener must not wait."""

    def __init__(self, store: Store, on_event: Callable[[Heard], None]) -> None:
        self._store = store
        self._on_event = on_event

    def add(self, arrivals: Sequence[Arrival]) -> Added:
        """Keep it, then tell: what is told is on the disk."""
        added = self._store.add(arrivals)
        for arrival in arrivals:
            if isinstance(arrival, RecordsArrival):
                for record in arrival.records:
                    if isinstance(record, Event) and record.name != PREDICTION:
                        at_ms = placed_ms(record, arrival.received_ms)
                        self._on_event(Heard(arrival.address, record, at_ms))
        return added

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
