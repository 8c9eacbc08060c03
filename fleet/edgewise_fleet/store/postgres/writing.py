"""One batch of arrivals into the tables of the PostgreSQL store, inside a transaction that the caller holds.

Whatever several collectors may touch is touched in the same order by all of them, and late in the transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from edgewise_fleet.store.base import Added, Counter
from edgewise_fleet.store.measuring import Latest, Measuring
from edgewise_fleet.store.postgres.connection import Connection
from edgewise_fleet.store.postgres.copying import (
    copy_if_new,
    copy_rows,
    pack_latest,
    pack_marks,
    pack_points,
    pack_unrolled,
)
from edgewise_fleet.store.rows import (
    QUARANTINE_BYTES,
    QUARANTINE_ROWS,
    Gathered,
    Ids,
    Rows,
    boots_of,
    kind_and_name,
    metric_names,
    once,
)
from edgewise_fleet.store.schema import UPSERT_LATEST
from edgewise_messages import DeviceState

STAGING = """
CREATE TEMP TABLE IF NOT EXISTS points_in (device_id integer, at_ms bigint, metric_id integer, value double precision)
    ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS latest_in (
    device_id integer, metric_id integer, boot_id integer, seq bigint, at_ms bigint, value double precision
) ON COMMIT DELETE ROWS;
"""


def write_arrivals(connection: Connection, found: Gathered, ids: Ids, *, collector: str) -> Added:
    """Write all of it and return what was new; ``ids`` must be forgotten if the transaction is undone."""
    _resolve_devices(connection, found, ids)
    _resolve_boots(connection, found, ids)
    rows = once(found, ids)
    fresh = _mark_seen(connection, rows)
    _resolve_metrics(connection, metric_names(fresh.values()), ids)
    _write_records(connection, fresh)
    measuring = Measuring(fresh, ids.metrics)
    _write_points(connection, measuring)
    rejected = _set_aside(connection, found)
    added = Added(stored=len(fresh), duplicates=len(found.rows) - len(fresh), rejected=rejected)
    _count(connection, added, found.unknown, collector)
    _write_notices(connection, found, ids)
    _write_latest(connection, measuring.latest())
    return added


def _resolve_devices(connection: Connection, found: Gathered, ids: Ids) -> None:
    missing = sorted(
        (
            (one.group, one.device, first_ms)
            for one, first_ms in found.first_ms.items()
            if one not in ids.devices
        )
    )
    if not missing:
        return
    columns = _columns(missing)
    connection.execute(
        "INSERT INTO devices (group_name, device, first_seen_ms)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING",
        columns,
    )
    numbers = {
        (group, device): number
        for number, group, device in connection.execute(
            "SELECT id, group_name, device FROM devices"
            " JOIN unnest(%s::text[], %s::text[]) AS wanted (g, d) ON group_name = g AND device = d",
            columns[:2],
        ).fetchall()
    }
    for address in found.first_ms:
        if address not in ids.devices:
            ids.devices[address] = int(str(numbers[address.group, address.device]))


def _resolve_boots(connection: Connection, found: Gathered, ids: Ids) -> None:
    missing = sorted(boots_of(found, ids.devices) - ids.boots.keys())
    if not missing:
        return
    columns = _columns(missing)
    connection.execute(
        "INSERT INTO boots (device_id, boot) SELECT * FROM unnest(%s::integer[], %s::text[])"
        " ON CONFLICT DO NOTHING",
        columns,
    )
    for number, device_id, boot in connection.execute(
        "SELECT id, device_id, boots.boot FROM boots"
        " JOIN unnest(%s::integer[], %s::text[]) AS wanted (d, b) ON device_id = d AND boots.boot = b",
        columns,
    ).fetchall():
        ids.boots[int(str(device_id)), str(boot)] = int(str(number))


def _resolve_metrics(connection: Connection, names: set[str], ids: Ids) -> None:
    missing = {name: _text(name) for name in names - ids.metrics.keys()}
    if not missing:
        return
    wanted = sorted(set(missing.values()))
    connection.execute(
        "INSERT INTO metrics (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (wanted,)
    )
    rows = connection.execute("SELECT name, id FROM metrics WHERE name = ANY(%s)", (wanted,)).fetchall()
    numbers = {str(name): int(str(number)) for name, number in rows}
    ids.metrics.update({name: numbers[text] for name, text in missing.items()})


def _mark_seen(connection: Connection, rows: Rows) -> Rows:
    """Those that nobody had marked before."""
    marks = [(*key, row.at_ms) for key, (_, row) in rows.items()]
    if not marks or copy_if_new(connection, "seen (boot_id, seq, at_ms)", [pack_marks(marks)]):
        return rows
    returned = connection.execute(
        "INSERT INTO seen SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bigint[])"
        " ON CONFLICT DO NOTHING RETURNING boot_id, seq",
        _columns(marks),
    ).fetchall()
    new = sorted((int(str(boot_id)), int(str(seq))) for boot_id, seq in returned)
    return {key: rows[key] for key in new}


def _write_records(connection: Connection, rows: Rows) -> None:
    if not rows:
        return
    with connection.cursor().copy("COPY records FROM STDIN (FORMAT BINARY)") as records:
        records.set_types(["int4", "int8", "int4", "text", "text", "int8", "int8", "int8", "bytea"])
        for (boot_id, seq), (device_id, row) in rows.items():
            kind, name = kind_and_name(row.record)
            stamps = (row.at_ms, row.record.ts_ms, row.received_ms)
            records.write_row((boot_id, seq, device_id, kind, name and _text(name), *stamps, row.body))


def _write_points(connection: Connection, measuring: Measuring) -> None:
    pieces = list[bytes]()
    packed = _noting(map(pack_points, measuring.points()), pieces)
    columns = "(device_id, at_ms, metric_id, value)"
    # Two records of one device and millisecond are two points of one place: known here, it costs no attempt.
    if measuring.overlaps or not copy_if_new(connection, f"points {columns}", packed):
        # What was not yet worked out when the database said no.
        for _ in packed:
            pass
        copy_rows(connection, f"points_in {columns}", pieces)
        connection.execute(
            "INSERT INTO points (device_id, at_ms, metric_id, value)"
            " SELECT device_id, at_ms, metric_id, value FROM points_in ON CONFLICT DO NOTHING"
        )
    if minutes := measuring.unrolled():
        copy_rows(connection, "unrolled (level, device_id, at_ms)", [pack_unrolled(minutes)])


def _noting(pieces: Iterable[bytes], noted: list[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        noted.append(piece)
        yield piece


def _write_latest(connection: Connection, latest: Sequence[Latest]) -> None:
    for rows in _passes(latest):
        copy_rows(connection, "latest_in", [pack_latest(rows)])
        connection.execute(
            f"INSERT INTO latest SELECT * FROM latest_in ORDER BY device_id, metric_id {UPSERT_LATEST}".encode()
        )
        connection.execute("DELETE FROM latest_in")


def _passes(rows: Sequence[Latest]) -> list[list[Latest]]:
    """One statement may change a row once only: a second boot of the same device and metric goes into the next."""
    passes: list[dict[tuple[int, int], Latest]] = []
    for row in rows:
        for taken in passes:
            if row[:2] not in taken:
                taken[row[:2]] = row
                break
        else:
            passes.append({row[:2]: row})
    return [list(taken.values()) for taken in passes]


def _write_notices(connection: Connection, found: Gathered, ids: Ids) -> None:
    numbers = sorted(ids.devices[address] for address in found.first_ms)
    # In this order, or two collectors could wait for each other.
    connection.execute("SELECT FROM devices WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", (numbers,))
    if found.heard_ms:
        heard = [(ids.devices[address], at_ms) for address, at_ms in found.heard_ms.items()]
        connection.execute(
            "UPDATE devices SET last_seen_ms = greatest(last_seen_ms, heard.at_ms)"
            " FROM unnest(%s::integer[], %s::bigint[]) AS heard (id, at_ms) WHERE devices.id = heard.id",
            _columns(heard),
        )
    for arrival in found.statuses:
        status, device_id = arrival.status, ids.devices[arrival.address]
        connection.execute(
            "UPDATE devices SET state_since_ms ="
            " CASE WHEN state IS NOT DISTINCT FROM %(state)s THEN state_since_ms ELSE %(at)s END,"
            " state = %(state)s, state_reason = %(reason)s WHERE id = %(id)s",
            {
                "id": device_id,
                "state": status.state.value,
                "at": arrival.received_ms,
                "reason": _text(status.reason),
            },
        )
        if status.state is not DeviceState.OFFLINE:
            boot_id = ids.boots[device_id, status.boot]
            connection.execute("UPDATE devices SET current_boot_id = %s WHERE id = %s", (boot_id, device_id))
    for address, meta in found.metas.items():
        connection.execute("UPDATE devices SET meta = %s WHERE id = %s", (meta, ids.devices[address]))


def _set_aside(connection: Connection, found: Gathered) -> int:
    for one in found.rejected:
        connection.execute(
            "INSERT INTO quarantine (received_ms, topic, reason, payload) VALUES (%s, %s, %s, %s)",
            (one.received_ms, _text(one.topic), _text(one.reason), one.payload[:QUARANTINE_BYTES]),
        )
    if found.rejected:
        connection.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - %s", (QUARANTINE_ROWS,)
        )
    return len(found.rejected)


def _count(connection: Connection, added: Added, unknown: int, collector: str) -> None:
    counts = {
        Counter.RECORDS: added.stored,
        Counter.DUPLICATES: added.duplicates,
        Counter.UNKNOWN: unknown,
        Counter.MALFORMED: added.rejected,
    }
    told = sorted((counter.value, count) for counter, count in counts.items() if count)
    for name, count in told:
        connection.execute(
            "INSERT INTO counters VALUES (%s, %s, %s)"
            " ON CONFLICT (name, collector) DO UPDATE SET value = counters.value + excluded.value",
            (name, collector, count),
        )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _text(text: str) -> str:
    """PostgreSQL's text holds no NUL."""
    return text.replace("\0", "\ufffd")
