"""Hears the devices: reads each message, has it stored, and only then acknowledges it."""

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple, Protocol

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.mqtt import Message
from edgewise_fleet.store import (
    Arrival,
    MetaArrival,
    RecordsArrival,
    RecordSink,
    RejectedArrival,
    StatusArrival,
)
from edgewise_messages import (
    Channel,
    MessageError,
    Meta,
    Status,
    decode_notice,
    decode_records,
    parse_topic,
    subscription,
)
from edgewise_messages.topics import RETAINED

log = logging.getLogger(__name__)

CHANNELS = (Channel.STATUS, Channel.META, Channel.TELEMETRY, Channel.EVENT, Channel.DRIFT)
FILTERS = tuple(subscription(channel) for channel in CHANNELS)


def shared_filters(share: str) -> tuple[str, ...]:
    """What one of several collectors subscribes to: of the records a share, of the notices all.

    Notices are few, every collector writes the same of them, and only a plain subscription gets retained ones.
    """
    return tuple(
        name if channel in RETAINED else f"$share/{share}/{name}"
        for channel, name in zip(CHANNELS, FILTERS, strict=True)
    )


QUEUE_LIMIT = 10_000
"""Messages in memory; past that the network thread waits, and with it the broker."""
BATCH_LIMIT = 1_000
GATHER_S = 0.02
"""How long a commit waits for company. Brokers send 20 unacknowledged messages by default, so a longer wait
would not gather more, only slow down."""
RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0

_parse_topic = lru_cache(200_000)(parse_topic)
"""The same topics come again and again."""


class Acknowledges(Protocol):
    """Whoever must hear that a message is safe."""

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that the message is ours now."""


def read_message(message: Message) -> Arrival:
    """What one message says; one that cannot be read becomes a RejectedArrival with the reason."""
    try:
        address, channel = _parse_topic(message.topic)
        if channel is Channel.STATUS:
            status = decode_notice(message.payload, Status)
            return StatusArrival(address, message.received_ms, status, message.retained)
        if channel is Channel.META:
            meta = decode_notice(message.payload, Meta)
            return MetaArrival(address, message.received_ms, meta, message.retained)
        batch = decode_records(message.payload)
        return RecordsArrival(address, message.received_ms, batch.records, batch.unknown, batch.bodies)
    except MessageError as error:
        return RejectedArrival(message.topic, message.received_ms, str(error), message.payload)


class _Waiting(NamedTuple):
    """A message in the queue; ``arrivals`` where it was read already."""

    message: Message
    arrivals: tuple[Arrival, ...] | None


def _arrivals(batch: Iterable[_Waiting]) -> Iterable[Arrival]:
    for message, arrivals in batch:
        if arrivals is None:
            yield read_message(message)
        else:
            yield from arrivals


class Collector:
    """One thread that takes messages from the queue, stores them in batches and acknowledges them."""

    def __init__(self, store: RecordSink) -> None:
        self.trouble = ""
        """Why nothing can be stored just now, in words; empty while all is well."""
        self._store = store
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(QUEUE_LIMIT)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._subscriber: Acknowledges | None = None

    def start(self, subscriber: Acknowledges) -> None:
        """Begin to store what `receive` is given, acknowledging it to this subscriber."""
        self._subscriber = subscriber
        self._thread.start()

    def receive(self, message: Message) -> None:
        """Take one message; waits while the queue is full."""
        self._put(_Waiting(message, None))

    def receive_read(self, message: Message, arrivals: tuple[Arrival, ...]) -> None:
        """Take one message of another connection, which was read already and is not acknowledged by us."""
        self._put(_Waiting(message, arrivals))

    def _put(self, waiting: _Waiting) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(waiting, timeout=1.0)
                return
            except queue.Full:
                continue

    def pending(self) -> int:
        """Messages heard and not yet stored."""
        return self._queue.qsize()

    def stop(self) -> None:
        """Store and acknowledge what was heard, then end. What comes later stays with the broker."""
        self._stopping.set()
        # The thread may be waiting on an empty queue; on a full one it needs no waking.
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._collect()
        except Exception as error:
            # Nobody waits for this thread: without this its end would look like silent devices.
            log.exception("the collector ended")
            self.trouble = f"collector: ended by {error!r}; restart the server, the broker keeps what arrives"

    def _collect(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            batch = self._gather()
            if batch and self._keep(list(_arrivals(batch))) and self._subscriber:
                for waiting in batch:
                    if waiting.arrivals is None:
                        self._subscriber.acknowledge(waiting.message)

    def _gather(self) -> list[_Waiting]:
        batch = [self._queue.get()]
        deadline = time.monotonic() + GATHER_S
        while len(batch) < BATCH_LIMIT:
            try:
                batch.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return [waiting for waiting in batch if waiting is not None]

    def _keep(self, arrivals: Sequence[Arrival]) -> bool:
        """Store the batch, however long it takes; False when stopped before that was possible."""
        wait_s = RETRY_MIN_S
        while True:
            try:
                added = self._store.add(arrivals)
            except StoreUnusable as error:
                if not self.trouble:
                    log.error("%s; the broker keeps what arrives, trying again", error)
                self.trouble = str(error)
                if self._stopping.wait(wait_s):
                    return False
                wait_s = min(RETRY_MAX_S, wait_s * 2)
                continue
            if self.trouble:
                log.info("store: works again")
                self.trouble = ""
            if added.rejected:
                log.warning("%d unreadable messages put into quarantine", added.rejected)
            return True
