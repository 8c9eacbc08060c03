"""Registry and rollouts in tables of their own in the fleet store's SQLite file.

Apart from the records: the command line writes here while a server runs, so nobody owns these tables.
"""

from pathlib import Path

from edgewise_fleet.steering.kept import KeptSteering
from edgewise_fleet.store import SqliteStore
from edgewise_fleet.store.sqlite_database import SqliteDatabase

STEERING_VERSION = 1

# As in store/migrations/postgres, which has a number in place of SQLite's rowid.
TABLES = """
CREATE TABLE IF NOT EXISTS registry (
    group_name TEXT NOT NULL, device TEXT NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (group_name, device)
);
CREATE TABLE IF NOT EXISTS rollouts (
    id TEXT PRIMARY KEY, created_ms BIGINT NOT NULL, version BIGINT NOT NULL, state BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS rollout_devices (
    rollout_id TEXT NOT NULL, group_name TEXT NOT NULL, device TEXT NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (rollout_id, group_name, device)
);
CREATE TABLE IF NOT EXISTS rollout_history (
    rollout_id TEXT NOT NULL, number BIGINT NOT NULL, decision BLOB NOT NULL, PRIMARY KEY (rollout_id, number)
);
"""


class SqliteSteering(KeptSteering):
    """A Registry and a RolloutStore."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Raises StoreUnusable; without ``create`` also for a store that is not there."""
        if create and not path.exists():
            SqliteStore(path).close()
        SqliteStore(path, read_only=True).close()  # says what is no fleet store
        super().__init__(
            SqliteDatabase(path, tables=TABLES, version_table="steering_version", version=STEERING_VERSION)
        )
