"""What a batch of arrivals means for the tables, worked out before any database is asked; knows no SQL."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from edgewise_fleet.store.base import (
    Arrival,
    MetaArrival,
    RecordsArrival,
    RejectedArrival,
    StatusArrival,
)
from edgewise_fleet.store.levels import Level
from edgewise_messages import AnyRecord, Clock, DeviceAddress, DeviceState, Event, Telemetry

QUARANTINE_ROWS = 1000
QUARANTINE_BYTES = 4096
"""What is kept of a message that could not be read: enough to see what it was."""

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: an unsynchronised clock before this was never set."""
FUTURE_TOLERANCE_MS = 5 * 60_000
MOST_IDS = 500_000
"""Ids remembered in memory; past that they are asked for again."""

Point = tuple[int, int, int, float]
"""(device_id, at_ms, metric_id, value)"""
Latest = tuple[int, int, int, int, int, float]
"""(device_id, metric_id, boot_id, seq, at_ms, value)"""


@dataclass(slots=True)
class RecordRow:
    """One record and where it stands."""

    address: DeviceAddress
    record: AnyRecord
    at_ms: int
    received_ms: int
    body: bytes


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


@dataclass(frozen=True)
class Measured:
    """What the telemetry among new records adds."""

    points: list[Point]
    latest: list[Latest]
    """One for each device, metric and boot."""
    unrolled: list[tuple[int, int, int]]
    """(level, device_id, at_ms) of the minutes that changed."""


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
        yield RecordRow(arrival.address, record, at_ms, arrival.received_ms, body)


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


def once(found: Gathered, ids: Ids) -> dict[tuple[int, int], tuple[int, RecordRow]]:
    """The records by (boot_id, seq), with their device_id; the first of those that come twice."""
    devices, boots = ids.devices, ids.boots
    rows: dict[tuple[int, int], tuple[int, RecordRow]] = {}
    for row in found.rows:
        device_id, record = devices[row.address], row.record
        rows.setdefault((boots[device_id, record.boot], record.seq), (device_id, row))
    return rows


def kind_and_name(record: AnyRecord) -> tuple[str, str | None]:
    """The columns `type` and `name`."""
    return str(record.__struct_config__.tag), record.name if isinstance(record, Event) else None


def metric_names(rows: Iterable[tuple[int, RecordRow]]) -> set[str]:
    """Every metric of these records."""
    names: set[str] = set()
    for _, row in rows:
        if isinstance(row.record, Telemetry):
            names.update(row.record.metrics)
    return names


def measure(rows: Mapping[tuple[int, int], tuple[int, RecordRow]], metrics: Mapping[str, int]) -> Measured:
    """Points, latest values and minutes to roll up, of records that are new."""
    points: list[Point] = []
    latest: dict[tuple[int, int], dict[int, tuple[int, int, float]]] = {}
    minutes: set[tuple[int, int]] = set()
    # In order of sequence, so that of each boot the last value stays.
    for boot_id, seq in sorted(rows):
        device_id, row = rows[boot_id, seq]
        if not isinstance(row.record, Telemetry):
            continue
        at_ms = row.at_ms
        newest = latest.get((device_id, boot_id))
        if newest is None:
            newest = latest[device_id, boot_id] = {}
        for name, value in row.record.metrics.items():
            number = value if type(value) is float else _number(value)
            # Infinite and undefined values are no points.
            if number is not None and number - number == 0.0:
                metric_id = metrics[name]
                points.append((device_id, at_ms, metric_id, number))
                newest[metric_id] = (seq, at_ms, number)
        minutes.add((device_id, at_ms - at_ms % 60_000))
    rows_of_latest = [
        (device_id, metric_id, boot_id, *value)
        for (device_id, boot_id), values in latest.items()
        for metric_id, value in values.items()
    ]
    unrolled = [(int(Level.MINUTE), *minute) for minute in sorted(minutes)]
    return Measured(points, rows_of_latest, unrolled)


def _number(value: object) -> float | None:
    """A metric as a float; True is 1, and what is no number is None."""
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return None
