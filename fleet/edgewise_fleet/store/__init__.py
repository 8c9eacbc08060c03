"""What the fleet remembers: the seam (base) and SQLite behind it."""

from edgewise_fleet.store.base import (
    Added,
    Arrival,
    Bucket,
    Counter,
    DeviceRow,
    EventRow,
    FleetReader,
    Keep,
    MetaArrival,
    RecordsArrival,
    RecordSink,
    RejectedArrival,
    StatusArrival,
    Store,
    Upkeep,
)
from edgewise_fleet.store.choose import beside, is_postgres, open_store
from edgewise_fleet.store.rows import placed_ms
from edgewise_fleet.store.sqlite import SqliteStore

__all__ = [
    "Added",
    "Arrival",
    "Bucket",
    "Counter",
    "DeviceRow",
    "EventRow",
    "FleetReader",
    "Keep",
    "MetaArrival",
    "RecordSink",
    "RecordsArrival",
    "RejectedArrival",
    "SqliteStore",
    "StatusArrival",
    "Store",
    "Upkeep",
    "beside",
    "is_postgres",
    "open_store",
    "placed_ms",
]
