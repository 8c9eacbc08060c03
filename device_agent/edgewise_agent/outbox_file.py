"""The file under the outbox: one SQLite table of records, and the only place that knows SQLite.

WAL with synchronous=FULL: a transaction is on the medium (fsync) when `write` returns, so a killed process
or a pulled plug loses no record that was accepted, and a torn last write is recognised by its checksum and
dropped as a whole. Records are gathered and committed together (see outbox.py), so this costs one fsync per
commit and not one per record. The file is locked exclusively: it then needs no shared-memory index, and an
outbox opens on a full disk too.
"""

import contextlib
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.errors import OutboxDamaged, OutboxError

FORMAT_VERSION = 1
PAGE_BYTES = 4096
FULL_AT = 0.9
"""Share of the allowed pages in use above which records are thinned out; the rest is for the next write."""
LOG_PAGES = 256
"""Write-ahead log before it is folded into the file: 1 MiB."""
_THIN_STEP = 2000
_RANKS = 2**30
_GOLDEN = 663_608_941
"""2^30 divided by the golden ratio. Its multiples modulo 2^30 fill the range evenly, so the sequence numbers
whose rank is below a limit are evenly spaced (three-gap theorem), also among every n-th number."""
_RANK_SQL = f"(((seq & {_RANKS - 1}) * {_GOLDEN}) & {_RANKS - 1})"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """One record on its way to the broker: its sequence number, its channel, the encoded record."""

    seq: int
    channel: str
    body: bytes


class OutboxFile:
    """The open database. Not safe between threads: outbox.py locks around it. Closed by whoever opened it."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create; raise OutboxDamaged or OutboxError and leave the file as it was."""
        self.path = path
        self._max_pages = max(max_bytes // PAGE_BYTES, 64)
        with _translated(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
        try:
            with _translated(path):
                self._prepare()
        except OutboxError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        version = self._number("PRAGMA user_version")
        if version > FORMAT_VERSION:
            raise OutboxError(
                f"outbox {self.path}: written by a later version of edgewise; update edgewise here"
            )
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={LOG_PAGES * PAGE_BYTES}")
        db.execute(f"PRAGMA max_page_count={self._max_pages}")
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise OutboxDamaged(f"outbox {self.path}: {verdict}")
        version = self._number("PRAGMA user_version")
        if version > FORMAT_VERSION:
            raise OutboxError(
                f"outbox {self.path}: written by a later version of edgewise; update edgewise here"
            )
        if version < FORMAT_VERSION:
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        self.count = self._number("SELECT count(*) FROM records")
        self.last_seq = self._number(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'records'"
        )
        self.dropped = self._number("SELECT coalesce(sum(value), 0) FROM counters WHERE name = 'dropped'")

    def write(self, new: Sequence[Entry], *, settled: Collection[int] = (), dropped: int = 0) -> None:
        """Keep ``new``, forget ``settled``, count ``dropped``: durable on return, all of it or nothing."""
        with self._transaction():
            gone = self._delete(settled)
            if new:
                self._db.executemany(
                    "INSERT INTO records (seq, channel, body) VALUES (?, ?, ?)",
                    [(entry.seq, entry.channel, entry.body) for entry in new],
                )
            self._count_dropped(dropped)
        self.count += len(new) - gone
        self.dropped += dropped
        self.last_seq = max([self.last_seq, *(entry.seq for entry in new)])

    def read_after(self, seq: int, limit: int) -> list[Entry]:
        """The next records in order of their sequence numbers."""
        with _translated(self.path):
            rows = self._db.execute(
                "SELECT seq, channel, body FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            )
            return [Entry(*row) for row in rows]

    @property
    def is_full(self) -> bool:
        """True when the next write might not fit into the allowed size."""
        with _translated(self.path):
            used = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return used > FULL_AT * self._max_pages

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, with the write-ahead log."""
        names = (self.path, _beside(self.path, "-wal"))
        return sum(name.stat().st_size for name in names if name.exists())

    def thin(self, *, spare: Collection[int] = ()) -> int:
        """Drop records from the older three quarters, apart from ``spare``; return how many.

        A stretch of time becomes coarser instead of a hole: what stays is evenly spread, whichever channel it
        is of, and repeated thinning keeps doubling the spacing of all of it, not of the oldest alone.
        """
        last = self._place(3 * self.count // 4)
        share = self._share_to_keep(last)
        before, dropped = 0, 0
        while step := self._sequences_between(before, last):
            victims = [seq for seq in step if _rank(seq) >= share and seq not in spare]
            with self._transaction():
                gone = self._delete(victims)
                self._count_dropped(gone)
            self.count -= gone
            self.dropped += gone
            dropped += gone
            before = step[-1]
        return dropped

    def fold_log(self) -> None:
        """Move the log into the file, so that its space serves again: this needs no free disk."""
        with _translated(self.path):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Fold the log into the file if the disk allows it, and let go of the lock."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _place(self, position: int) -> int:
        """The sequence number of the record with so many before it."""
        with _translated(self.path):
            row = self._db.execute(
                "SELECT seq FROM records ORDER BY seq LIMIT 1 OFFSET ?", (position,)
            ).fetchone()
        return int(row[0]) if row else 0

    def _share_to_keep(self, last: int) -> int:
        """The rank from which records go: the largest power of two that frees a quarter of all."""
        share = _RANKS // 2
        with _translated(self.path):
            while share > 1:
                query = f"SELECT count(*) FROM records WHERE seq <= ? AND {_RANK_SQL} >= ?"
                (victims,) = self._db.execute(query, (last, share)).fetchone()
                if victims >= self.count // 4:
                    break
                share //= 2
        return share

    def _sequences_between(self, after: int, up_to: int) -> list[int]:
        with _translated(self.path):
            rows = self._db.execute(
                "SELECT seq FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (after, up_to, _THIN_STEP),
            )
            return [seq for (seq,) in rows]

    def _delete(self, sequences: Collection[int]) -> int:
        if not sequences:
            return 0
        rows = [(seq,) for seq in sequences]
        return max(self._db.executemany("DELETE FROM records WHERE seq = ?", rows).rowcount, 0)

    def _count_dropped(self, amount: int) -> None:
        if amount:
            self._db.execute(
                "INSERT INTO counters VALUES ('dropped', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (amount,),
            )

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                raise


def _rank(seq: int) -> int:
    return (seq * _GOLDEN) % _RANKS


def set_aside(path: Path) -> Path:
    """Rename a damaged outbox and its log out of the way; only the newest damaged one is kept."""
    for old in path.parent.glob(f"{path.name}.damaged-*"):
        old.unlink(missing_ok=True)
    kept = _beside(path, f".damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(kept, suffix))
    return kept


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours; the low byte of its extended codes is the kind of error."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise OutboxDamaged(f"outbox {path}: {error}") from error
        if code == sqlite3.SQLITE_BUSY:
            raise OutboxError(f"outbox {path}: another process has it open; stop that one first") from error
        raise OutboxError(f"outbox {path}: {error}") from error
