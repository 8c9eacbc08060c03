"""The store in one SQLite file: write-ahead log, one writing connection, one reading connection."""

import fcntl
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store.base import Added, Arrival, Counter, DeviceRow, EventRow, Points
from edgewise_fleet.store.device_cache import DeviceCache
from edgewise_fleet.store.schema import APPLICATION_ID, MIGRATIONS, PRUNE_POINTS, THINNED_POINTS, VERSION
from edgewise_fleet.store.writing import write_arrivals
from edgewise_messages import DeviceAddress, DeviceState, Event, Meta

BUSY_TIMEOUT_S = 10.0
PRUNE_CHUNK = 5000
"""Records forgotten per transaction, so that a large clean-up never keeps arrivals waiting for long."""


class SqliteStore:
    """The store of one fleet server, or a read-only look at it while a server may be writing."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._ownership: BinaryIO | None = None
        self._writer: sqlite3.Connection | None = None
        self._cache = DeviceCache()
        with _as_store_error(path):
            try:
                if not read_only:
                    self._ownership = _own(path)
                    self._writer = _open_writer(path)
                self._reader = _open_reader(path)
            except BaseException:
                self._release()
                raise

    def client_id(self) -> str:
        """The MQTT client id of this store, the same for ever: the broker keeps our place by it."""
        with self._read_lock:
            (value,) = self._reader.execute("SELECT value FROM settings WHERE name = 'client_id'").fetchone()
        return str(value)

    def add(self, arrivals: Sequence[Arrival]) -> Added:
        """Keep all of it in one durable transaction, or none of it."""
        with self._write_lock, _as_store_error(self.path), self._writing() as connection:
            return write_arrivals(connection, arrivals)

    def devices(self) -> tuple[DeviceRow, ...]:
        """Every device, ordered by group and name."""
        with self._read_lock, _as_store_error(self.path):
            return self._cache.read(self._reader, _device_row)

    def series(
        self,
        address: DeviceAddress,
        metrics: Sequence[str],
        *,
        since_ms: int,
        until_ms: int,
        limit: int = 500,
    ) -> dict[str, Points]:
        """At most ``limit`` points per metric; thinning keeps each stretch's lowest and highest point."""
        with self._read_lock, _as_store_error(self.path):
            device_id = self._device_id(address)
            return {name: self._points(device_id, name, since_ms, until_ms, limit) for name in metrics}

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int = 50) -> tuple[EventRow, ...]:
        """The latest predictions, or the latest of all other events; newest first."""
        # Written out, not bound: only so does SQLite see that one of the partial indexes fits.
        kind = "=" if predictions else "<>"
        with self._read_lock, _as_store_error(self.path):
            rows = self._reader.execute(
                "SELECT at_ms, payload FROM records WHERE type = 'event'"
                f" AND name {kind} 'prediction' AND device_id = ? ORDER BY at_ms DESC LIMIT ?",
                (self._device_id(address), limit),
            )
            return tuple(EventRow(at_ms, msgspec.json.decode(payload, type=Event)) for at_ms, payload in rows)

    def counts(self) -> dict[Counter, int]:
        """How much arrived over the store's whole life."""
        with self._read_lock, _as_store_error(self.path):
            found = dict(self._reader.execute("SELECT name, value FROM counters"))
        return {counter: int(found.get(counter.value, 0)) for counter in Counter}

    def prune(self, before_ms: int) -> int:
        """Forget records placed before this time, return how many."""
        pruned = 0
        while True:
            with self._write_lock, _as_store_error(self.path), self._writing() as connection:
                forgotten = connection.execute(
                    "DELETE FROM records WHERE (boot_id, seq) IN"
                    " (SELECT boot_id, seq FROM records WHERE at_ms < ? LIMIT ?)",
                    (before_ms, PRUNE_CHUNK),
                ).rowcount
                if forgotten < PRUNE_CHUNK:
                    connection.execute(PRUNE_POINTS, (before_ms,))
            pruned += forgotten
            if forgotten < PRUNE_CHUNK:
                return pruned

    def close(self) -> None:
        """Release the file; the store must not be used afterwards."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._release()

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.close()
        # Last: closing any descriptor of a file drops the locks that SQLite holds on it in this process.
        if self._ownership is not None:
            self._ownership.close()

    def _device_id(self, address: DeviceAddress) -> int | None:
        row = self._reader.execute(
            "SELECT id FROM devices WHERE group_name = ? AND device = ?", (address.group, address.device)
        ).fetchone()
        return None if row is None else int(row[0])

    def _points(self, device_id: int | None, metric: str, since_ms: int, until_ms: int, limit: int) -> Points:
        span = {"device": device_id, "since": since_ms, "until": until_ms}
        row = self._reader.execute("SELECT id FROM metrics WHERE name = ?", (metric,)).fetchone()
        if row is None or device_id is None:
            return ()
        span["metric"] = row[0]
        inside = (
            "FROM points"
            " WHERE device_id = :device AND metric_id = :metric AND at_ms BETWEEN :since AND :until"
        )
        (count,) = self._reader.execute(f"SELECT count(*) {inside}", span).fetchone()
        if count <= limit:
            return tuple(self._reader.execute(f"SELECT at_ms, value {inside} ORDER BY at_ms", span))
        # Two points a stretch; the span's last millisecond would open one stretch more, hence + 1.
        span["stretch"] = -(-(until_ms - since_ms + 1) // (limit // 2))
        return tuple(self._reader.execute(THINNED_POINTS, span))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise StoreUnusable(f"store {self.path}: opened read-only")
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error:
            # After some failures (a full disk) SQLite has rolled back already.
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise


def _device_row(row: tuple[object, ...], metrics: dict[str, float]) -> DeviceRow:
    _, group, device, first_seen, last_seen, state, since, reason, meta = row
    return DeviceRow(
        address=DeviceAddress(str(group), str(device)),
        first_seen_ms=int(str(first_seen)),
        last_seen_ms=int(str(last_seen)),
        state=None if state is None else DeviceState(str(state)),
        state_since_ms=int(str(since)),
        state_reason=str(reason),
        meta=msgspec.json.decode(meta, type=Meta) if isinstance(meta, bytes) else None,
        metrics=metrics,
    )


@contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise StoreUnusable(
                f"store {path}: not an SQLite file; name another with --store, or move this one away"
            ) from error
        raise StoreUnusable(f"store {path}: {error}") from error
    except OSError as error:
        if isinstance(error, StoreUnusable):
            raise
        raise StoreUnusable(f"store {path}: {error.strerror or error}") from error


def _own(path: Path) -> BinaryIO:
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


def _open_writer(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        _check_kind(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk before the broker is told that we have the record.
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_reader(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreUnusable(f"store {path}: no such file; `edgewise fleet serve --store {path}` makes it")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        version = _check_kind(connection, path)
        if version < VERSION:
            raise StoreUnusable(
                f"store {path}: got version {version}, expected {VERSION};"
                " `edgewise fleet serve` brings it up to date"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _check_kind(connection: sqlite3.Connection, path: Path) -> int:
    """Return the store's version (0 for an empty file), or raise StoreUnusable if it is none of ours."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise StoreUnusable(f"store {path}: an SQLite file, but not a fleet store; name another with --store")
    if version > VERSION:
        raise StoreUnusable(
            f"store {path}: got version {version}, expected at most {VERSION}; update edgewise here"
        )
    return int(version)


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    # One script, one transaction: a server killed while migrating leaves the earlier version whole.
    script = "".join(MIGRATIONS[version:])
    if version == 0:
        script += (
            f"INSERT INTO settings VALUES ('client_id', 'edgewise-fleet-{uuid.uuid4().hex[:12]}');"
            f"PRAGMA application_id = {APPLICATION_ID};"
        )
    connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {VERSION}; COMMIT;")
