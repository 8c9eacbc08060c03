"""Tables in PostgreSQL, for the processes of any number of machines."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store.database import Rows
from edgewise_fleet.store.postgres.connection import Connection, Link, without_password
from edgewise_fleet.store.postgres.tables import is_a_store, is_current, migrate

KEEPALIVE = ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")
"""A machine that lost its power loses its turn after half a minute, and not after the two hours of TCP."""


class PostgresWriter:
    """A `Writer`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, query: str, values: Sequence[object] = ()) -> int:
        """How many rows it changed."""
        return self._connection.execute(_with_our_marks(query), values).rowcount

    def run_many(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        """Once for each."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_with_our_marks(query), rows)

    def ask(self, query: str, values: Sequence[object] = ()) -> Rows:
        """What it gives."""
        return self._connection.execute(_with_our_marks(query), values).fetchall()

    def lock(self, table: str) -> None:
        """From here to the end nobody else writes to this table; everybody reads it."""
        self._connection.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE".encode())


class PostgresDatabase:
    """A `Database`; one connection, which comes back after the server was away."""

    insertion = "number"

    def __init__(self, url: str, *, name: str, create: bool = True) -> None:
        """Connect, and bring the tables up to date; without ``create`` only those of a store that is there."""
        self.where = without_password(url)
        self._create = create
        self._link = Link(url, name=name, prepare=self._prepare)
        self._turns: dict[str, Connection] = {}
        self.read("SELECT 1")

    def read(self, query: str, values: Sequence[object] = ()) -> Rows:
        """What it gives."""
        with self.writing() as writer:
            return writer.ask(query, values)

    @contextmanager
    def writing(self) -> Iterator[PostgresWriter]:
        """All of it, committed at the end, or nothing."""
        try:
            with self._link.transaction() as connection:
                yield PostgresWriter(connection)
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure) as error:
            raise StoreUnusable(f"store {self.where}: {' '.join(str(error).split())}; try again") from error

    def take_turn(self, what: str) -> bool:
        """By a lock that the server frees when this connection ends, however it ends."""
        with self._link.transaction() as connection:
            if self._turns.get(what) is not connection:
                row = connection.execute(
                    "SELECT pg_try_advisory_lock(hashtext(%s))", (_turn(what),)
                ).fetchone()
                if row is None or not row[0]:
                    return False
                self._turns[what] = connection
            return True

    def is_turn_taken(self, what: str) -> bool:
        """Whether any process has the lock."""
        # A key of one bigint stands in pg_locks in two halves.
        return bool(
            self.read(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND (classid::bigint << 32) | objid::bigint = hashtext(?)::bigint",
                (_turn(what),),
            )
        )

    def close(self) -> None:
        """Release the connection, and the turns with it."""
        self._link.close()

    def _prepare(self, connection: Connection) -> None:
        for setting in KEEPALIVE:
            connection.execute(f"SET {setting}".encode())
        if not self._create and not is_a_store(connection):
            raise StoreUnusable(
                f"store {self.where}: no fleet store; `edgewise fleet serve --store` makes it"
            )
        # Whoever may only read and write tables can use those that are up to date.
        if not is_current(connection):
            migrate(connection)


def _turn(what: str) -> str:
    return f"edgewise turn: {what}"


def _with_our_marks(query: str) -> bytes:
    return query.replace("?", "%s").encode()
