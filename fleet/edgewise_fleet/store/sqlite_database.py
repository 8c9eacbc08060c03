"""Tables in an SQLite file, for the processes of one machine."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store.database import Rows
from edgewise_fleet.store.sqlite_file import BUSY_TIMEOUT_S, as_store_error


class SqliteWriter:
    """A `Writer`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, query: str, values: Sequence[object] = ()) -> int:
        """How many rows it changed."""
        return self._connection.execute(query, tuple(values)).rowcount

    def run_many(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        """Once for each."""
        self._connection.executemany(query, rows)

    def ask(self, query: str, values: Sequence[object] = ()) -> Rows:
        """What it gives."""
        return self._connection.execute(query, tuple(values)).fetchall()

    def lock(self, table: str) -> None:
        """Nothing to do: BEGIN IMMEDIATE has locked the whole file."""


class SqliteDatabase:
    """A `Database`; one connection."""

    insertion = "rowid"

    def __init__(
        self,
        path: Path,
        *,
        tables: str,
        version_table: str,
        version: int,
        pragmas: Sequence[str] = (),
        is_private: bool = False,
    ) -> None:
        """Open it and make the tables that are missing; ``is_private``: for its owner only. Raises StoreUnusable."""
        self.path = path
        self.where = str(path)
        self._lock = threading.Lock()
        with as_store_error(path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                # A command is sent after the state that knows of it is on the disk.
                self._connection.execute("PRAGMA synchronous = FULL")
                for pragma in pragmas:
                    self._connection.execute(f"PRAGMA {pragma}")
                self._prepare(tables, version_table, version)
            except BaseException:
                self._connection.close()
                raise
            if is_private:
                path.chmod(0o600)

    def read(self, query: str, values: Sequence[object] = ()) -> Rows:
        """What it gives."""
        with self._lock, as_store_error(self.path):
            return SqliteWriter(self._connection).ask(query, values)

    @contextmanager
    def writing(self) -> Iterator[SqliteWriter]:
        """All of it, committed at the end, or nothing."""
        with self._lock, as_store_error(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteWriter(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def take_turn(self, what: str) -> bool:
        """Always: one server at most owns the records of a file, see `sqlite_file.own`."""
        return True

    def is_turn_taken(self, what: str) -> bool:
        """Never by another one."""
        return False

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self, tables: str, version_table: str, version: int) -> None:
        self._connection.executescript(
            f"BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS {version_table} (version INTEGER NOT NULL); {tables} COMMIT;"
        )
        (found,) = self._connection.execute(f"SELECT max(version) FROM {version_table}").fetchone()
        if found is None:
            self._connection.execute(f"INSERT INTO {version_table} VALUES (?)", (version,))
        elif found > version:
            raise StoreUnusable(
                f"store {self.path}: {version_table} {found}, expected at most {version}; update edgewise here"
            )
