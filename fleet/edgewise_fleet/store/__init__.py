"""What the fleet remembers: the seam (base) and SQLite behind it."""

from edgewise_fleet.store.base import (
    Added,
    Arrival,
    Counter,
    DeviceRow,
    EventRow,
    MetaArrival,
    RecordsArrival,
    RejectedArrival,
    StatusArrival,
    Store,
)
from edgewise_fleet.store.sqlite import SqliteStore

__all__ = [
    "Added",
    "Arrival",
    "Counter",
    "DeviceRow",
    "EventRow",
    "MetaArrival",
    "RecordsArrival",
    "RejectedArrival",
    "SqliteStore",
    "StatusArrival",
    "Store",
]
