"""Questions to the SQLite store."""

import sqlite3
from collections.abc import Sequence

from edgewise_fleet.store.base import Bucket, Points
from edgewise_fleet.store.levels import Level, Stretch, bucket_points, level_for, stretches, thin
from edgewise_fleet.store.reading import MINUTE_MS, merge_buckets
from edgewise_messages import DeviceAddress

_FLEET_BUCKETS = """
SELECT b.at_ms, sum(b.count), sum(b.sum), min(b.min), max(b.max) FROM devices CROSS JOIN {table} AS b
ON b.device_id = devices.id AND b.metric_id = :metric AND b.at_ms BETWEEN :since AND :until
WHERE :group IS NULL OR devices.group_name = :group GROUP BY b.at_ms
"""
_FLEET_POINTS = """
SELECT p.at_ms - p.at_ms % :width AS begin_ms, count(*), sum(p.value), min(p.value), max(p.value)
FROM devices CROSS JOIN points AS p
ON p.device_id = devices.id AND p.metric_id = :metric AND p.at_ms BETWEEN :since AND :until
WHERE :group IS NULL OR devices.group_name = :group GROUP BY begin_ms
"""
"""CROSS JOIN keeps this order, so each device is one range of the key (https://www.sqlite.org/optoverview.html)."""


def read_series(
    reader: sqlite3.Connection,
    address: DeviceAddress,
    metrics: Sequence[str],
    *,
    since_ms: int,
    until_ms: int,
    limit: int,
) -> dict[str, Points]:
    """Several metrics of one device, from the level that suits the window."""
    device_id = _one(
        reader, "SELECT id FROM devices WHERE group_name = ? AND device = ?", (address.group, address.device)
    )
    names = {number: name for name in metrics if (number := _metric_id(reader, name)) is not None}
    if device_id is None or not names:
        return dict.fromkeys(metrics, ())
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in metrics}
    level = level_for(since_ms, until_ms, buckets=limit // 2)
    for stretch in stretches(since_ms, until_ms, level, _unrolled_from(reader, device_id)):
        for metric_id, points in _read_stretch(reader, device_id, list(names), stretch).items():
            found[names[metric_id]] += points
    return {
        name: thin(points, since_ms=since_ms, until_ms=until_ms, limit=limit)
        for name, points in found.items()
    }


def _read_stretch(
    reader: sqlite3.Connection, device_id: int, metric_ids: list[int], stretch: Stretch
) -> dict[int, list[tuple[int, float]]]:
    columns, table = (
        ("value, value", "points") if stretch.level is None else ("min, max", stretch.level.table)
    )
    rows = reader.execute(
        f"SELECT metric_id, at_ms, {columns} FROM {table} WHERE device_id = ? AND at_ms BETWEEN ? AND ?"
        f" AND metric_id IN ({', '.join('?' * len(metric_ids))}) ORDER BY at_ms",
        (device_id, stretch.since_ms, stretch.until_ms, *metric_ids),
    )
    found: dict[int, list[tuple[int, float, float]]] = {}
    for metric_id, *row in rows:
        found.setdefault(metric_id, []).append((row[0], row[1], row[2]))
    return {
        metric_id: [(at_ms, low) for at_ms, low, _ in parts]
        if stretch.level is None
        else bucket_points(parts, stretch.level)
        for metric_id, parts in found.items()
    }


def read_fleet_series(
    reader: sqlite3.Connection, metric: str, *, since_ms: int, until_ms: int, group: str | None, buckets: int
) -> tuple[Bucket, ...]:
    """One metric over all devices."""
    metric_id = _metric_id(reader, metric)
    level = level_for(since_ms, until_ms, buckets=buckets)
    width_ms = MINUTE_MS if level is None else level.width_ms
    rows: list[tuple[int, int, float, float, float]] = []
    for stretch in stretches(since_ms, until_ms, level, _unrolled_from(reader, None)):
        query = _FLEET_POINTS if stretch.level is None else _FLEET_BUCKETS.format(table=stretch.level.table)
        values = {"metric": metric_id, "since": stretch.since_ms, "until": stretch.until_ms, "group": group}
        rows += reader.execute(query, {**values, "width": width_ms}).fetchall()
    return merge_buckets(rows, width_ms)


def _unrolled_from(reader: sqlite3.Connection, device_id: int | None) -> dict[Level, int | None]:
    one_device, values = ("", ()) if device_id is None else (" AND device_id = ?", (device_id,))
    query = f"SELECT min(at_ms) FROM unrolled WHERE level = ?{one_device}"
    return {level: _one(reader, query, (int(level), *values)) for level in Level}


def _metric_id(reader: sqlite3.Connection, name: str) -> int | None:
    return _one(reader, "SELECT id FROM metrics WHERE name = ?", (name,))


def _one(reader: sqlite3.Connection, query: str, values: tuple[object, ...]) -> int | None:
    row = reader.execute(query, values).fetchone()
    return None if row is None or row[0] is None else int(row[0])
