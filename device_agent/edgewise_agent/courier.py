"""Carries records from the outbox to the broker, over as many connections as it takes."""

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgewise_agent.backoff import Backoff
from edgewise_agent.broker import Connection
from edgewise_agent.errors import BrokerError
from edgewise_agent.outbox import Batch, Outbox
from edgewise_agent.service.heartbeat import Beat, never_mind
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_messages import DeviceState, Meta, Response

WINDOW = 8
"""Publishes under way at once: enough to hide a mobile network's delay, and little to send again."""
TURN_S = 0.25
GOODBYE_S = 2.0
LONGEST_STEP_S = 60.0
"""Within this the thread is through a connection attempt, a turn of the network, or a slow disk."""
STALLED_S = 60.0
"""A broker that answers pings but acknowledges nothing for this long gets a new connection."""

log = logging.getLogger("edgewise.agent.broker")


class Connect(Protocol):
    """Makes a connection that is not open yet."""

    def __call__(
        self,
        *,
        will: Message,
        on_acknowledged: Callable[[int], None],
        on_message: Callable[[Message], None],
    ) -> Connection:
        """Raises BrokerError."""


@dataclass(frozen=True)
class _UnderWay:
    batch: Batch
    since_s: float


class Courier:
    """A thread of its own, started and stopped once. ``responses`` are sent when connected, not kept."""

    def __init__(
        self,
        outbox: Outbox,
        connect: Connect,
        profile: JsonProfile,
        backoff: Backoff,
        *,
        meta: Callable[[], Meta],
        now_ms: Callable[[], int],
        responses: "queue.SimpleQueue[Response]",
        on_command: Callable[[bytes, bool], None],
        stalled_s: float = STALLED_S,
        beat: Beat = never_mind,
        on_connection: Callable[[bool, str], None] = lambda connected, why: None,
    ) -> None:
        """``beat`` hears that the thread lives, ``on_connection`` whether it is connected, and why not."""
        self._outbox = outbox
        self._connect = connect
        self._profile = profile
        self._backoff = backoff
        self._meta = meta
        self._now_ms = now_ms
        self._on_command = on_command
        self._stalled_s = stalled_s
        self._beat = beat
        self._on_connection = on_connection
        self._responses = responses
        self._batches: deque[Batch] = deque()
        self._under_way: dict[int, _UnderWay] = {}
        self._notices_under_way: set[int] = set()
        self._is_connected = False
        self._stopping = threading.Event()
        self._reason = ""
        self._stop_by_s = 0.0
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)

    def start(self) -> None:
        """Begin to connect and to send."""
        self._thread.start()

    def stop(self, *, reason: str, drain_s: float) -> None:
        """Send what can be sent within ``drain_s``, then status stopped, then disconnect."""
        self._reason = reason
        self._stop_by_s = time.monotonic() + drain_s
        self._stopping.set()
        self._thread.join(drain_s + GOODBYE_S + 6.0)

    def _work(self) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._beat(LONGEST_STEP_S)
            try:
                self._session()
            except BrokerError as error:
                self._on_connection(False, str(error))
                if self._stopping.is_set():
                    log.warning("%s", error)
                    break
                self._backoff.connection_ended(time.monotonic() - began_s)
                wait_s = self._backoff.next_wait_s()
                # Two texts, so that limiting the many failed attempts does not hide a loss.
                if self._is_connected:
                    log.warning("%s; connecting again in %.1f s", error, wait_s)
                else:
                    log.warning("%s; next attempt in %.1f s", error, wait_s)
                self._beat(wait_s + LONGEST_STEP_S)
                self._stopping.wait(wait_s)
            except Exception as error:  # the thread must outlive whatever comes
                log.error(
                    "unexpected error while sending: %r", error, exc_info=log.isEnabledFor(logging.DEBUG)
                )
                wait_s = self._backoff.next_wait_s()
                self._beat(wait_s + LONGEST_STEP_S)
                self._stopping.wait(wait_s)
        self._beat(math.inf)

    def _session(self) -> None:
        self._is_connected = False
        self._batches.clear()
        self._under_way.clear()
        self._notices_under_way.clear()
        self._outbox.release()
        will = self._profile.status(DeviceState.OFFLINE, ts_ms=self._now_ms(), reason="connection lost")
        connection = self._connect(will=will, on_acknowledged=self._acknowledged, on_message=self._heard)
        try:
            connection.connect()
            self._is_connected = True
            log.info("connected")
            self._on_connection(True, "")
            self._announce(connection)
            while not self._is_finished():
                self._beat(LONGEST_STEP_S)
                self._fill(connection)
                connection.run(TURN_S)
                self._check_progress()
            self._say_goodbye(connection)
        finally:
            connection.close()

    def _announce(self, connection: Connection) -> None:
        connection.subscribe(self._profile.command_topic)
        self._tell(connection, self._profile.meta(self._meta()))
        self._tell(connection, self._profile.status(DeviceState.ONLINE, ts_ms=self._now_ms()))

    def _say_goodbye(self, connection: Connection) -> None:
        status = self._profile.status(DeviceState.STOPPED, ts_ms=self._now_ms(), reason=self._reason)
        self._tell(connection, status)
        give_up_s = time.monotonic() + GOODBYE_S
        while self._notices_under_way and time.monotonic() < give_up_s:
            connection.run(TURN_S)

    def _fill(self, connection: Connection) -> None:
        while not self._responses.empty():
            self._tell(connection, self._profile.response(self._responses.get()))
        while len(self._under_way) < WINDOW:
            if not self._batches:
                if not self._outbox.has_more:
                    return
                self._batches.extend(self._outbox.lease())
                if not self._batches:
                    return
            batch = self._batches.popleft()
            number = connection.publish(self._profile.records(batch.channel, batch.bodies))
            self._under_way[number] = _UnderWay(batch, time.monotonic())

    def _tell(self, connection: Connection, message: Message) -> None:
        self._notices_under_way.add(connection.publish(message))

    def _acknowledged(self, number: int) -> None:
        self._notices_under_way.discard(number)
        sent = self._under_way.pop(number, None)
        if sent is not None:
            self._outbox.settle(sent.batch)

    def _heard(self, message: Message) -> None:
        if message.topic != self._profile.command_topic:
            log.debug("ignored a message on %s", message.topic)
            return
        self._on_command(message.payload, message.retain)

    def _check_progress(self) -> None:
        oldest_s = min((sent.since_s for sent in self._under_way.values()), default=None)
        if oldest_s is not None and time.monotonic() - oldest_s > self._stalled_s:
            raise BrokerError(f"the broker acknowledged nothing for {self._stalled_s:g} s")

    def _is_finished(self) -> bool:
        if not self._stopping.is_set():
            return False
        idle = not (self._under_way or self._batches or self._outbox.has_more or self._notices_under_way)
        return (idle and self._responses.empty()) or time.monotonic() > self._stop_by_s
