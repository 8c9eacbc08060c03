"""Hears the devices: reads each message, has it stored, and only then acknowledges it."""

import logging
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.inbox import Inbox, Waiting
from edgewise_fleet.message import Message
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
    DeviceAddress,
    MessageError,
    Meta,
    Status,
    decode_notice,
    decode_records,
    parse_topic,
    subscription,
)
from edgewise_messages.codec import check_size
from edgewise_messages.errors import InvalidTopic
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


RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0

_CHANNELS = {channel.value: channel for channel in Channel}


@lru_cache(200_000)
def _address_of(levels: str) -> DeviceAddress:
    """The device whose topics begin like this; the same ones come again and again."""
    return parse_topic(f"{levels}/{Channel.STATUS.value}")[0]


def _parse_topic(topic: str) -> tuple[DeviceAddress, Channel]:
    levels, _, name = topic.rpartition("/")
    channel = _CHANNELS.get(name)
    if channel is None:
        return parse_topic(topic)
    try:
        return _address_of(levels), channel
    except InvalidTopic:
        # What is wrong with it is said of the whole topic.
        return parse_topic(topic)


class Acknowledges(Protocol):
    """Whoever must hear that a message is safe."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that the messages are ours now."""


def read_message(message: Message) -> Arrival:
    """What one message says; one that cannot be read becomes a RejectedArrival with the reason."""
    try:
        if message.cut_bytes:
            check_size(len(message.payload) + message.cut_bytes)
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


class Collector:
    """Reads messages in the thread that hears them; one thread stores them in batches and acknowledges them."""

    def __init__(self, store: RecordSink) -> None:
        self._store = store
        self._failure = ""
        """What the store says while it takes nothing."""
        self._end = ""
        """What ended us by surprise."""
        self._inbox = Inbox()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._subscriber: Acknowledges | None = None

    @property
    def trouble(self) -> str:
        """Why nothing can be stored just now, in words; empty while all is well."""
        return self._end or self._failure

    def start(self, subscriber: Acknowledges) -> None:
        """Begin to store what `receive` is given, acknowledging it to this subscriber."""
        self._subscriber = subscriber
        self._thread.start()

    def receive(self, messages: Sequence[Message]) -> None:
        """Take these messages without waiting; whoever hears them asks for `has_room` before."""
        try:
            piece = [Waiting(message, (read_message(message),), True) for message in messages]
        except Exception as error:
            self._end_by(error)
            return
        self._inbox.put(piece, waits=False)

    def receive_read(self, message: Message, arrivals: tuple[Arrival, ...]) -> None:
        """Take one message of another connection, which was read already and is not acknowledged by us.

        Waits for room.
        """
        self._inbox.put([Waiting(message, arrivals, False)], waits=True)

    def has_room(self) -> bool:
        """Whether more should be heard just now."""
        return self._inbox.has_room()

    def pending(self) -> int:
        """Messages heard and not yet being stored."""
        return len(self._inbox)

    def stop(self) -> None:
        """Store and acknowledge what was heard, then end. What comes later stays with the broker."""
        self._stopping.set()
        self._inbox.close()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._collect()
        except Exception as error:
            self._end_by(error)

    def _end_by(self, error: Exception) -> None:
        # Nobody waits for this thread: without this its end would look like silent devices.
        log.exception("the collector ended")
        self._end = f"collector: ended by {error!r}; restart the server, the broker keeps what arrives"
        self._inbox.close()

    def _collect(self) -> None:
        while self._store_some():
            pass

    def _store_some(self) -> bool:
        """The next batch, which nothing holds any more when this returns; False when there will be none."""
        batch = self._inbox.take()
        arrivals = [arrival for waiting in batch for arrival in waiting.arrivals]
        if batch and self._keep(arrivals) and self._subscriber:
            self._subscriber.acknowledge([waiting.message for waiting in batch if waiting.is_ours])
        self._inbox.done()
        return bool(batch)

    def _keep(self, arrivals: Sequence[Arrival]) -> bool:
        """Store the batch, however long it takes; False when stopped before that was possible."""
        wait_s = RETRY_MIN_S
        while True:
            try:
                added = self._store.add(arrivals)
            except StoreUnusable as error:
                if not self._failure:
                    log.error("%s; the broker keeps what arrives, trying again", error)
                self._failure = str(error)
                if self._stopping.wait(wait_s):
                    return False
                wait_s = min(RETRY_MAX_S, wait_s * 2)
                continue
            if self._failure:
                log.info("store: works again")
                self._failure = ""
            if added.rejected:
                log.warning("%d unreadable messages put into quarantine", added.rejected)
            return True
