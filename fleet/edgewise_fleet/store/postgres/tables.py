"""Migrations, and the partitions of a day each."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store.migrations import load_migrations
from edgewise_fleet.store.postgres.connection import Connection

DAY_MS = 86_400_000
OLDEST_DAYS = 400
"""Records older than this when they come share the partition `other`: a wrong clock makes no thousand tables."""
PARTITIONED = ("records", "points")
_TABLES_LOCK = 0x4564_6701
"""Key of the advisory lock under which tables are made."""


def migrate(connection: Connection) -> None:
    """Bring the tables up to date. Raises StoreUnusable for those of a later version."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)")
        run = {str(name) for (name,) in connection.execute("SELECT name FROM migrations").fetchall()}
        known = load_migrations("postgres")
        later = run - {one.name for one in known}
        if later:
            raise StoreUnusable(f"store: of a later version, with {sorted(later)[0]!r}; update edgewise here")
        for one in known:
            if one.name not in run:
                connection.execute(one.sql.encode())
                connection.execute("INSERT INTO migrations VALUES (%s)", (one.name,))
        connection.execute(
            "INSERT INTO settings VALUES ('client_id', %s) ON CONFLICT DO NOTHING",
            (f"edgewise-fleet-{uuid.uuid4().hex[:12]}",),
        )


def is_a_store(connection: Connection) -> bool:
    """Whether the database has tables of a fleet store."""
    row = connection.execute("SELECT to_regclass('migrations')").fetchone()
    return row is not None and row[0] is not None


def is_current(connection: Connection) -> bool:
    """Whether exactly the steps known here were run."""
    if not is_a_store(connection):
        return False
    run = {str(name) for (name,) in connection.execute("SELECT name FROM migrations").fetchall()}
    return run == {one.name for one in load_migrations("postgres")}


def day_of(at_ms: int) -> int:
    """The number of the day since 1970, UTC."""
    return at_ms // DAY_MS


def ensure_days(connection: Connection, days: Iterable[int], *, today: int) -> None:
    """Make the partitions of these days, but not of those that were forgotten or are very old."""
    (raw_from,) = connection.execute(
        "SELECT value::bigint FROM settings WHERE name = 'raw_from_ms'"
    ).fetchone() or (0,)
    first = max(day_of(int(str(raw_from))), today - OLDEST_DAYS)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
    for day in sorted(days):
        if day < first:
            continue
        for table in PARTITIONED:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {partition(table, day)} PARTITION OF {table}"
                f" FOR VALUES FROM ({day * DAY_MS}) TO ({(day + 1) * DAY_MS})".encode()
            )


def partition(table: str, day: int) -> str:
    """The name of one day's part."""
    return f"{table}_{datetime.fromtimestamp(day * 86_400, UTC):%Y%m%d}"


def days_of(connection: Connection) -> list[int]:
    """The days that have partitions, in order."""
    rows = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'records'::regclass AND relname ~ '^records_[0-9]{8}$'"
    ).fetchall()
    stamps = (datetime.strptime(str(name)[-8:], "%Y%m%d").replace(tzinfo=UTC) for (name,) in rows)
    return sorted(int(stamp.timestamp()) // 86_400 for stamp in stamps)
