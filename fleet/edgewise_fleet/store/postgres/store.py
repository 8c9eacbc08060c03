"""The store in PostgreSQL, for several collectors and for readers."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec
import psycopg

from edgewise_fleet.errors import StoreUnusable
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
from edgewise_fleet.store.keeping import horizons, in_pieces
from edgewise_fleet.store.levels import Level
from edgewise_fleet.store.postgres import upkeep
from edgewise_fleet.store.postgres.connection import Connection, Link, without_password
from edgewise_fleet.store.postgres.reading import read_devices, read_fleet_series, read_series
from edgewise_fleet.store.postgres.tables import DAY_MS, day_of, ensure_days, migrate
from edgewise_fleet.store.postgres.writing import STAGING, write_arrivals
from edgewise_fleet.store.rows import Gathered, Ids, gather
from edgewise_fleet.store.selection import Selection
from edgewise_messages import DeviceAddress, Event

EXPORT_ROWS = 20_000
"""Fetched at a time."""
ATTEMPTS = 5
"""Of a transaction that the database undid because another one was in its way."""
DAYS_AHEAD = 2
"""Tables are made so long before they are needed."""
OWNER_WAIT_S = 15.0
"""How long the place of an earlier collector of the same name may take to be free after that was killed."""
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class PostgresStore:
    """The store of a fleet in a PostgreSQL database; collectors of different names share it."""

    def __init__(
        self,
        url: str,
        *,
        collector: str = "serve",
        read_only: bool = False,
        owner_wait_s: float = OWNER_WAIT_S,
    ) -> None:
        self.url = without_password(url)
        self._url = url
        self._collector = collector
        self._owner_wait_s = owner_wait_s
        self._read_only = read_only
        self._add_lock = threading.Lock()
        self._ids = Ids()
        self._days: set[int] = set()
        self._writer = Link(url, name=collector, prepare=self._prepare_writer)
        self._keeper = Link(url, name=f"{collector} upkeep")
        self._reader = Link(url, name=f"{collector} reader")
        try:
            if not read_only:
                with self._writer.transaction():
                    pass
            self.client_id()
        except StoreUnusable:
            self.close()
            raise

    def client_id(self) -> str:
        """The MQTT client id that goes with this store and collector, the same for ever."""
        with self._reader.transaction() as reader:
            row = reader.execute("SELECT value FROM settings WHERE name = 'client_id'").fetchone()
        if row is None:
            raise StoreUnusable(f"store {self.url}: no fleet store; `edgewise fleet serve --store` makes it")
        return f"{row[0]}-{self._collector}"

    def add(self, arrivals: Sequence[Arrival]) -> Added:
        """Keep all of it in one durable transaction, or none of it."""
        if self._read_only:
            raise StoreUnusable(f"store {self.url}: opened read-only")
        found = gather(arrivals)
        with self._add_lock:
            if self._ids.is_large():
                self._ids.forget()
            self._make_days(found)
            return self._again(lambda: self._add(found))

    def devices(self) -> tuple[DeviceRow, ...]:
        """Every device, ordered by group and name."""
        with self._reader.transaction() as reader:
            return read_devices(reader)

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
        with self._snapshot() as reader:
            return read_series(reader, address, metrics, since_ms=since_ms, until_ms=until_ms, limit=limit)

    def fleet_series(
        self, metric: str, *, since_ms: int, until_ms: int, group: str | None = None, buckets: int = 24
    ) -> tuple[Bucket, ...]:
        """One metric over all devices, or those of a group, oldest first."""
        with self._snapshot() as reader:
            return read_fleet_series(
                reader, metric, since_ms=since_ms, until_ms=until_ms, group=group, buckets=buckets
            )

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int = 50) -> tuple[EventRow, ...]:
        """The latest predictions, or the latest of all other events; newest first."""
        kind = "=" if predictions else "<>"
        with self._reader.transaction() as reader:
            rows = reader.execute(
                "SELECT at_ms, payload FROM records WHERE type = 'event'"
                f" AND name {kind} 'prediction'"
                " AND device_id = (SELECT id FROM devices WHERE group_name = %s AND device = %s)"
                " ORDER BY at_ms DESC LIMIT %s".encode(),
                (address.group, address.device, limit),
            ).fetchall()
        return tuple(
            EventRow(int(str(at_ms)), msgspec.json.decode(payload, type=Event))
            for at_ms, payload in rows
            if isinstance(payload, bytes)
        )

    def counts(self) -> dict[Counter, int]:
        """How much arrived over the store's whole life, at all collectors."""
        with self._reader.transaction() as reader:
            rows = reader.execute("SELECT name, sum(value)::bigint FROM counters GROUP BY name").fetchall()
        found = {str(name): int(str(value)) for name, value in rows}
        return {counter: found.get(counter.value, 0) for counter in Counter}

    def rows(self, selection: Selection) -> Iterator[tuple[Any, ...]]:
        """The rows as of one moment; see `Exporter.rows`."""
        query, values = selection.query("%s")
        # Of its own, so that a long export keeps no page waiting.
        link = Link(self._url, name=f"{self._collector} export")
        try:
            with link.transaction() as connection, connection.cursor(name="export") as cursor:
                cursor.itersize = EXPORT_ROWS
                cursor.execute(query.encode(), values)
                yield from cursor
        finally:
            link.close()

    def roll_up(self, now_ms: int, *, goes_on: Callable[[], bool] = lambda: True) -> int:
        """Bring the roll-ups of all complete minutes, hours and days up to date; see `Upkeep.roll_up`."""
        self._make_coming_days(now_ms)
        return in_pieces(
            lambda level, until_ms: self._again(partial(self._roll, level, until_ms)),
            oldest_ms=self._oldest_ms,
            now_ms=now_ms,
            goes_on=goes_on,
        )

    def prune(self, before_ms: int, *, keep: Keep | None = None) -> int:
        """Forget records placed before this time, return how many; with ``keep`` old roll-ups too."""

        def forget() -> int:
            with self._keeper.transaction() as connection:
                forgotten = upkeep.forget_records(connection, before_ms)
                for level, until_ms in horizons(before_ms, keep).items():
                    upkeep.forget_buckets(connection, level, until_ms)
                return forgotten

        return self._again(forget)

    def shrink(self, max_bytes: int) -> int:
        """Forget the oldest days until the database is smaller than this, but never the newest."""
        forgotten = 0
        while True:
            with self._keeper.transaction() as connection:
                day = upkeep.oldest_day_over(connection, max_bytes)
            if day is None:
                return forgotten
            forgotten += self.prune((day + 1) * DAY_MS)

    def close(self) -> None:
        """Release the connections; the store must not be used afterwards."""
        for link in (self._writer, self._keeper, self._reader):
            link.close()

    def _add(self, found: Gathered) -> Added:
        try:
            with self._writer.transaction() as connection:
                return write_arrivals(connection, found, self._ids, collector=self._collector)
        except BaseException:
            # What was looked up may have been undone.
            self._ids.forget()
            raise

    def _make_days(self, found: Gathered) -> None:
        missing = {day_of(row.at_ms) for row in found.rows} - self._days
        if missing:
            today = day_of(max(row.received_ms for row in found.rows))
            with self._keeper.transaction() as connection:
                ensure_days(connection, missing, today=today)
            self._days |= missing

    def _make_coming_days(self, now_ms: int) -> None:
        """The tables of today and the next days, unless somebody reads for long: then a later turn makes them.

        Making one waits for every reader of the whole table, and all others wait behind it. An export would keep
        records from being stored if that happened when a day begins.
        """
        today = day_of(now_ms)
        coming = set(range(today, today + DAYS_AHEAD + 1)) - self._days
        if not coming:
            return
        try:
            with self._keeper.transaction() as connection:
                connection.execute("SET LOCAL lock_timeout = '1s'")
                ensure_days(connection, coming, today=today)
        except StoreUnusable as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            log.info("the tables of the coming days are made later: somebody reads for long")
            return
        self._days |= coming

    def _oldest_ms(self) -> int | None:
        with self._keeper.transaction() as connection:
            return upkeep.oldest_ms(connection, Level.MINUTE)

    def _roll(self, level: Level, now_ms: int) -> int:
        with self._keeper.transaction() as connection:
            return upkeep.roll_some(connection, level, now_ms)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Several questions of one moment: a roll-up between them would be seen twice, or not at all."""
        with self._reader.transaction() as reader:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield reader

    def _again(self, work: Callable[[], Result]) -> Result:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return work()
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure) as error:
                if attempt == ATTEMPTS:
                    raise StoreUnusable(f"store {self.url}: {error}") from error
        raise AssertionError("unreachable")

    def _prepare_writer(self, connection: Connection) -> None:
        migrate(connection)
        connection.execute(f"SET lock_timeout = {round(self._owner_wait_s * 1000)}".encode())
        try:
            # For this connection's life: two collectors of one name would share an MQTT client id.
            connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (f"edgewise {self._collector}",))
        except psycopg.errors.LockNotAvailable as error:
            raise StoreUnusable(
                f"store {self.url}: another collector of the name {self._collector!r} is using it;"
                " stop that one, or give this one another --name"
            ) from error
        connection.execute("SET lock_timeout = 0")
        connection.execute(STAGING.encode())
