"""Records kept until the broker has them: gathered in memory, made durable together, given out in batches.

A record is accepted when the commit that holds it has returned. Commits happen once per interval (group
commit), or at once when an append asks for it. Acknowledged records are forgotten with the next commit;
should the process die before it, they are sent again and the fleet recognises them by (boot, seq).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from edgewise_agent.errors import OutboxDamaged, OutboxError
from edgewise_agent.outbox.batches import BATCH_RECORDS, Batch, Entry, cut, make_batches
from edgewise_agent.outbox.file import OutboxFile, set_aside
from edgewise_agent.outbox.leases import Leases
from edgewise_agent.outbox.replay_rate import ReplayRate
from edgewise_agent.outbox.restamp import Restamper
from edgewise_agent.outbox.state import Notice, OutboxState
from edgewise_agent.outbox.tables import BootClock, Condemned
from edgewise_agent.outbox.waiting import Waiting
from edgewise_agent.outbox.write_budget import WriteBudget
from edgewise_messages import Severity

MEMORY_BYTES = 1024 * 1024
"""Most that waits in memory while the disk refuses."""
_WRITE_RECORDS = 200
_WRITE_SHARE = 25
"""One transaction adds at most a 25th of the allowed size, so that it fits into what thinning keeps free."""
_FORGET_AT = 500
"""Acknowledged records that make a commit worth its fsync without any new record."""
_THIN_ROUNDS = 12
_ASK_DISK_AGAIN_S = 5.0

log = logging.getLogger("edgewise.agent.outbox")


class Outbox:
    """Safe between threads: one appends, one commits, one takes batches and acknowledges them."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        memory_bytes: int = MEMORY_BYTES,
        replay: ReplayRate | None = None,
        budget: WriteBudget | None = None,
    ) -> None:
        """Open the outbox at ``path``. A damaged file is set aside and a new one begun.

        Raises OutboxError when the disk refuses to hold one.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._replay = replay or ReplayRate(0.0)
        self._budget = budget
        self._restamper: Restamper | None = None
        self._notices: deque[Notice] = deque(maxlen=20)
        self._disk = threading.RLock()
        """Guards the file. Taken before ``_lock``, never the other way round."""
        self._lock = threading.Lock()
        """Guards what is in memory; not held while the disk works, so appending never waits for it."""
        self._arrived = threading.Event()
        self._hurry = threading.Event()
        self._waiting = Waiting()
        self._condemned: dict[int, Condemned] = {}
        self._unsaved_drops = 0
        self._disk_refuses = False
        self._file_lost = False
        """True while a damaged file could not be replaced by a new one."""
        self._file = self._open()
        self._written_before = 0
        self._leases = Leases(self._file.last_seq)
        self._next_seq = self._file.last_seq + 1

    def append(self, channel: str, build: Callable[[int], bytes], *, durable: bool = False) -> int:
        """Take the record that ``build`` makes from its number; with ``durable`` commit before returning.

        A caller faster than the disk waits for it. Only while the disk refuses are records in memory thinned.
        """
        with self._lock:
            seq = self._next_seq
            self._waiting.add(Entry(seq, channel, build(seq)))
            self._next_seq += 1
            is_much = self._waiting.size_bytes > self._memory_bytes
            if is_much and self._disk_refuses:
                self._unsaved_drops += self._waiting.thin(spare=self._leases.under_way)
        self._arrived.set()
        if self._waiting.size_bytes > self._memory_bytes // 2:
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
        """Commit once per interval while there is something to commit, until ``stop``; sleeps otherwise.

        The interval is longer while more is written than the budget allows.
        """
        while not stop.is_set():
            self._arrived.wait()
            self._hurry.wait(self._budget.stretched(interval_s) if self._budget else interval_s)
            self._arrived.clear()
            self._hurry.clear()
            if not self.commit():
                self._arrived.set()
                stop.wait(_ASK_DISK_AGAIN_S)
            self._mind_budget()

    def wake(self) -> None:
        """Let `keep_committing` look at its stop event."""
        self._arrived.set()
        self._hurry.set()

    def stamp_with(self, restamper: Restamper) -> None:
        """Records whose boot's clock is known by now are given out with their time from now on."""
        with self._disk:
            self._restamper = restamper
            self._save_boots(restamper.first_save())

    def boots(self) -> list[BootClock]:
        """The clocks of earlier boots, for a `Restamper`."""
        with self._disk:
            return self._file.boots()

    def lease(self, *, hurry: bool = False, without: Collection[str] = ()) -> list[Batch]:
        """The next records that are in no batch yet, live ones first, each batch of one channel.

        Replayed ones come no faster than the replay rate, unless in a ``hurry``. Records of the channels in
        ``without`` are passed over until `resume`.
        """
        with self._disk:
            entries = self._lease_live(without) or self._lease_replay(without, hurry=hurry)
            if self._restamper is not None and entries:
                self._save_boots(self._restamper.look())
                entries = self._restamper.restamp(entries)
        return make_batches(entries)

    def settle(self, batch: Batch) -> None:
        """The broker has these records: forget them with the next commit."""
        with self._lock:
            self._leases.settle(batch.sequences)
            for seq in batch.sequences:
                self._waiting.forget(seq)
            worth_a_commit = len(self._leases.settled) >= _FORGET_AT
        if worth_a_commit:
            self._arrived.set()

    def quarantine(self, batch: Batch, reason: str) -> None:
        """No broker will ever take these records: put them aside with the next commit, and say so."""
        with self._lock:
            for seq, body in zip(batch.sequences, batch.bodies, strict=True):
                self._condemned[seq] = Condemned(seq, batch.channel, body, reason)
        self.settle(batch)
        self._arrived.set()
        what = f"record {batch.sequences[0]} ({batch.channel}, {sum(map(len, batch.bodies))} bytes)"
        self._tell(Notice("record.quarantined", f"{what} is not sent any more: {reason}", Severity.ERROR))

    def give_back(self, batch: Batch) -> None:
        """The broker did not take it now: it comes out again after `resume` or `release`."""
        with self._lock:
            self._leases.give_back(batch.sequences)

    def resume(self) -> None:
        """Give out again what was given back or passed over."""
        with self._lock:
            self._leases.rewind()

    def release(self) -> None:
        """The connection is gone: give everything out again that was not acknowledged."""
        with self._lock:
            self._leases.begin(self._file.last_seq)

    @property
    def has_more(self) -> bool:
        """True when `lease` would find something, now or when the replay rate allows; costs no disk access."""
        with self._lock:
            leases = self._leases
            in_memory = self._disk_refuses and self._waiting.has_after(leases.live_after)
            return leases.has_replay or leases.live_after < self._file.last_seq or in_memory

    def state(self) -> OutboxState:
        """Counts for telemetry."""
        with self._disk, self._lock:
            unsaved = len(self._waiting) - len(self._leases.settled)
            return OutboxState(
                records=max(self._file.count + unsaved, 0),
                size_bytes=self._file.size_bytes,
                dropped=self._file.dropped + self._unsaved_drops,
                disk_refuses=self._disk_refuses,
                quarantined=self._file.quarantined + len(self._condemned),
                written_per_day_bytes=self._budget.per_day_bytes if self._budget else None,
            )

    def take_notices(self) -> list[Notice]:
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
            entries = self._waiting.entries()
            settled = set(self._leases.settled)
            condemned = list(self._condemned.values())
            drops = self._unsaved_drops
        if not (entries or settled or drops):
            return
        unsettled = [entry for entry in entries if entry.seq not in settled]
        for step in cut(unsettled, _WRITE_RECORDS, self._max_bytes // _WRITE_SHARE) or [[]]:
            self._file.write(step, settled=settled, condemned=condemned, dropped=drops)
            with self._lock:
                for entry in step:
                    self._waiting.forget(entry.seq)
                self._leases.settled -= settled
                for one in condemned:
                    self._condemned.pop(one.seq, None)
                self._unsaved_drops -= drops
            settled, condemned, drops = set(), [], 0
            self._make_room()

    def _make_room(self) -> None:
        dropped = 0
        for _ in range(_THIN_ROUNDS):
            if not self._file.is_full:
                break
            with self._lock:
                spare = set(self._leases.under_way)
            dropped += self._file.thin(spare=spare)
        if dropped:
            log.warning("outbox full: thinned out %d of the older records", dropped)

    def _lease_live(self, without: Collection[str]) -> list[Entry]:
        """What was recorded since the connection began; from memory while the disk refuses."""
        leases, leased = self._leases, list[Entry]()
        while not leased:
            found = self._read(leases.live_after, BATCH_RECORDS, without=without)
            if found is None:
                break
            with self._lock:
                if not found and self._disk_refuses:
                    in_memory = self._waiting.entries(after=leases.live_after)
                    found = [entry for entry in in_memory if entry.channel not in without][:BATCH_RECORDS]
                if not found:
                    if not self._disk_refuses:
                        leases.live_after = max(leases.live_after, self._file.last_seq)
                    break
                leases.live_after = found[-1].seq
                leased = leases.lease(found)
        return leased

    def _lease_replay(self, without: Collection[str], *, hurry: bool) -> list[Entry]:
        """What was there before, as fast as is allowed."""
        leases, leased = self._leases, list[Entry]()
        while not leased and leases.has_replay:
            limit = BATCH_RECORDS if hurry else self._replay.allows()
            if not limit:
                break
            found = self._read(leases.replay_after, limit, up_to=leases.replay_up_to, without=without)
            if found is None:
                break
            with self._lock:
                leases.replay_after = found[-1].seq if found else leases.replay_up_to
                leased = leases.lease(found)
        self._replay.spend(len(leased))
        return leased

    def _read(
        self, after: int, limit: int, *, up_to: int | None = None, without: Collection[str] = ()
    ) -> list[Entry] | None:
        """None when the disk does not give them."""
        try:
            return self._file.read_after(after, limit, up_to=up_to, without=without)
        except OutboxDamaged as error:
            self._begin_anew(error)
        except OutboxError as error:
            self._refused(error)
        return None

    def _save_boots(self, boots: list[BootClock]) -> None:
        """Not being able to costs the stamps of records that outlive this process, nothing else."""
        try:
            if boots:
                self._file.save_boots(boots)
        except OutboxError as error:
            log.warning("%s; the clock of this boot is not written down", error)

    def _mind_budget(self) -> None:
        if self._budget is None:
            return
        with self._disk:
            written = self._written_before + self._file.written_bytes
        if verdict := self._budget.see(written):
            exceeded = self._budget.is_exceeded
            name = "outbox.write_budget_exceeded" if exceeded else "outbox.write_budget_kept"
            self._tell(Notice(name, verdict, Severity.WARNING if exceeded else Severity.INFO))

    def _tell(self, notice: Notice) -> None:
        log.log(logging.INFO if notice.severity is Severity.INFO else logging.ERROR, "%s", notice.message)
        self._notices.append(notice)

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
        self._written_before += self._file.written_bytes
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
            self._leases.start_over()

    def _set_aside(self, error: OutboxDamaged) -> None:
        kept = set_aside(self._path)
        notice = f"damaged outbox set aside as {kept.name}, its unsent records are lost to the fleet: {error}"
        self._tell(Notice("outbox.replaced", notice, Severity.ERROR))
