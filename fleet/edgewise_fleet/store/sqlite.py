"""The store in one SQLite file: write-ahead log, one writing connection, one reading connection."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import sqlite_upkeep
from edgewise_fleet.store.base import (
    Added,
    Arrival,
    Bucket,
    Counter,
    DeviceRow,
    EventRow,
    Keep,
    Points,
)
from edgewise_fleet.store.device_cache import DeviceCache
from edgewise_fleet.store.keeping import horizons, in_pieces
from edgewise_fleet.store.levels import Level
from edgewise_fleet.store.reading import device_row
from edgewise_fleet.store.rows import Ids
from edgewise_fleet.store.selection import Selection
from edgewise_fleet.store.sqlite_file import as_store_error, open_reader, open_writer, own
from edgewise_fleet.store.sqlite_reading import read_fleet_series, read_series
from edgewise_fleet.store.sqlite_writing import write_arrivals
from edgewise_messages import DeviceAddress, Event


class SqliteStore:
    """The store of one fleet server, or a read-only look at it while a server may be writing."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._ids = Ids()
        self._ownership: BinaryIO | None = None
        self._writer: sqlite3.Connection | None = None
        self._cache = DeviceCache()
        with as_store_error(path):
            try:
                if not read_only:
                    self._ownership = own(path)
                    self._writer = open_writer(path)
                self._reader = open_reader(path)
            except BaseException:
                self._release()
                raise

    def client_id(self) -> str:
        """The MQTT client id of this store, the same for ever: the broker keeps our place by it."""
        with self._reading() as reader:
            (value,) = reader.execute("SELECT value FROM settings WHERE name = 'client_id'").fetchone()
        return str(value)

    def add(self, arrivals: Sequence[Arrival]) -> Added:
        """Keep all of it in one durable transaction, or none of it."""
        with self._writing() as connection:
            return write_arrivals(connection, arrivals, self._ids)

    def devices(self) -> tuple[DeviceRow, ...]:
        """Every device, ordered by group and name."""
        with self._reading() as reader:
            return self._cache.read(reader, device_row)

    def series(
        self,
        address: DeviceAddress,
        metrics: Sequence[str],
        *,
        since_ms: int,
        until_ms: int,
        limit: int = 500,
    ) -> dict[str, Points]:
        """At most ``limit`` points per metric; see `FleetReader.series`."""
        with self._reading() as reader:
            return read_series(reader, address, metrics, since_ms=since_ms, until_ms=until_ms, limit=limit)

    def fleet_series(
        self, metric: str, *, since_ms: int, until_ms: int, group: str | None = None, buckets: int = 24
    ) -> tuple[Bucket, ...]:
        """One metric over all devices, or those of a group, oldest first."""
        with self._reading() as reader:
            return read_fleet_series(
                reader, metric, since_ms=since_ms, until_ms=until_ms, group=group, buckets=buckets
            )

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int = 50) -> tuple[EventRow, ...]:
        """The latest predictions, or the latest of all other events; newest first."""
        # Written out, not bound: only so does SQLite see that one of the partial indexes fits.
        kind = "=" if predictions else "<>"
        with self._reading() as reader:
            rows = reader.execute(
                "SELECT at_ms, payload FROM records WHERE type = 'event'"
                f" AND name {kind} 'prediction'"
                " AND device_id = (SELECT id FROM devices WHERE group_name = ? AND device = ?)"
                " ORDER BY at_ms DESC LIMIT ?",
                (address.group, address.device, limit),
            )
            return tuple(EventRow(at_ms, msgspec.json.decode(payload, type=Event)) for at_ms, payload in rows)

    def counts(self) -> dict[Counter, int]:
        """How much arrived over the store's whole life."""
        with self._reading() as reader:
            found = dict(reader.execute("SELECT name, value FROM counters"))
        return {counter: int(found.get(counter.value, 0)) for counter in Counter}

    def rows(self, selection: Selection) -> Iterator[tuple[Any, ...]]:
        """The rows as of one moment; see `Exporter.rows`."""
        with as_store_error(self.path):
            # Of its own, so that a long export keeps no page waiting.
            connection = open_reader(self.path)
            try:
                yield from connection.execute(*selection.query("?"))
            finally:
                connection.close()

    def roll_up(self, now_ms: int, *, goes_on: Callable[[], bool] = lambda: True) -> int:
        """Bring the roll-ups of all complete minutes, hours and days up to date; see `Upkeep.roll_up`."""

        def roll(level: Level, until_ms: int) -> int:
            with self._writing() as connection:
                return sqlite_upkeep.roll_some(connection, level, until_ms)

        return in_pieces(roll, oldest_ms=self._oldest_ms, now_ms=now_ms, goes_on=goes_on)

    def _oldest_ms(self) -> int | None:
        with self._reading() as reader:
            return sqlite_upkeep.oldest_ms(reader, Level.MINUTE)

    def prune(self, before_ms: int, *, keep: Keep | None = None) -> int:
        """Forget records placed before this time, return how many; with ``keep`` old roll-ups too."""
        pruned = 0
        while True:
            with self._writing() as connection:
                forgotten = sqlite_upkeep.forget_some(connection, before_ms)
            pruned += forgotten
            if forgotten < sqlite_upkeep.PRUNE_CHUNK:
                break
        for level, until_ms in horizons(before_ms, keep).items():
            with self._writing() as connection:
                sqlite_upkeep.forget_buckets(connection, level, until_ms)
        return pruned

    def shrink(self, max_bytes: int) -> int:
        """Forget the oldest records until the file holds less than this; return how many.

        The file itself keeps its size; what was freed is used for what comes.
        """
        forgotten = 0
        while True:
            with self._writing() as connection:
                before_ms = sqlite_upkeep.oldest_tenth_ms(connection)
                if sqlite_upkeep.used_bytes(connection) <= max_bytes or before_ms is None:
                    return forgotten
            forgotten += self.prune(before_ms)

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

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, as_store_error(self.path):
            # Several questions of one moment: a roll-up between them would be seen twice, or not at all.
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, as_store_error(self.path):
            if self._writer is None:
                raise StoreUnusable(f"store {self.path}: opened read-only")
            if self._ids.is_large():
                self._ids.forget()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # What was looked up may not exist; after some failures (a full disk) SQLite has rolled back already.
                self._ids.forget()
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise
