"""The tables of the outbox's file beside its records: counters, the quarantine, and the clocks of boots."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FORMAT_VERSION = 2
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS records"
    " (seq INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, body BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS quarantine"
    " (id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, channel TEXT NOT NULL, body BLOB NOT NULL,"
    " size_bytes INTEGER NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS boots"
    " (id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL UNIQUE, kernel_boot TEXT NOT NULL,"
    " offset_ms INTEGER, clock TEXT)",
    f"PRAGMA user_version={FORMAT_VERSION}",
)
"""Each statement also makes an outbox of an earlier version a current one."""

QUARANTINE_ROWS = 100
QUARANTINE_BODY_BYTES = 4096
"""What is kept of a record that cannot be delivered: enough to see what it was, at most 400 KiB in all."""
_BOOTS = 1000


@dataclass(frozen=True)
class Condemned:
    """A record that no broker will ever take, and why."""

    seq: int
    channel: str
    body: bytes
    reason: str


@dataclass(frozen=True)
class BootClock:
    """What turns monotonic times of one boot into wall-clock time; without an offset it was never known."""

    boot: str
    kernel_boot: str
    offset_ms: int | None = None
    """Wall clock in milliseconds less monotonic clock in milliseconds."""
    clock: str | None = None
    """Where the wall clock came from that the offset is against."""


def make_current(database: sqlite3.Connection) -> None:
    """Make what an empty or earlier file lacks, inside the caller's transaction."""
    for statement in SCHEMA:
        database.execute(statement)


def add_counts(database: sqlite3.Connection, counts: Mapping[str, int]) -> None:
    """Add to the counters, inside the caller's transaction."""
    database.executemany(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        [(name, count) for name, count in counts.items() if count],
    )


def read_counts(database: sqlite3.Connection) -> dict[str, int]:
    """All counters."""
    return dict(database.execute("SELECT name, value FROM counters"))


def quarantine(database: sqlite3.Connection, condemned: Sequence[Condemned]) -> None:
    """Put these aside and let the oldest go that are too many, inside the caller's transaction."""
    if not condemned:
        return
    database.executemany(
        "INSERT INTO quarantine (seq, channel, body, size_bytes, reason) VALUES (?, ?, ?, ?, ?)",
        [
            (one.seq, one.channel, one.body[:QUARANTINE_BODY_BYTES], len(one.body), one.reason)
            for one in condemned
        ],
    )
    database.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (QUARANTINE_ROWS,)
    )


def read_boots(database: sqlite3.Connection) -> list[BootClock]:
    """Every boot that is remembered."""
    rows = database.execute("SELECT boot, kernel_boot, offset_ms, clock FROM boots")
    return [BootClock(*row) for row in rows]


def save_boots(database: sqlite3.Connection, boots: Sequence[BootClock]) -> None:
    """Remember these, and forget the oldest of too many, inside the caller's transaction."""
    database.executemany(
        "INSERT INTO boots (boot, kernel_boot, offset_ms, clock) VALUES (?, ?, ?, ?) ON CONFLICT (boot)"
        " DO UPDATE SET offset_ms = excluded.offset_ms, clock = excluded.clock",
        [(one.boot, one.kernel_boot, one.offset_ms, one.clock) for one in boots],
    )
    database.execute("DELETE FROM boots WHERE id <= (SELECT max(id) FROM boots) - ?", (_BOOTS,))
