"""An SQLite file as a fleet store: opened, checked, owned, brought up to date."""

import fcntl
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store.migrations import load_migrations
from edgewise_fleet.store.schema import APPLICATION_ID

BUSY_TIMEOUT_S = 10.0
CACHE_KIB = 65_536
"""Pages in memory of each connection; SQLite's own 2 MB would read a page anew for every device of a large fleet."""
STATEMENTS = 512
CHECKPOINT_PAGES = 8_000
"""What the write-ahead log may hold, 32 MB: a page that is written to again and again moves into the file once."""


@contextmanager
def as_store_error(path: Path) -> Iterator[None]:
    """SQLite's and the file system's errors as StoreUnusable."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_NOTADB":
            raise StoreUnusable(
                f"store {path}: not an SQLite file; name another with --store, or move this one away"
            ) from error
        # SQLite says "disk I/O error" where the write-ahead log found no room.
        hint = f"; {_free(path)}" if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")) else ""
        raise StoreUnusable(f"store {path}: {error}{hint}") from error
    except OSError as error:
        if isinstance(error, StoreUnusable):
            raise
        raise StoreUnusable(f"store {path}: {error.strerror or error}") from error


def _free(path: Path) -> str:
    try:
        free = shutil.disk_usage(path.absolute().parent).free
    except OSError as error:
        return f"its folder: {error.strerror}"
    return f"{free / 1e6:.1f} MB are free on its disk"


def own(path: Path) -> BinaryIO:
    """Keep a second server from writing to the same store: both would answer to one MQTT client id."""
    handle = path.open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise StoreUnusable(
            f"store {path}: another edgewise fleet serve is using it; stop that one, or name another store"
        ) from None
    return handle


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    try:
        _check_kind(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk before the broker is told that we have the record.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    if path.is_dir():
        raise StoreUnusable(f"store {path}: a folder; expected the file that `edgewise fleet serve` keeps")
    if not path.is_file():
        raise StoreUnusable(f"store {path}: no such file; `edgewise fleet serve --store {path}` makes it")
    if path.stat().st_size == 0:
        raise StoreUnusable(f"store {path}: an empty file; `edgewise fleet serve --store {path}` fills it")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        missing = _wanted(connection, path)
        if missing:
            raise StoreUnusable(
                f"store {path}: an earlier version, without {missing[0]!r};"
                " `edgewise fleet serve` brings it up to date"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _check_kind(connection: sqlite3.Connection, path: Path) -> set[str]:
    """Return the names of the migrations that were run, or raise StoreUnusable if it is none of ours."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and application_id != APPLICATION_ID:
        raise StoreUnusable(f"store {path}: an SQLite file, but not a fleet store; name another with --store")
    if tables and "migrations" not in tables:
        # Version 1 counted in user_version.
        return {load_migrations("sqlite")[0].name}
    run = {name for (name,) in connection.execute("SELECT name FROM migrations")} if tables else set()
    later = run - {one.name for one in load_migrations("sqlite")}
    if later:
        raise StoreUnusable(
            f"store {path}: of a later version, with {sorted(later)[0]!r}; update edgewise here"
        )
    return run


def _wanted(connection: sqlite3.Connection, path: Path) -> list[str]:
    run = _check_kind(connection, path)
    return [one.name for one in load_migrations("sqlite") if one.name not in run]


def _migrate(connection: sqlite3.Connection) -> None:
    run = _check_kind(connection, Path())
    steps = [one for one in load_migrations("sqlite") if one.name not in run]
    if not steps:
        return
    # One script, one transaction: a server killed while migrating leaves the earlier version whole.
    names = [*run, *(one.name for one in steps)]
    script = "".join(one.sql for one in steps)
    script += "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY) WITHOUT ROWID;"
    script += "".join(f"INSERT OR IGNORE INTO migrations VALUES ('{name}');" for name in names)
    if not run:
        script += (
            f"INSERT INTO settings VALUES ('client_id', 'edgewise-fleet-{uuid.uuid4().hex[:12]}');"
            f"PRAGMA application_id = {APPLICATION_ID};"
        )
    # Servers of version 1 refuse a store by this number.
    connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {len(names)}; COMMIT;")
