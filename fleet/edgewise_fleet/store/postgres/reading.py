"""Questions to the PostgreSQL store."""

from collections.abc import Sequence
from typing import Any

from edgewise_fleet.store.base import Bucket, DeviceRow, Points
from edgewise_fleet.store.levels import Level, Stretch, bucket_points, level_for, stretches, thin
from edgewise_fleet.store.postgres.connection import Connection
from edgewise_fleet.store.reading import MINUTE_MS, device_row, merge_buckets
from edgewise_messages import DeviceAddress

_FLEET_BUCKETS = """
SELECT at_ms, sum(count)::bigint, sum(sum), min(min), max(max) FROM {table} AS b
WHERE metric_id = %(metric)s AND at_ms BETWEEN %(since)s AND %(until)s AND {devices} GROUP BY at_ms
"""
_FLEET_POINTS = """
SELECT at_ms - at_ms %% %(width)s AS begin_ms, count(*), sum(value), min(value), max(value) FROM points AS b
WHERE metric_id = %(metric)s AND at_ms BETWEEN %(since)s AND %(until)s AND {devices} GROUP BY begin_ms
"""
_IN_GROUP = "device_id IN (SELECT id FROM devices WHERE group_name = %(group)s)"


def read_devices(reader: Connection) -> tuple[DeviceRow, ...]:
    """Every device with its latest values."""
    latest: dict[Any, dict[str, float]] = {}
    for device_id, name, value in reader.execute(
        "SELECT device_id, name, value FROM latest JOIN metrics ON id = metric_id ORDER BY name"
    ).fetchall():
        latest.setdefault(device_id, {})[str(name)] = float(str(value))
    rows = reader.execute(
        "SELECT id, group_name, device, first_seen_ms, last_seen_ms, state, state_since_ms,"
        ' state_reason, meta FROM devices ORDER BY group_name COLLATE "C", device COLLATE "C"'
    ).fetchall()
    return tuple(device_row(row, latest.get(row[0], {})) for row in rows)


def read_series(
    reader: Connection,
    address: DeviceAddress,
    metrics: Sequence[str],
    *,
    since_ms: int,
    until_ms: int,
    limit: int,
) -> dict[str, Points]:
    """Several metrics of one device, from the level that suits the window."""
    device_id = _one(
        reader,
        "SELECT id FROM devices WHERE group_name = %s AND device = %s",
        (address.group, address.device),
    )
    numbers = reader.execute("SELECT id, name FROM metrics WHERE name = ANY(%s)", (list(metrics),)).fetchall()
    names = {int(str(number)): str(name) for number, name in numbers}
    if device_id is None or not names:
        return dict.fromkeys(metrics, ())
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in metrics}
    level = level_for(since_ms, until_ms, buckets=limit // 2)
    for stretch in stretches(since_ms, until_ms, level, _unrolled_from(reader, device_id)):
        for metric_id, name in names.items():
            found[name] += _read_stretch(reader, device_id, metric_id, stretch)
    return {
        name: thin(points, since_ms=since_ms, until_ms=until_ms, limit=limit)
        for name, points in found.items()
    }


def _read_stretch(
    reader: Connection, device_id: int, metric_id: int, stretch: Stretch
) -> list[tuple[int, float]]:
    columns, table = (
        ("value, value", "points") if stretch.level is None else ("min, max", stretch.level.table)
    )
    rows: list[Any] = reader.execute(
        f"SELECT at_ms, {columns} FROM {table} WHERE device_id = %s AND metric_id = %s"
        " AND at_ms BETWEEN %s AND %s ORDER BY at_ms".encode(),
        (device_id, metric_id, stretch.since_ms, stretch.until_ms),
    ).fetchall()
    return (
        [(at_ms, low) for at_ms, low, _ in rows]
        if stretch.level is None
        else bucket_points(rows, stretch.level)
    )


def read_fleet_series(
    reader: Connection, metric: str, *, since_ms: int, until_ms: int, group: str | None, buckets: int
) -> tuple[Bucket, ...]:
    """One metric over all devices."""
    level = level_for(since_ms, until_ms, buckets=buckets)
    width_ms = MINUTE_MS if level is None else level.width_ms
    values = {"metric": _one(reader, "SELECT id FROM metrics WHERE name = %s", (metric,)), "group": group}
    rows: list[Any] = []
    for stretch in stretches(since_ms, until_ms, level, _unrolled_from(reader, None)):
        query = _FLEET_POINTS if stretch.level is None else _FLEET_BUCKETS
        query = query.format(
            table=stretch.level.table if stretch.level is not None else "",
            devices="true" if group is None else _IN_GROUP,
        )
        span = {"since": stretch.since_ms, "until": stretch.until_ms, "width": width_ms}
        rows += reader.execute(query.encode(), {**values, **span}).fetchall()
    return merge_buckets(rows, width_ms)


def _unrolled_from(reader: Connection, device_id: int | None) -> dict[Level, int | None]:
    one_device, values = ("", ()) if device_id is None else (" AND device_id = %s", (device_id,))
    query = f"SELECT min(at_ms) FROM unrolled WHERE level = %s{one_device}"
    return {level: _one(reader, query, (int(level), *values)) for level in Level}


def _one(reader: Connection, query: str, values: tuple[object, ...]) -> int | None:
    row = reader.execute(query.encode(), values).fetchone()
    return None if row is None or row[0] is None else int(str(row[0]))
