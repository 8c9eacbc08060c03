"""One batch of arrivals into the tables of the SQLite store, inside a transaction that the caller holds."""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

from edgewise_fleet.store.base import Added, Arrival, Counter, StatusArrival
from edgewise_fleet.store.measuring import Measuring, PointColumns
from edgewise_fleet.store.rows import (
    QUARANTINE_BYTES,
    QUARANTINE_ROWS,
    Gathered,
    Ids,
    Key,
    Rows,
    boots_of,
    gather,
    kind_and_name,
    metric_names,
    once,
)
from edgewise_fleet.store.schema import UPSERT_LATEST
from edgewise_messages import DeviceState

ROWS_PER_STATEMENT = (2000, 400, 80, 16, 4, 1)
"""A statement of many rows is worked off outside of Python's lock; executemany takes the lock anew for every row, and
a busy network thread makes it wait each time. 9 columns x 2,000 stay below SQLite's 32,766 parameters. What is left
over goes by the next smaller ones, so that there are few statements to keep ready."""


def write_arrivals(connection: sqlite3.Connection, arrivals: Sequence[Arrival], ids: Ids) -> Added:
    """Write all of it and return what was new; ``ids`` must be forgotten if the transaction is undone."""
    found = gather(arrivals)
    _resolve_devices(connection, found, ids)
    _resolve_boots(connection, found, ids)
    _write_notices(connection, found, ids)
    rows = once(found, ids)
    fresh = _insert_records(connection, rows)
    _resolve_metrics(connection, metric_names(fresh.values()), ids)
    measuring = Measuring(fresh, ids.metrics)
    for points in measuring.points():
        _insert_points(connection, points)
    insert_rows(connection, "INSERT INTO latest VALUES", measuring.latest(), UPSERT_LATEST)
    insert_rows(connection, "INSERT OR IGNORE INTO unrolled VALUES", measuring.unrolled())
    added = Added(
        stored=len(fresh), duplicates=len(found.rows) - len(fresh), rejected=_set_aside(connection, found)
    )
    _count(connection, added, found.unknown)
    return added


def insert_rows(
    connection: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = ""
) -> Iterable[tuple[Any, ...]]:
    """Insert many rows by few statements; what RETURNING in ``tail`` returns."""
    returned: list[tuple[Any, ...]] = []
    for begin, end in _pieces(len(rows)):
        some = rows[begin:end]
        statement = _statement(head, len(some[0]), len(some), tail)
        returned += connection.execute(statement, list(chain.from_iterable(some))).fetchall()
    return returned


def _insert_points(connection: sqlite3.Connection, points: PointColumns) -> None:
    for begin, end in _pieces(len(points)):
        values: list[float] = [0] * (4 * (end - begin))
        values[0::4] = points.device_ids[begin:end]
        values[1::4] = points.at_ms[begin:end]
        values[2::4] = points.metric_ids[begin:end]
        values[3::4] = points.values[begin:end]
        connection.execute(_statement("INSERT OR IGNORE INTO points VALUES", 4, end - begin, ""), values)


def _pieces(count: int) -> Iterable[tuple[int, int]]:
    """So many rows cut for the statements that there are."""
    begin = 0
    for size in ROWS_PER_STATEMENT:
        while count - begin >= size:
            yield begin, begin + size
            begin += size


