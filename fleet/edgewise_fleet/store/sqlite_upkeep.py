"""Roll-ups and forgetting in the SQLite store; each function is one short transaction of the caller."""

import sqlite3

from edgewise_fleet.store.levels import Level

BUCKETS_AT_ONCE = 2000
"""Rolled up per transaction, so that arrivals never wait for long."""
SPAN_BUCKETS = 60
"""A backlog is worked off in spans of time, each device by device: points and roll-ups of one device lie together,
marks of one time do in their index. Minute by minute every bucket would be a page of its own in the one, day by day in
the other (1,000 devices, one day of minutes: 41 s of processor time by minutes, 22 by days, 13 by hours)."""
PRUNE_CHUNK = 5000
"""Records forgotten per transaction, for the same reason."""

_ROLL_POINTS = """
INSERT OR REPLACE INTO rollup_minute
SELECT p.device_id, due.at_ms, p.metric_id, count(*), sum(p.value), min(p.value), max(p.value), (
    SELECT value FROM points AS l
    WHERE l.device_id = p.device_id AND l.metric_id = p.metric_id
    AND l.at_ms >= due.at_ms AND l.at_ms < due.at_ms + 60000 ORDER BY l.at_ms DESC LIMIT 1
)
FROM due CROSS JOIN points AS p
ON p.device_id = due.device_id AND p.at_ms >= due.at_ms AND p.at_ms < due.at_ms + 60000
GROUP BY due.device_id, due.at_ms, p.metric_id
"""
_ROLL_BUCKETS = """
INSERT OR REPLACE INTO {table} (device_id, at_ms, metric_id, count, sum, min, max, last)
WITH parts AS (
    SELECT due.device_id, due.at_ms AS begin_ms, p.at_ms, p.metric_id, p.count, p.sum, p.min, p.max, p.last
    FROM {join} AND p.at_ms >= due.at_ms AND p.at_ms < due.at_ms + {width}
), newest AS (
    SELECT device_id, begin_ms, metric_id, max(at_ms), last FROM parts GROUP BY 1, 2, 3
)
SELECT device_id, begin_ms, metric_id, sum(count), sum(sum), min(min), max(max), newest.last
FROM parts JOIN newest USING (device_id, begin_ms, metric_id) GROUP BY 1, 2, 3
"""
"""With max() the bare column `last` comes from the row that holds it (https://www.sqlite.org/quirks.html)."""
_JOINS = {
    Level.HOUR: "due CROSS JOIN rollup_minute AS p ON p.device_id = due.device_id",
    # Hours lie by metric, so each metric is a range of its own.
    Level.DAY: "due CROSS JOIN metrics CROSS JOIN rollup_hour AS p"
    " ON p.metric_id = metrics.id AND p.device_id = due.device_id",
}


def oldest_ms(connection: sqlite3.Connection, level: Level) -> int | None:
    """The earliest bucket of this level that is not up to date."""
    (found,) = connection.execute("SELECT min(at_ms) FROM unrolled WHERE level = ?", (level,)).fetchone()
    return None if found is None else int(found)


def roll_some(connection: sqlite3.Connection, level: Level, now_ms: int) -> int:
    """Bring some complete buckets up to date; how many, 0 when none is left."""
    run = connection.execute
    complete_ms = now_ms - level.width_ms
    begin_ms = oldest_ms(connection, level)
    if begin_ms is None or begin_ms > complete_ms:
        return 0
    run(
        "CREATE TEMP TABLE IF NOT EXISTS due (device_id INTEGER, at_ms INTEGER, PRIMARY KEY (device_id, at_ms))"
    )
    run("DELETE FROM due")
    taken = run(
        "INSERT INTO due SELECT u.device_id, u.at_ms FROM devices CROSS JOIN unrolled AS u"
        " ON u.level = ? AND u.device_id = devices.id AND u.at_ms BETWEEN ? AND ? LIMIT ?",
        (level, begin_ms, min(complete_ms, begin_ms + SPAN_BUCKETS * level.width_ms - 1), BUCKETS_AT_ONCE),
    ).rowcount
    run("DELETE FROM unrolled WHERE level = ? AND (device_id, at_ms) IN (SELECT * FROM due)", (level,))
    if level is Level.MINUTE:
        # What is left of a minute whose points were forgotten must not replace what is known of it.
        run(
            "DELETE FROM due WHERE at_ms < CAST((SELECT value FROM settings WHERE name = 'raw_from_ms') AS INTEGER)"
        )
        run(_ROLL_POINTS)
    else:
        run(_ROLL_BUCKETS.format(table=level.table, join=_JOINS[level], width=level.width_ms))
    if level is not Level.DAY:
        coarser = Level(level + 1)
        run(
            "INSERT OR IGNORE INTO unrolled SELECT DISTINCT ?, device_id, at_ms - at_ms % ? FROM due",
            (coarser, coarser.width_ms),
        )
    return taken


def forget_some(connection: sqlite3.Connection, before_ms: int) -> int:
    """Forget some records and the points of the same time; fewer than PRUNE_CHUNK when none is left."""
    forgotten = connection.execute(
        "DELETE FROM records WHERE (boot_id, seq) IN (SELECT boot_id, seq FROM records WHERE at_ms < ? LIMIT ?)",
        (before_ms, PRUNE_CHUNK),
    ).rowcount
    if forgotten < PRUNE_CHUNK:
        connection.execute(
            "UPDATE settings SET value = ?1 WHERE name = 'raw_from_ms' AND CAST(value AS INTEGER) < ?1",
            # The minute that was cut through is not whole any more.
            (Level.MINUTE.floor(before_ms + Level.MINUTE.width_ms - 1),),
        )
        connection.execute(
            "DELETE FROM points WHERE (device_id, at_ms, metric_id) IN ("
            " SELECT p.device_id, p.at_ms, p.metric_id FROM devices CROSS JOIN points AS p"
            " ON p.device_id = devices.id AND p.at_ms < ?)",
            (before_ms,),
        )
    return forgotten


def forget_buckets(connection: sqlite3.Connection, level: Level, before_ms: int) -> int:
    """Forget the roll-ups of a level before this time."""
    return connection.execute(f"DELETE FROM {level.table} WHERE at_ms < ?", (before_ms,)).rowcount


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the file holds, without the pages that are free for new records."""
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(size * (pages - free))


def oldest_tenth_ms(connection: sqlite3.Connection) -> int | None:
    """The time before which about a tenth of the records' span lies; None without records."""
    oldest, newest = connection.execute("SELECT min(at_ms), max(at_ms) FROM records").fetchone()
    return None if oldest is None else int(oldest + max((newest - oldest) // 10, 1))
