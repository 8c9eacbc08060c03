"""One batch of arrivals into the tables of the SQLite store, inside a transaction that the caller holds."""

import math
import sqlite3
from collections import Counter as Tally
from collections.abc import Sequence

import msgspec

from edgewise_fleet.store.base import (
    Added,
    Arrival,
    Counter,
    MetaArrival,
    RecordsArrival,
    RejectedArrival,
    StatusArrival,
)
from edgewise_fleet.store.schema import UPSERT_LATEST
from edgewise_messages import AnyRecord, Clock, DeviceAddress, DeviceState, Event, Telemetry

QUARANTINE_ROWS = 1000
QUARANTINE_BYTES = 4096
"""What is kept of a message that could not be read: enough to see what it was."""

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: an unsynchronised clock before this was never set."""
FUTURE_TOLERANCE_MS = 5 * 60_000


def placed_ms(record: AnyRecord, received_ms: int) -> int:
    """Where a record stands on the time axis: its own time, or its arrival when that cannot be right."""
    unset = record.clock is Clock.UNSYNCED and record.ts_ms < EARLIEST_MS
    return received_ms if unset or record.ts_ms > received_ms + FUTURE_TOLERANCE_MS else record.ts_ms


def numbers(record: Telemetry) -> dict[str, float]:
    """The metrics that are finite numbers; True is 1."""
    found = {}
    for name, value in record.metrics.items():
        if isinstance(value, bool | int | float):
            try:
                number = float(value)
            except OverflowError:
                continue
            if math.isfinite(number):
                found[name] = number
    return found


def write_arrivals(connection: sqlite3.Connection, arrivals: Sequence[Arrival]) -> Added:
    """Write all of it and return what was new."""
    batch = _Batch(connection)
    for arrival in arrivals:
        match arrival:
            case RecordsArrival():
                batch.add_records(arrival)
            case StatusArrival():
                batch.add_status(arrival)
            case MetaArrival():
                batch.add_meta(arrival)
            case RejectedArrival():
                batch.add_rejected(arrival)
    batch.finish()
    return Added(
        stored=batch.tally[Counter.RECORDS],
        duplicates=batch.tally[Counter.DUPLICATES],
        rejected=batch.tally[Counter.MALFORMED],
    )


class _Batch:
    """Ids looked up once, and rows gathered for one executemany at the end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.tally: Tally[Counter] = Tally()
        self._connection = connection
        self._device_ids: dict[DeviceAddress, int] = {}
        self._boot_ids: dict[tuple[int, str], int] = {}
        self._metric_ids: dict[str, int] = {}
        self._points: list[tuple[int, int, int, float]] = []
        self._latest: list[tuple[int, int, int, int, int, float]] = []
        self._heard: dict[int, int] = {}

    def add_records(self, arrival: RecordsArrival) -> None:
        device_id = self._heard_from(arrival.address, arrival.received_ms)
        self.tally[Counter.UNKNOWN] += arrival.unknown
        for record in arrival.records:
            self._add_record(device_id, record, arrival.received_ms)

    def _add_record(self, device_id: int, record: AnyRecord, received_ms: int) -> None:
        boot_id = self._boot_id(device_id, record.boot)
        at_ms = placed_ms(record, received_ms)
        kind = type(record).__struct_config__.tag
        name = record.name if isinstance(record, Event) else None
        payload = msgspec.json.encode(record)
        inserted = self._connection.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (boot_id, record.seq, device_id, kind, name, at_ms, record.ts_ms, received_ms, payload),
        ).rowcount
        if not inserted:
            self.tally[Counter.DUPLICATES] += 1
            return
        self.tally[Counter.RECORDS] += 1
        if isinstance(record, Telemetry):
            for name, value in numbers(record).items():
                metric_id = self._metric_id(name)
                self._points.append((device_id, metric_id, at_ms, value))
                self._latest.append((device_id, metric_id, boot_id, record.seq, at_ms, value))

    def add_status(self, arrival: StatusArrival) -> None:
        status = arrival.status
        # A Last Will is the broker's word, and so is a repeated notice: the device itself said nothing now.
        told_by_broker = arrival.retained or status.state is DeviceState.OFFLINE
        device_id = self._notice_from(arrival.address, arrival.received_ms, repeated=told_by_broker)
        self._connection.execute(
            "UPDATE devices SET state_since_ms = CASE WHEN state IS ?2 THEN state_since_ms ELSE ?3 END,"
            " state = ?2, state_reason = ?4 WHERE id = ?1",
            (device_id, status.state.value, arrival.received_ms, status.reason),
        )
        # A Last Will may be that of an earlier boot; only a device that speaks names the current one.
        if status.state is not DeviceState.OFFLINE:
            self._connection.execute(
                "UPDATE devices SET current_boot_id = ? WHERE id = ?",
                (self._boot_id(device_id, status.boot), device_id),
            )

    def add_meta(self, arrival: MetaArrival) -> None:
        device_id = self._notice_from(arrival.address, arrival.received_ms, repeated=arrival.retained)
        self._connection.execute(
            "UPDATE devices SET meta = ? WHERE id = ?", (msgspec.json.encode(arrival.meta), device_id)
        )

    def add_rejected(self, arrival: RejectedArrival) -> None:
        self.tally[Counter.MALFORMED] += 1
        self._connection.execute(
            "INSERT INTO quarantine (received_ms, topic, reason, payload) VALUES (?, ?, ?, ?)",
            (arrival.received_ms, arrival.topic, arrival.reason, arrival.payload[:QUARANTINE_BYTES]),
        )

    def finish(self) -> None:
        run = self._connection.executemany
        run("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", self._points)
        run(UPSERT_LATEST, self._latest)
        run(
            "UPDATE devices SET last_seen_ms = max(last_seen_ms, ?2) WHERE id = ?1",
            self._heard.items(),
        )
        run(
            "INSERT INTO counters VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            [(counter.value, count) for counter, count in self.tally.items()],
        )
        if self.tally[Counter.MALFORMED]:
            self._connection.execute(
                "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (QUARANTINE_ROWS,)
            )

    def _notice_from(self, address: DeviceAddress, received_ms: int, *, repeated: bool) -> int:
        return self._device_id(address, received_ms) if repeated else self._heard_from(address, received_ms)

    def _heard_from(self, address: DeviceAddress, received_ms: int) -> int:
        device_id = self._device_id(address, received_ms)
        self._heard[device_id] = received_ms
        return device_id

    def _device_id(self, address: DeviceAddress, received_ms: int) -> int:
        if address not in self._device_ids:
            key = (address.group, address.device)
            self._connection.execute(
                "INSERT OR IGNORE INTO devices (group_name, device, first_seen_ms) VALUES (?, ?, ?)",
                (*key, received_ms),
            )
            self._device_ids[address] = self._id_of(
                "SELECT id FROM devices WHERE group_name = ? AND device = ?", key
            )
        return self._device_ids[address]

    def _boot_id(self, device_id: int, boot: str) -> int:
        key = (device_id, boot)
        if key not in self._boot_ids:
            self._connection.execute("INSERT OR IGNORE INTO boots (device_id, boot) VALUES (?, ?)", key)
            self._boot_ids[key] = self._id_of("SELECT id FROM boots WHERE device_id = ? AND boot = ?", key)
        return self._boot_ids[key]

    def _metric_id(self, name: str) -> int:
        if name not in self._metric_ids:
            self._connection.execute("INSERT OR IGNORE INTO metrics (name) VALUES (?)", (name,))
            self._metric_ids[name] = self._id_of("SELECT id FROM metrics WHERE name = ?", (name,))
        return self._metric_ids[name]

    def _id_of(self, query: str, key: tuple[object, ...]) -> int:
        (found,) = self._connection.execute(query, key).fetchone()
        return int(found)
