"""The seam under the tables that people write beside the records: one set of statements for both databases."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import msgspec

from edgewise_fleet.errors import StoreUnusable

Rows = list[tuple[Any, ...]]


class Writer(Protocol):
    """One transaction. Statements have ``?`` for values, in SQL that both databases take."""

    def run(self, query: str, values: Sequence[object] = ()) -> int:
        """How many rows it changed."""

    def run_many(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        """Once for each."""

    def ask(self, query: str, values: Sequence[object] = ()) -> Rows:
        """What it gives."""

    def lock(self, table: str) -> None:
        """From here to the end nobody else adds to this table."""


class Database(Protocol):
    """Where the tables are. Every method may be called from any thread and raises StoreUnusable."""

    where: str
    """For messages, without a password."""
    insertion: str
    """The column that numbers the rows of a table in the order in which they were put in."""

    def read(self, query: str, values: Sequence[object] = ()) -> Rows:
        """What it gives."""

    def writing(self) -> AbstractContextManager[Writer]:
        """All of it, committed at the end, or nothing."""

    def take_turn(self, what: str) -> bool:
        """Whether this process is the one that does it; it is from now on, until it ends or loses the database."""

    def is_turn_taken(self, what: str) -> bool:
        """Whether any process does it now."""

    def close(self) -> None:
        """Release it, and the turns."""


@contextmanager
def reading(where: str) -> Iterator[None]:
    """What cannot be decoded of what such tables hold is StoreUnusable."""
    try:
        yield
    except msgspec.MsgspecError as error:
        raise StoreUnusable(f"store {where}: {error}") from error
