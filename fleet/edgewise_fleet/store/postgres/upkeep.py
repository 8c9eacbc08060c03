"""Roll-ups and forgetting in the PostgreSQL store; each function is one transaction of the caller."""

from edgewise_fleet.store.levels import Level
from edgewise_fleet.store.postgres.connection import Connection
from edgewise_fleet.store.postgres.tables import DAY_MS, PARTITIONED, days_of, partition

BUCKETS_AT_ONCE = 5000
"""Rolled up per transaction: the tables of a new day are made between two of them, and their records wait for that."""
_ROLL_LOCK = 0x4564_6702
"""Key of the advisory lock: two that roll up the same bucket at once could write the older result last."""
LOCK_TIMEOUT = "10s"
"""How long dropping a partition waits for queries on it."""

_ROLL = """
WITH taken AS (
    DELETE FROM unrolled WHERE id IN (
        SELECT id FROM unrolled WHERE level = %(level)s AND at_ms <= %(complete)s ORDER BY at_ms LIMIT %(some)s
    ) RETURNING device_id, at_ms
), due AS (SELECT DISTINCT device_id, at_ms FROM taken WHERE at_ms >= %(from)s), coarser AS (
    INSERT INTO unrolled (level, device_id, at_ms)
    SELECT DISTINCT %(level)s + 1, device_id, at_ms - at_ms %% %(coarser)s FROM due WHERE %(coarser)s > 0
), rolled AS (
    INSERT INTO {table} (device_id, metric_id, at_ms, count, sum, min, max, last)
    SELECT due.device_id, parts.metric_id, due.at_ms, parts.count, parts.sum, parts.min, parts.max, parts.last
    FROM due CROSS JOIN LATERAL (
        SELECT p.metric_id, {columns} FROM {source} AS p {metrics}
        AND p.device_id = due.device_id AND p.at_ms >= due.at_ms AND p.at_ms < due.at_ms + %(width)s
        GROUP BY p.metric_id
    ) AS parts
    ON CONFLICT ({key}) DO UPDATE SET
    count = excluded.count, sum = excluded.sum, min = excluded.min, max = excluded.max, last = excluded.last
)
SELECT count(*) FROM taken
"""
"""LATERAL: each bucket is one look-up by its key. As a join the planner may compare every bucket of a device with every
point of it, which is the square of the minutes in a backlog."""
_OF_POINTS = (
    "count(*), sum(value), min(value), max(value), (array_agg(value ORDER BY p.at_ms DESC))[1] AS last"
)
_OF_BUCKETS = (
    "sum(count) AS count, sum(sum) AS sum, min(min) AS min, max(max) AS max,"
    " (array_agg(last ORDER BY p.at_ms DESC))[1] AS last"
)


def oldest_ms(connection: Connection, level: Level) -> int | None:
    """The earliest bucket of this level that is not up to date."""
    (found,) = connection.execute(
        "SELECT min(at_ms) FROM unrolled WHERE level = %s", (int(level),)
    ).fetchone() or (None,)
    return None if found is None else int(str(found))


def roll_some(connection: Connection, level: Level, now_ms: int) -> int:
    """Bring some complete buckets up to date; how many marks were worked off, 0 when another process is at it."""
    (is_ours,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_ROLL_LOCK,)).fetchone() or (
        False,
    )
    if not is_ours:
        return 0
    (raw_from,) = connection.execute(
        "SELECT value::bigint FROM settings WHERE name = 'raw_from_ms'"
    ).fetchone() or (0,)
    is_minute = level is Level.MINUTE
    query = _ROLL.format(
        table=level.table,
        source="points" if is_minute else Level(level - 1).table,
        columns=_OF_POINTS if is_minute else _OF_BUCKETS,
        # Hours lie by metric, so each metric is a range of its own.
        metrics="JOIN metrics ON metrics.id = p.metric_id" if level is Level.DAY else "WHERE true",
        key="device_id, at_ms, metric_id" if is_minute else "metric_id, device_id, at_ms",
    )
    values = {
        "level": int(level),
        "complete": now_ms - level.width_ms,
        "some": BUCKETS_AT_ONCE,
        # What is left of a minute whose points were forgotten must not replace what is known of it.
        "from": raw_from if is_minute else 0,
        "coarser": 0 if level is Level.DAY else Level(level + 1).width_ms,
        "width": level.width_ms,
    }
    (taken,) = connection.execute(query.encode(), values).fetchone() or (0,)
    return int(str(taken))


def forget_records(connection: Connection, before_ms: int) -> int:
    """Forget records and points before this time: whole days at once."""
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    horizon = Level.MINUTE.floor(before_ms + Level.MINUTE.width_ms - 1)
    connection.execute(
        "UPDATE settings SET value = %s WHERE name = 'raw_from_ms' AND value::bigint < %s",
        (str(horizon), horizon),
    )
    forgotten = 0
    for day in days_of(connection):
        if (day + 1) * DAY_MS <= before_ms:
            (count,) = connection.execute(
                f"SELECT count(*) FROM {partition('records', day)}".encode()
            ).fetchone() or (0,)
            forgotten += int(str(count))
            for table in PARTITIONED:
                connection.execute(f"DROP TABLE {partition(table, day)}".encode())
    forgotten += connection.execute("DELETE FROM records WHERE at_ms < %s", (before_ms,)).rowcount
    connection.execute("DELETE FROM points WHERE at_ms < %s", (before_ms,))
    connection.execute("DELETE FROM seen WHERE at_ms < %s", (before_ms,))
    return forgotten


def forget_buckets(connection: Connection, level: Level, before_ms: int) -> None:
    """Forget the roll-ups of a level before this time."""
    connection.execute(f"DELETE FROM {level.table} WHERE at_ms < %s".encode(), (before_ms,))


def oldest_day_over(connection: Connection, max_bytes: int) -> int | None:
    """The day to forget as the database is larger than this; None when it is not, or only one has records."""
    (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    if int(str(size)) <= max_bytes:
        return None
    days = days_of(connection)
    # The tables of coming days are there already.
    newest = next((day for day in reversed(days) if _has_records(connection, day)), None)
    return days[0] if newest is not None and days[0] < newest else None


def _has_records(connection: Connection, day: int) -> bool:
    (found,) = connection.execute(
        f"SELECT EXISTS (SELECT FROM {partition('records', day)})".encode()
    ).fetchone() or (False,)
    return bool(found)
