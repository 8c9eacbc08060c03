"""What a batch of arrivals means for the tables, worked out before any database is asked; knows no SQL."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from edgewise_fleet.store.base import (
    Arrival,
    MetaArrival,
    RecordsArrival,
    RejectedArrival,
    StatusArrival,
)
from edgewise_messages import AnyRecord, Clock, DeviceAddress, DeviceState, Event, Telemetry

QUARANTINE_ROWS = 1000
QUARANTINE_BYTES = 4096
"""What is kept of a message that could not be read: enough to see what it was."""

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: an unsynchronised clock before this was never set."""
FUTURE_TOLERANCE_MS = 5 * 60_000
MOST_IDS = 500_000
"""Ids remembered in memory; past that they are asked for again."""

Key: TypeAlias = tuple[int, int]
"""(boot_id, seq): what makes a record the one that it is."""


class RecordRow(msgspec.Struct, frozen=True, gc=False):
    """One record and where it stands."""

    address: DeviceAddress
    record: AnyRecord
    at_ms: int
    received_ms: int
    body: bytes
    names: tuple[str, ...]
    """Of its metrics, in their order; a fleet has few such rows, which are worked out once for all that share one."""


Rows: TypeAlias = dict[Key, tuple[int, RecordRow]]
"""Records in the order of their keys, each with its device_id."""


@dataclass
class Gathered:
    """A batch in the order in which it is written."""

    rows: list[RecordRow] = field(default_factory=list)
    heard_ms: dict[DeviceAddress, int] = field(default_factory=dict)
    """When a device itself was last heard."""
    first_ms: dict[DeviceAddress, int] = field(default_factory=dict)
    """Every device that is mentioned, and when it was first."""
    statuses: list[StatusArrival] = field(default_factory=list)
    metas: dict[DeviceAddress, bytes] = field(default_factory=dict)
    rejected: list[RejectedArrival] = field(default_factory=list)
    unknown: int = 0


@dataclass
class Ids:
    """Numbers of devices, boots and metrics, as far as they are known to be committed."""

    devices: dict[DeviceAddress, int] = field(default_factory=dict)
    boots: dict[tuple[int, str], int] = field(default_factory=dict)
    metrics: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """After a transaction that was undone; also when there are too many."""
        self.devices.clear()
        self.boots.clear()
        self.metrics.clear()

    def is_large(self) -> bool:
        """More than should be kept in memory."""
        return len(self.devices) + len(self.boots) + len(self.metrics) > MOST_IDS


def gather(arrivals: Sequence[Arrival]) -> Gathered:
    """The batch by kind."""
    found = Gathered()
    for arrival in arrivals:
        match arrival:
            case RecordsArrival():
                _mention(found, arrival.address, arrival.received_ms, heard=True)
                found.unknown += arrival.unknown
                found.rows += _record_rows(arrival)
            case StatusArrival():
                # A Last Will is the broker's word, and so is a repeated notice: the device said nothing now.
                heard = not arrival.retained and arrival.status.state is not DeviceState.OFFLINE
                _mention(found, arrival.address, arrival.received_ms, heard=heard)
                found.statuses.append(arrival)
            case MetaArrival():
                _mention(found, arrival.address, arrival.received_ms, heard=not arrival.retained)
                found.metas[arrival.address] = msgspec.json.encode(arrival.meta)
            case RejectedArrival():
                found.rejected.append(arrival)
    return found


def _mention(found: Gathered, address: DeviceAddress, received_ms: int, *, heard: bool) -> None:
    found.first_ms.setdefault(address, received_ms)
    if heard:
        found.heard_ms[address] = received_ms


def _record_rows(arrival: RecordsArrival) -> Iterable[RecordRow]:
    bodies: Iterable[bytes] = arrival.bodies or map(msgspec.json.encode, arrival.records)
    for record, body in zip(arrival.records, bodies, strict=True):
        at_ms = placed_ms(record, arrival.received_ms)
        names = tuple(record.metrics) if isinstance(record, Telemetry) else ()
        yield RecordRow(arrival.address, record, at_ms, arrival.received_ms, body, names)


def placed_ms(record: AnyRecord, received_ms: int) -> int:
    """Where a record stands on the time axis: its own time, or its arrival when that cannot be right."""
    unset = record.clock is Clock.UNSYNCED and record.ts_ms < EARLIEST_MS
    return received_ms if unset or record.ts_ms > received_ms + FUTURE_TOLERANCE_MS else record.ts_ms


def boots_of(found: Gathered, devices: Mapping[DeviceAddress, int]) -> set[tuple[int, str]]:
    """Every boot that is mentioned, by device."""
    boots = {(devices[row.address], row.record.boot) for row in found.rows}
    # A Last Will may be that of an earlier boot; only a device that speaks names the current one.
    told = (one for one in found.statuses if one.status.state is not DeviceState.OFFLINE)
    return boots | {(devices[one.address], one.status.boot) for one in told}


def once(found: Gathered, ids: Ids) -> Rows:
    """The records by (boot_id, seq) and in that order, with their device_id; the first of those that come twice.

    In order they touch each page of the tables once, and of each boot the last value comes last.
    """
    devices, boots = ids.devices, ids.boots
    rows: Rows = {}
    for row in found.rows:
        device_id, record = devices[row.address], row.record
        rows.setdefault((boots[device_id, record.boot], record.seq), (device_id, row))
    return {key: rows[key] for key in sorted(rows)}


def kind_and_name(record: AnyRecord) -> tuple[str, str | None]:
    """The columns `type` and `name`."""
    return str(record.__struct_config__.tag), record.name if isinstance(record, Event) else None


def metric_names(rows: Iterable[tuple[int, RecordRow]]) -> set[str]:
    """Every metric of these records."""
    return set().union(*{row.names for _, row in rows})
