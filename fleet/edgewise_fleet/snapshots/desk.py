"""Asks devices for snapshots and takes in what they send, within bounds: a device cannot fill memory, disk or time."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from edgewise_fleet.commanding import make_command
from edgewise_fleet.errors import SnapshotProblem, StoreUnusable
from edgewise_fleet.message import Message
from edgewise_fleet.snapshots.assembly import Assembly
from edgewise_fleet.snapshots.book import SnapshotBook
from edgewise_fleet.snapshots.checking import check_snapshot
from edgewise_fleet.snapshots.kept import KeptSnapshot, State
from edgewise_messages import (
    Channel,
    CommandName,
    DeviceAddress,
    MessageError,
    Outcome,
    Response,
    SnapshotChunk,
    decode_notice,
    encode_notice,
    parse_topic,
)

ANSWER_S = 300.0
"""So long the command holds, and the first part may take."""
PAUSE_S = 60.0
"""Between two parts, and between the device's answer and the first part."""
WHOLE_S = 600.0
STALE_EVERY_S = 300.0
MAX_OPEN = 32
"""Requests at once; one of each device."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Of all parts that wait for their others; the request that was made first is given up."""
NO_KEY = "the server has no key to sign the command with: start it with --rollout-key KEY"

log = logging.getLogger(__name__)


class Link(Protocol):
    """The connection that commands go by."""

    connected: bool

    def publish(self, topic: str, payload: bytes) -> None:
        """At least once."""


@dataclass
class _Open:
    """A request that waits."""

    asked: KeptSnapshot
    assembly: Assembly
    until_s: float
    """On the monotonic clock: when it is given up unless something arrives."""
    at_last_s: float
    is_whole: bool = False


@dataclass(frozen=True)
class _Over:
    """A request that ended: whole, or for a reason."""

    one: _Open
    reason: str = ""


