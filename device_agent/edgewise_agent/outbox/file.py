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
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from edgewise_agent.errors import OutboxDamaged, OutboxError
from edgewise_agent.outbox import tables
from edgewise_agent.outbox.batches import Entry
from edgewise_agent.outbox.log_meter import LogMeter
from edgewise_agent.outbox.tables import FORMAT_VERSION, BootClock, Condemned
from edgewise_agent.outbox.thinning import choose_victims

PAGE_BYTES = 4096
FULL_AT = 0.9
"""Share of the allowed pages in use above which records are thinned out; the rest is for the next write."""
LOG_PAGES = 256
"""Write-ahead log before it is folded into the file: 1 MiB."""


class OutboxFile:
    """The open database. Not safe between threads: outbox.py locks around it. Closed by whoever opened it."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create; raise OutboxDamaged or OutboxError and leave the file as it was."""
        self.path = path
        self._max_pages = max(max_bytes // PAGE_BYTES, 64)
        self._meter = LogMeter(_beside(path, "-wal"), page_bytes=PAGE_BYTES)
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
        self._is_current = version == FORMAT_VERSION
        if version == 0:
            with self._transaction():
                pass
        self.count = self._number("SELECT count(*) FROM records")
        self.last_seq = self._number(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'records'"
        )
        self._counts = tables.read_counts(db)
        self._meter.look()
        self._meter.written_bytes = 0

    def write(
        self,
        new: Sequence[Entry],
        *,
        settled: Collection[int] = (),
        condemned: Sequence[Condemned] = (),
        dropped: int = 0,
    ) -> None:
        """Keep ``new``, forget ``settled``, put ``condemned`` aside, count ``dropped``.

        Durable on return, all of it or nothing.
        """
        counts = {"dropped": dropped, "quarantined": len(condemned)}
        with self._transaction():
            gone = self._delete(settled)
            if new:
                self._db.executemany(
                    "INSERT INTO records (seq, channel, body) VALUES (?, ?, ?)",
                    [(entry.seq, entry.channel, entry.body) for entry in new],
                )
            tables.quarantine(self._db, condemned)
            tables.add_counts(self._db, counts)
        self.count += len(new) - gone
        self._counted(counts)
        self.last_seq = max([self.last_seq, *(entry.seq for entry in new)])

    @property
    def dropped(self) -> int:
        """Records ever thinned out."""
        return self._counts.get("dropped", 0)

    @property
    def quarantined(self) -> int:
        """Records ever put aside because no broker would take them."""
        return self._counts.get("quarantined", 0)

    @property
    def written_bytes(self) -> int:
        """Bytes written to the file and its log since it was opened."""
        return self._meter.look()

    def boots(self) -> list[BootClock]:
        """The clocks of earlier boots."""
        with _translated(self.path):
            return tables.read_boots(self._db) if self._is_current else []

    def save_boots(self, boots: Sequence[BootClock]) -> None:
        """Remember the clocks of these boots; durable on return."""
        with self._transaction():
            tables.save_boots(self._db, boots)

    def _counted(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0) + count

    def read_after(
        self, seq: int, limit: int, *, up_to: int | None = None, without: Collection[str] = ()
    ) -> list[Entry]:
        """The next records in order of their numbers, up to one of them, without those of some channels."""
        marks = ",".join("?" * len(without))
        query = (
            f"SELECT seq, channel, body FROM records WHERE seq > ? AND seq <= ? AND channel NOT IN ({marks})"
        )
        with _translated(self.path):
            last = self.last_seq if up_to is None else up_to
            rows = self._db.execute(f"{query} ORDER BY seq LIMIT ?", (seq, last, *without, limit))
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
        """Drop records from the older three quarters, apart from ``spare``; return how many."""
        dropped = 0
        with _translated(self.path):
            for victims in choose_victims(self._db, self.count, spare=spare):
                with self._transaction():
                    gone = self._delete(victims)
                    tables.add_counts(self._db, {"dropped": gone})
                self.count -= gone
                self._counted({"dropped": gone})
                dropped += gone
        return dropped

    def fold_log(self) -> None:
        """Move the log into the file, so that its space serves again: this needs no free disk."""
        with _translated(self.path):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Fold the log into the file if the disk allows it, and let go of the lock."""
        self._meter.close()
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _delete(self, sequences: Collection[int]) -> int:
        if not sequences:
            return 0
        rows = [(seq,) for seq in sequences]
        return max(self._db.executemany("DELETE FROM records WHERE seq = ?", rows).rowcount, 0)

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """One durable change. An earlier version's file gets its new tables with the first one: it opens on a
        full disk too.
        """
        with _translated(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                if not self._is_current:
                    tables.make_current(self._db)
                yield
                self._db.execute("COMMIT")
                self._is_current = True
                self._meter.look()
            except BaseException:
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                raise


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
