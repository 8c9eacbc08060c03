"""Records kept until the broker has them: gathered in memory, made durable together, given out in batches.

A record is accepted when the commit that holds it has returned. Commits happen once per interval (group
commit), or at once when an append asks for it. Acknowledged records are forgotten with the next commit;
should the process die before it, they are sent again and the fleet recognises them by (boot, seq).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from edgewise_agent.errors import OutboxDamaged, OutboxError
from edgewise_agent.outbox_file import Entry, OutboxFile, set_aside

MEMORY_BYTES = 1024 * 1024
"""Most that waits in memory while the disk refuses."""
BATCH_RECORDS = 100
BATCH_BYTES = 48 * 1024
"""A fifth of what a receiver accepts in one message (edgewise_messages.codec.MAX_MESSAGE_BYTES)."""
_WRITE_RECORDS = 200
_WRITE_SHARE = 25
"""One transaction adds at most a 25th of the allowed size, so that it fits into what thinning keeps free."""
_FORGET_AT = 500
"""Acknowledged records that make a commit worth its fsync without any new record."""
_THIN_ROUNDS = 12
_ASK_DISK_AGAIN_S = 5.0

log = logging.getLogger("edgewise.agent.outbox")


@dataclass(frozen=True)
class Batch:
    """Records of one channel that travel in one publish."""

    channel: str
    bodies: tuple[bytes, ...]
    sequences: tuple[int, ...]


@dataclass(frozen=True)
class OutboxState:
    """What the outbox tells about itself."""

    records: int
    size_bytes: int
    dropped: int
    disk_refuses: bool


class Outbox:
    """Safe between threads: one appends, one commits, one takes batches and acknowledges them."""

    def __init__(self, path: Path, *, max_bytes: int, memory_bytes: int = MEMORY_BYTES) -> None:
        """Open the outbox at ``path``. A damaged file is set aside and a new one begun.

        Raises OutboxError when the disk refuses to hold one.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._notices: deque[str] = deque(maxlen=20)
        self._disk = threading.RLock()
        """Guards the file. Taken before ``_lock``, never the other way round."""
        self._lock = threading.Lock()
        """Guards what is in memory; not held while the disk works, so appending never waits for it."""
        self._arrived = threading.Event()
        self._hurry = threading.Event()
        self._waiting: dict[int, Entry] = {}
        self._waiting_bytes = 0
        self._settled: set[int] = set()
        self._leased: set[int] = set()
        self._cursor = 0
        self._unsaved_drops = 0
        self._disk_refuses = False
        self._file_lost = False
        """True while a damaged file could not be replaced by a new one."""
        self._file = self._open()
        self._next_seq = self._file.last_seq + 1

    def append(self, channel: str, build: Callable[[int], bytes], *, durable: bool = False) -> int:
        """Take the record that ``build`` makes from its number; with ``durable`` commit before returning.

        A caller faster than the disk waits for it. Only while the disk refuses are records in memory thinned.
        """
        with self._lock:
            seq = self._next_seq
            entry = Entry(seq, channel, build(seq))
            self._next_seq += 1
            self._waiting[seq] = entry
            self._waiting_bytes += len(entry.body)
            is_much = self._waiting_bytes > self._memory_bytes
            if is_much and self._disk_refuses:
                self._thin_memory()
        self._arrived.set()
        if self._waiting_bytes > self._memory_bytes // 2:
            self._hurry.set()
        if durable or (is_much and not self._disk_refuses):
            self.commit()
        return seq

    def commit(self) -> bool:
        """Make everything appended so far durable; False when the disk refuses (it then stays in memory)."""
        with self._disk:
            try:
                self._write_or_make_space()
            except OutboxDamaged as error:
                self._begin_anew(error)
                return False
            except OutboxError as error:
                self._refused(error)
                return False
            if self._disk_refuses:
                self._disk_refuses = False
                log.info("the disk takes records again")
            return True

    def keep_committing(self, stop: threading.Event, interval_s: float) -> None:
        """Commit once per interval while there is something to commit, until ``stop``; sleeps otherwise."""
        while not stop.is_set():
            self._arrived.wait()
            self._hurry.wait(interval_s)
            self._arrived.clear()
            self._hurry.clear()
            if not self.commit():
                self._arrived.set()
                stop.wait(_ASK_DISK_AGAIN_S)

    def wake(self) -> None:
        """Let `keep_committing` look at its stop event."""
        self._arrived.set()
        self._hurry.set()

    def lease(self) -> list[Batch]:
        """The next records that are in no batch yet, in order, each batch of one channel."""
        entries: list[Entry] = []
        with self._disk:
            while not entries and (read := self._next_entries()):
                with self._lock:
                    entries = [entry for entry in read if entry.seq not in self._settled]
                    self._leased.update(entry.seq for entry in entries)
        ordered = sorted(entries, key=lambda entry: (entry.channel, entry.seq))
        groups = groupby(ordered, key=lambda entry: entry.channel)
        return [
            _batch(channel, part)
            for channel, group in groups
            for part in _cut(list(group), BATCH_RECORDS, BATCH_BYTES)
        ]

    def settle(self, batch: Batch) -> None:
        """The broker has these records: forget them with the next commit."""
        with self._lock:
            self._settled.update(batch.sequences)
            self._leased.difference_update(batch.sequences)
            for seq in batch.sequences:
                self._forget_waiting(seq)
            worth_a_commit = len(self._settled) >= _FORGET_AT
        if worth_a_commit:
            self._arrived.set()

    def release(self) -> None:
        """The connection is gone: give everything out again that was not acknowledged."""
        with self._lock:
            self._leased.clear()
            self._cursor = 0

    @property
    def has_more(self) -> bool:
        """True when `lease` would find something; costs no disk access."""
        with self._lock:
            in_memory = self._disk_refuses and any(seq > self._cursor for seq in self._waiting)
            return self._cursor < self._file.last_seq or in_memory

    def state(self) -> OutboxState:
        """Counts for telemetry."""
        with self._disk, self._lock:
            return OutboxState(
                records=max(self._file.count + len(self._waiting) - len(self._settled), 0),
                size_bytes=self._file.size_bytes,
                dropped=self._file.dropped + self._unsaved_drops,
                disk_refuses=self._disk_refuses,
            )

    def take_notices(self) -> list[str]:
        """What an operator should hear about the outbox, each once."""
        notices = list(self._notices)
        self._notices.clear()
        return notices

    def close(self) -> None:
        """Commit and close."""
        with self._disk:
            self.commit()
            self._file.close()

    def _write_or_make_space(self) -> None:
        if self._file_lost:
            self._reopen()
        try:
            self._write_all()
        except OutboxDamaged:
            raise
        except OutboxError:
            self._file.fold_log()
            self._make_room()
            self._write_all()

    def _write_all(self) -> None:
        with self._lock:
            entries = list(self._waiting.values())
            settled = set(self._settled)
            drops = self._unsaved_drops
        if not (entries or settled or drops):
            return
        unsettled = [entry for entry in entries if entry.seq not in settled]
        for step in _cut(unsettled, _WRITE_RECORDS, self._max_bytes // _WRITE_SHARE) or [[]]:
            self._file.write(step, settled=settled, dropped=drops)
            with self._lock:
                for entry in step:
                    self._forget_waiting(entry.seq)
                self._settled -= settled
                self._unsaved_drops -= drops
            settled, drops = set(), 0
            self._make_room()

    def _make_room(self) -> None:
        dropped = 0
        for _ in range(_THIN_ROUNDS):
            if not self._file.is_full:
                break
            with self._lock:
                spare = set(self._leased)
            dropped += self._file.thin(spare=spare)
        if dropped:
            log.warning("outbox full: thinned out %d of the older records", dropped)

    def _next_entries(self) -> list[Entry]:
        try:
            entries = self._file.read_after(self._cursor, BATCH_RECORDS)
        except OutboxDamaged as error:
            self._begin_anew(error)
            return []
        except OutboxError as error:
            self._refused(error)
            return []
        with self._lock:
            if not entries and self._disk_refuses:
                unsent = [entry for seq, entry in self._waiting.items() if seq > self._cursor]
                entries = unsent[:BATCH_RECORDS]
            if entries:
                self._cursor = entries[-1].seq
            elif not self._disk_refuses:
                self._cursor = max(self._cursor, self._file.last_seq)
        return entries

    def _thin_memory(self) -> None:
        sequences = list(self._waiting)
        victims = [seq for seq in sequences[1 : max(len(sequences) // 2, 2) : 2] if seq not in self._leased]
        for seq in victims:
            self._forget_waiting(seq)
        self._unsaved_drops += len(victims)

    def _forget_waiting(self, seq: int) -> None:
        entry = self._waiting.pop(seq, None)
        if entry is not None:
            self._waiting_bytes -= len(entry.body)

    def _refused(self, error: OutboxError) -> None:
        if not self._disk_refuses:
            self._disk_refuses = True
            log.error("%s; records stay in memory until the disk takes them", error)

    def _open(self) -> OutboxFile:
        try:
            return OutboxFile(self._path, max_bytes=self._max_bytes)
        except OutboxDamaged as error:
            self._set_aside(error)
        return OutboxFile(self._path, max_bytes=self._max_bytes)

    def _begin_anew(self, error: OutboxDamaged) -> None:
        self._file.close()
        self._file_lost = True
        try:
            self._set_aside(error)
            self._reopen()
        except (OutboxError, OSError) as failure:
            self._refused(OutboxError(f"outbox {self._path}: {failure}"))
        self._arrived.set()

    def _reopen(self) -> None:
        self._file = self._open()
        self._file_lost = False
        with self._lock:
            self._cursor = 0
            self._settled.clear()

    def _set_aside(self, error: OutboxDamaged) -> None:
        kept = set_aside(self._path)
        notice = f"damaged outbox set aside as {kept.name}, its unsent records are lost to the fleet: {error}"
        log.error("%s", notice)
        self._notices.append(notice)


def _cut(entries: list[Entry], most_records: int, most_bytes: int) -> list[list[Entry]]:
    """In parts within both limits; a larger record makes a part alone."""
    parts: list[list[Entry]] = []
    size = 0
    for entry in entries:
        size += len(entry.body)
        if not parts or size > most_bytes or len(parts[-1]) == most_records:
            parts.append([])
            size = len(entry.body)
        parts[-1].append(entry)
    return parts


def _batch(channel: str, entries: list[Entry]) -> Batch:
    return Batch(channel, tuple(entry.body for entry in entries), tuple(entry.seq for entry in entries))