@cache
def _statement(head: str, columns: int, rows: int, tail: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{head} {', '.join([row] * rows)} {tail}"


def _insert_records(connection: sqlite3.Connection, rows: Rows) -> Rows:
    """Insert those that are new, and return them."""
    values = [
        (boot_id, seq, device_id, *kind_and_name(row.record), row.at_ms, row.record.ts_ms, row.received_ms, row.body)
        for (boot_id, seq), (device_id, row) in rows.items()
    ]  # fmt: skip
    repeated = False
    new: list[Key] = []
    for begin, end in _pieces(len(values)):
        some = values[begin:end]
        try:
            # Mostly all are new, and asking which ones costs twice as much as the rest of it.
            insert_rows(connection, "INSERT INTO records VALUES", some)
            new += [row[:2] for row in some]
        except sqlite3.IntegrityError:
            repeated = True
            new += insert_rows(
                connection,
                "INSERT INTO records VALUES",
                some,
                "ON CONFLICT DO NOTHING RETURNING boot_id, seq",
            )
    return {key: rows[key] for key in sorted(new)} if repeated else rows


def _resolve_devices(connection: sqlite3.Connection, found: Gathered, ids: Ids) -> None:
    for address, first_ms in found.first_ms.items():
        if address in ids.devices:
            continue
        key = (address.group, address.device)
        connection.execute(
            "INSERT OR IGNORE INTO devices (group_name, device, first_seen_ms) VALUES (?, ?, ?)",
            (*key, first_ms),
        )
        ids.devices[address] = _id_of(
            connection, "SELECT id FROM devices WHERE group_name = ? AND device = ?", key
        )


def _resolve_boots(connection: sqlite3.Connection, found: Gathered, ids: Ids) -> None:
    for key in boots_of(found, ids.devices):
        if key not in ids.boots:
            connection.execute("INSERT OR IGNORE INTO boots (device_id, boot) VALUES (?, ?)", key)
            ids.boots[key] = _id_of(connection, "SELECT id FROM boots WHERE device_id = ? AND boot = ?", key)


def _resolve_metrics(connection: sqlite3.Connection, names: set[str], ids: Ids) -> None:
    for name in sorted(names - ids.metrics.keys()):
        connection.execute("INSERT OR IGNORE INTO metrics (name) VALUES (?)", (name,))
        ids.metrics[name] = _id_of(connection, "SELECT id FROM metrics WHERE name = ?", (name,))


def _id_of(connection: sqlite3.Connection, query: str, key: tuple[object, ...]) -> int:
    (found,) = connection.execute(query, key).fetchone()
    return int(found)


def _write_notices(connection: sqlite3.Connection, found: Gathered, ids: Ids) -> None:
    for status in found.statuses:
        _write_status(connection, status, ids)
    connection.executemany(
        "UPDATE devices SET meta = ? WHERE id = ?",
        [(meta, ids.devices[address]) for address, meta in found.metas.items()],
    )
    connection.executemany(
        "UPDATE devices SET last_seen_ms = max(last_seen_ms, ?2) WHERE id = ?1",
        [(ids.devices[address], at_ms) for address, at_ms in found.heard_ms.items()],
    )


def _write_status(connection: sqlite3.Connection, arrival: StatusArrival, ids: Ids) -> None:
    status, device_id = arrival.status, ids.devices[arrival.address]
    connection.execute(
        "UPDATE devices SET state_since_ms = CASE WHEN state IS ?2 THEN state_since_ms ELSE ?3 END,"
        " state = ?2, state_reason = ?4 WHERE id = ?1",
        (device_id, status.state.value, arrival.received_ms, status.reason),
    )
    if status.state is not DeviceState.OFFLINE:
        boot_id = ids.boots[device_id, status.boot]
        connection.execute("UPDATE devices SET current_boot_id = ? WHERE id = ?", (boot_id, device_id))


def _set_aside(connection: sqlite3.Connection, found: Gathered) -> int:
    if found.rejected:
        rows = [
            (one.received_ms, one.topic, one.reason, one.payload[:QUARANTINE_BYTES]) for one in found.rejected
        ]
        insert_rows(connection, "INSERT INTO quarantine (received_ms, topic, reason, payload) VALUES", rows)
        connection.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (QUARANTINE_ROWS,)
        )
    return len(found.rejected)


def _count(connection: sqlite3.Connection, added: Added, unknown: int) -> None:
    counts = {
        Counter.RECORDS: added.stored,
        Counter.DUPLICATES: added.duplicates,
        Counter.UNKNOWN: unknown,
        Counter.MALFORMED: added.rejected,
    }
    connection.executemany(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        [(counter.value, count) for counter, count in counts.items() if count],
    )
