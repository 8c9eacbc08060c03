"""One connection to PostgreSQL that comes back after the server was away."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from edgewise_fleet.errors import StoreUnusable

CONNECT_TIMEOUT_S = 10
EXPECTED = "postgresql://[user[:password]@]host[:port]/database"
_PASSWORD = re.compile(r"(?<=:)[^:@/]+(?=@)")

Connection = psycopg.Connection[tuple[object, ...]]


def without_password(url: str) -> str:
    """The address as it may be logged."""
    return _PASSWORD.sub("***", url)


class Link:
    """One connection, for one thread at a time; made when it is first used, and anew after it broke."""

    def __init__(self, url: str, *, name: str, prepare: Callable[[Connection], None] | None = None) -> None:
        self._url = url
        self._name = name
        self._prepare = prepare
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction, committed at the end. Raises StoreUnusable; psycopg's own retryable errors pass."""
        with self._lock, self._as_store_error():
            connection = self._open()
            try:
                with connection.transaction():
                    yield connection
            except psycopg.Error:
                if connection.broken or connection.closed:
                    self._drop()
                raise

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._drop()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name=f"edgewise fleet {self._name}"[:63],
            )
            if self._prepare is not None:
                try:
                    self._prepare(self._connection)
                except BaseException:
                    self._drop()
                    raise
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    @contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            raise
        except psycopg.Error as error:
            raise StoreUnusable(f"store {without_password(self._url)}: {_say(error)}") from error


def _say(error: psycopg.Error) -> str:
    """One line: what was wrong, and what to do where that is not plain from it."""
    if isinstance(error, psycopg.errors.DiskFull):
        return (
            f"{error.diag.message_primary}; make room on the disk of PostgreSQL, or keep less there"
            " (--keep-days, --max-size)"
        )
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "no fleet store; `edgewise fleet serve --store` makes it"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"{said}; GRANT it to this user, or name another one in the address"
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return f"{said}; expected {EXPECTED}"
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        # Without room for its write-ahead log PostgreSQL ends, and does not come up again before there is some.
        return f"{said}; start PostgreSQL, and if its disk is full make room there first"
    return said
