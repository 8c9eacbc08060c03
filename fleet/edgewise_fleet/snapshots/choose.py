"""The snapshots that go with the store of an address: in the same PostgreSQL, or in a file beside an SQLite one."""

from edgewise_fleet.snapshots.book import Limits, SnapshotBook
from edgewise_fleet.store import beside, is_postgres
from edgewise_fleet.store.sqlite_database import SqliteDatabase

SNAPSHOTS_VERSION = 1

# As in store/migrations/postgres.
TABLES = """
CREATE TABLE IF NOT EXISTS snapshots (
    id TEXT PRIMARY KEY, group_name TEXT NOT NULL, device TEXT NOT NULL, asked_ms BIGINT NOT NULL,
    state TEXT NOT NULL, size_bytes BIGINT NOT NULL DEFAULT 0, about BLOB NOT NULL, content BLOB, thumbnail BLOB
);
CREATE INDEX IF NOT EXISTS snapshots_of_device ON snapshots (group_name, device, asked_ms);
"""
PRAGMAS = ("auto_vacuum = FULL", "secure_delete = ON")
"""What is deleted is overwritten, and its room given back: the file is pictures and little else."""


def open_snapshots(address: str, limits: Limits | None = None) -> SnapshotBook:
    """Raises StoreUnusable; the caller closes it."""
    if is_postgres(address):
        from edgewise_fleet.store.postgres.database import PostgresDatabase

        return SnapshotBook(PostgresDatabase(address, name="snapshots"), limits)
    store = beside(address)
    # A file of its own, so that whoever copies the records to look at them does not take the pictures along.
    database = SqliteDatabase(
        store.with_name(f"{store.name}-snapshots"),
        tables=TABLES,
        version_table="snapshots_version",
        version=SNAPSHOTS_VERSION,
        pragmas=PRAGMAS,
        is_private=True,
    )
    return SnapshotBook(database, limits)