class SnapshotDesk:
    """`hear` belongs to the connection's thread, and writes nothing; other methods may be called from any thread."""

    def __init__(
        self,
        book: SnapshotBook,
        *,
        label_of: Callable[[DeviceAddress, str], str],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``label_of`` tells what a device said about one of its snapshots. Without `connect` it only shows."""
        self.book = book
        self._label_of = label_of
        self._clock_s = clock_s
        self._look_at_s = clock_s()
        self._link: Link | None = None
        self._key = Path()
        self._lock = threading.Lock()
        self._open: dict[DeviceAddress, _Open] = {}
        self._over: queue.SimpleQueue[_Over | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)

    def connect(self, link: Link, key: Path) -> None:
        """From here on it can ask."""
        self._link, self._key = link, key

    def start(self) -> None:
        """Begin to take in what arrives."""
        self._thread.start()

    def stop(self) -> None:
        """After the one at hand. Requests that wait are ended: nobody hears their answer any more."""
        self._over.put(None)
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            waiting, self._open = list(self._open.values()), {}
        for one in waiting:
            with suppress(StoreUnusable):
                self._fail(one, "the server ended before it was here")

    def trouble(self) -> str:
        """Why it cannot ask just now, in words; empty when it can."""
        if self._link is None:
            return NO_KEY
        return "" if self._link.connected else "there is no connection to the broker just now"

    def ask(self, address: DeviceAddress, *, who: str, rule: str = "", snapshot: str = "") -> KeptSnapshot:
        """Ask for the latest one, that of a rule, or one by the device's name for it.

        Raises SnapshotProblem when it cannot be asked, KeyProblem, StoreUnusable.
        """
        trouble = self.trouble()
        if trouble or self._link is None:
            raise SnapshotProblem(f"{address.group}/{address.device}: {trouble}")
        arguments = {name: value for name, value in (("rule", rule), ("id", snapshot)) if value}
        command = make_command(
            CommandName.SNAPSHOT, arguments, address=address, key=self._key, expires_s=ANSWER_S
        )
        asked = KeptSnapshot(
            id=command.id,
            group=address.group,
            device=address.device,
            asked_ms=command.issued_ms,
            asked_by=who,
        )
        self._admit(address, asked)
        try:
            # On the disk before the command leaves: what comes back must find who asked for it.
            self.book.begin(asked)
        except BaseException:
            self._close(address)
            raise
        self._link.publish(address.topic(Channel.COMMAND), encode_notice(command))
        return asked

    def hear(self, message: Message) -> None:
        """A response, or a part; what nobody here asked for is not even read."""
        with suppress(MessageError):
            address, channel = parse_topic(message.topic)
            with self._lock:
                one = self._open.get(address)
            if one is None or message.retained or one.is_whole:
                return
            if channel is Channel.SNAPSHOT:
                self._hear_part(address, one, decode_notice(message.payload, SnapshotChunk))
            elif channel is Channel.RESPONSE:
                self._hear_response(address, one, decode_notice(message.payload, Response))

    def give_up(self) -> None:
        """End what waited too long."""
        now_s = self._clock_s()
        with self._lock:
            late = [
                address
                for address, one in self._open.items()
                if not one.is_whole and now_s >= min(one.until_s, one.at_last_s)
            ]
        for address in late:
            one = self._close(address)
            if one is not None:
                self._fail(one, f"it never arrived whole: {one.assembly.progress()}")

    def _admit(self, address: DeviceAddress, asked: KeptSnapshot) -> None:
        now_s = self._clock_s()
        with self._lock:
            if address in self._open:
                raise SnapshotProblem(
                    f"{address.group}/{address.device}: another snapshot is still on its way; wait for it"
                )
            if len(self._open) >= MAX_OPEN:
                raise SnapshotProblem(f"{MAX_OPEN} snapshots are on their way already; wait for one of them")
            self._open[address] = _Open(asked, Assembly(asked.id), now_s + ANSWER_S, now_s + WHOLE_S)

    def _hear_response(self, address: DeviceAddress, one: _Open, response: Response) -> None:
        if response.id != one.asked.id:
            return
        if response.outcome == Outcome.DONE:
            one.until_s = self._clock_s() + PAUSE_S
        elif self._close(address):
            self._over.put(_Over(one, f"the device says {response.outcome}: {response.message}"))

    def _hear_part(self, address: DeviceAddress, one: _Open, chunk: SnapshotChunk) -> None:
        if chunk.request != one.asked.id:
            return
        try:
            is_whole = one.assembly.add(chunk)
        except SnapshotProblem as error:
            if self._close(address):
                self._over.put(_Over(one, f"it is no snapshot: {error}"))
            return
        one.until_s = self._clock_s() + PAUSE_S
        if is_whole:
            one.is_whole = True
            self._over.put(_Over(one))
        self._bound_memory()

    def _bound_memory(self) -> None:
        with self._lock:
            held = sum(one.assembly.held_bytes for one in self._open.values())
            if held <= MAX_HELD_BYTES:
                return
            first = next((address for address, one in self._open.items() if not one.is_whole), None)
        one = self._close(first) if first is not None else None
        if one is not None:
            reason = f"too many were on their way at once: {one.assembly.progress()}"
            self._over.put(_Over(one, reason))

    def _run(self) -> None:
        while True:
            try:
                over = self._over.get(timeout=1.0)
                if over is None:
                    return
                if over.reason:
                    self._fail(over.one, over.reason)
                else:
                    self._take_in(over.one)
            except queue.Empty:
                pass
            except StoreUnusable as error:
                log.error("snapshots: %s", error)
            except Exception:  # the thread must outlive whatever comes
                log.exception("snapshots: unexpected error")
            try:
                self.give_up()
                self._end_stale()
            except StoreUnusable as error:
                log.error("snapshots: %s", error)

    def _end_stale(self) -> None:
        if self._clock_s() >= self._look_at_s:
            self._look_at_s = self._clock_s() + STALE_EVERY_S
            self.book.end_stale(_now_ms())

    def _take_in(self, one: _Open) -> None:
        asked = one.asked
        try:
            data = one.assembly.join()
            first = one.assembly.parts[0]
            checked = check_snapshot(data, first.media)
            here = replace(
                asked,
                state=State.HERE,
                ended_ms=_now_ms(),
                snapshot=first.snapshot,
                taken_ms=first.ts_ms,
                rule=first.rule,
                label=self._label_of(asked.address, first.snapshot)[:200],
                media=checked.media,
                shape=checked.shape,
                sha256=first.sha256,
                size_bytes=len(data),
            )
            self.book.end(here, data, checked.thumbnail)
        except SnapshotProblem as error:
            self._fail(one, str(error))
        finally:
            self._close(asked.address)

    def _close(self, address: DeviceAddress) -> _Open | None:
        with self._lock:
            return self._open.pop(address, None)

    def _fail(self, one: _Open, reason: str) -> None:
        log.info("snapshot %s of %s/%s: %s", one.asked.id, one.asked.group, one.asked.device, reason)
        self.book.end(replace(one.asked, state=State.FAILED, reason=reason[:500], ended_ms=_now_ms()))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
