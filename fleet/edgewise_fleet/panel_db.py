"""What people decided and were told: alerts, silences, users, tokens, the audit log, in one SQLite file of its own.

Apart from the records' store, so that it stays small, is backed up by itself, and is the same whichever store keeps
the records.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store.sqlite_file import as_store_error

APPLICATION_ID = 0x45645061
VERSION = 1
BUSY_TIMEOUT_S = 10.0
Value: TypeAlias = str | int | float | bytes | None

SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT NOT NULL, group_name TEXT NOT NULL, device TEXT NOT NULL, pipeline TEXT NOT NULL,
    severity TEXT NOT NULL, since_ms INTEGER NOT NULL, raised_ms INTEGER NOT NULL,
    cleared_ms INTEGER NOT NULL DEFAULT 0, cause TEXT NOT NULL, remedy TEXT NOT NULL,
    told_ms INTEGER NOT NULL DEFAULT 0, told_clear_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX alerts_active ON alerts (cleared_ms, raised_ms);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL, body BLOB NOT NULL, made_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL, trouble TEXT NOT NULL DEFAULT ''
);
CREATE TABLE silences (
    id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL, made_by TEXT NOT NULL, until_ms INTEGER NOT NULL
);
CREATE TABLE users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL, made_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY, user TEXT NOT NULL, made_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    digest BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, made_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE attempts (who TEXT PRIMARY KEY, failures INTEGER NOT NULL, last_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL,
    what TEXT NOT NULL, detail TEXT NOT NULL
);
"""


def panel_path(store: Path) -> Path:
    """Where the panel's file of a store lies: fleet.db-panel beside fleet.db."""
    return store.with_name(f"{store.name}-panel")


class PanelDb:
    """One file, one connection; every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises StoreUnusable; the caller closes it."""
        self.path = path
        self._lock = threading.RLock()
        with as_store_error(self.path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
            path.chmod(0o600)  # it holds password hashes

    def read(self, query: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Rows of one query."""
        with self._lock, as_store_error(self.path):
            return self._connection.execute(query, tuple(values)).fetchall()

    def write(self, query: str, values: Sequence[Value] = ()) -> int:
        """Run one statement in a transaction of its own (or the one that is open); return the changed rows."""
        with self._lock, as_store_error(self.path):
            return self._connection.execute(query, tuple(values)).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside, or none."""
        with self._lock, as_store_error(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Release the file; it must not be used afterwards."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise StoreUnusable(f"store {self.path}: no panel file of a fleet server; move it away")
        if version > VERSION:
            raise StoreUnusable(
                f"store {self.path}: got version {version}, expected at most {VERSION}; update edgewise here"
            )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        if not tables:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
                f" PRAGMA user_version = {VERSION}; COMMIT;"
            )
