"""The seam of the store: what goes in, what comes out, and the Protocol that every store keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from edgewise_fleet.store.selection import Exporter
from edgewise_messages import AnyRecord, DeviceAddress, DeviceState, Event, Meta, Status


class RecordsArrival(msgspec.Struct, frozen=True, gc=False):
    """The records of one publish."""

    address: DeviceAddress
    received_ms: int
    records: tuple[AnyRecord, ...]
    unknown: int = 0
    """Records of a type that this version does not know."""
    bodies: tuple[bytes, ...] = ()
    """The records as JSON with fields unknown here; without them the records are written as they were read."""


class StatusArrival(msgspec.Struct, frozen=True, gc=False):
    """A device's status; retained when the broker repeated an earlier one."""

    address: DeviceAddress
    received_ms: int
    status: Status
    retained: bool = False


class MetaArrival(msgspec.Struct, frozen=True, gc=False):
    """What changes rarely about a device; retained when the broker repeated an earlier one."""

    address: DeviceAddress
    received_ms: int
    meta: Meta
    retained: bool = False


class RejectedArrival(msgspec.Struct, frozen=True, gc=False):
    """A message that could not be read: kept aside with the reason."""

    topic: str
    received_ms: int
    reason: str
    payload: bytes


Arrival: TypeAlias = RecordsArrival | StatusArrival | MetaArrival | RejectedArrival


@dataclass(frozen=True)
class Added:
    """What one transaction did."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0


class Counter(StrEnum):
    """What the store counts over its whole life."""

    RECORDS = "records"
    DUPLICATES = "duplicates"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class DeviceRow:
    """What is known about one device, as it was told; nothing here is judged against the clock."""

    address: DeviceAddress
    first_seen_ms: int
    last_seen_ms: int
    """When the host last heard it itself (a repeated retained message does not count); 0 for never."""
    state: DeviceState | None
    state_since_ms: int
    state_reason: str
    meta: Meta | None
    metrics: Mapping[str, float]
    """The latest numeric value of every metric."""


@dataclass(frozen=True)
class EventRow:
    """One event and the time it is placed at."""

    at_ms: int
    event: Event


@dataclass(frozen=True)
class Bucket:
    """A stretch of time of one metric over several devices."""

    at_ms: int
    width_ms: int
    count: int
    sum: float
    min: float
    max: float


Points: TypeAlias = tuple[tuple[int, float], ...]
"""Pairs of (milliseconds since 1970, value), oldest first."""


@dataclass(frozen=True)
class Keep:
    """How long each level is kept, in days; 0 is for ever. A coarser level is kept at least as long as a finer one."""

    raw_days: float = 30.0
    """Records and the points of their metrics."""
    minute_days: float = 90.0
    hour_days: float = 730.0
    day_days: float = 0.0


class RecordSink(Protocol):
    """What collectors write to. Every method may be called from any thread."""

    def add(self, arrivals: Sequence[Arrival]) -> Added:
        """Keep all of it in one durable transaction, or none of it (then raises StoreUnusable)."""

    def client_id(self) -> str:
        """The MQTT client id that goes with this store, the same for ever: the broker keeps our place by it."""

    def close(self) -> None:
        """Release what is held; the store must not be used afterwards."""


class FleetReader(Protocol):
    """What pages and alerts read. Every method may be called from any thread."""

    def devices(self) -> tuple[DeviceRow, ...]:
        """Every device, ordered by group and name."""

    def series(
        self,
        address: DeviceAddress,
        metrics: Sequence[str],
        *,
        since_ms: int,
        until_ms: int,
        limit: int = 500,
    ) -> dict[str, Points]:
        """At most ``limit`` points per metric; thinning keeps each stretch's lowest and highest point.

        A long window is read from the roll-ups: of each minute, hour or day its lowest value, at its beginning,
        and its highest, at its middle.
        """

    def fleet_series(
        self, metric: str, *, since_ms: int, until_ms: int, group: str | None = None, buckets: int = 24
    ) -> tuple[Bucket, ...]:
        """One metric over all devices, or those of a group, oldest first.

        In days, hours or minutes, whichever makes at least so many ``buckets``.
        """

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int = 50) -> tuple[EventRow, ...]:
        """The latest predictions, or the latest of all other events; newest first.

        Apart, because a device may report every prediction, and a warning must not drown in them.
        """

    def counts(self) -> dict[Counter, int]:
        """How much arrived over the store's whole life."""


class Upkeep(Protocol):
    """What is done to a store regularly."""

    def roll_up(self, now_ms: int, *, goes_on: Callable[[], bool] = lambda: True) -> int:
        """Bring the roll-ups of all complete minutes, hours and days up to date; return how many were written.

        In short transactions, between which arrivals are stored and ``goes_on`` is asked; what is left when that says
        no, or when the process is killed, is rolled up the next time.
        """

    def prune(self, before_ms: int, *, keep: Keep | None = None) -> int:
        """Forget records placed before this time, return how many; with ``keep`` old roll-ups too."""

    def shrink(self, max_bytes: int) -> int:
        """Forget the oldest records until the store holds less than this; return how many."""


class Store(RecordSink, FleetReader, Upkeep, Exporter, Protocol):
    """All of it: SQLite in one file, or PostgreSQL."""
