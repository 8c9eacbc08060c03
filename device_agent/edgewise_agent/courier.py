"""Carries records from the outbox to the broker, over as many connections as it takes."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from edgewise_agent.backoff import Backoff
from edgewise_agent.broker import Connection
from edgewise_agent.errors import BrokerError
from edgewise_agent.outbox import Batch, Outbox
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.profile import Profile, Session

WINDOW = 8
"""Batches under way at once: enough to hide a mobile network's delay, and little to send again."""
TURN_S = 0.25
GOODBYE_S = 2.0
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


@dataclass
class _Parcel:
    """A batch on its way, and how many of its messages are not acknowledged yet."""

    batch: Batch
    since_s: float
    missing: int


@dataclass(frozen=True)
class _Sent:
    """Handed over; ``parcel`` is None for a message that carries no record."""

    message: Message
    parcel: _Parcel | None


class Courier:
    """A thread of its own, started and stopped once."""

    def __init__(
        self,
        outbox: Outbox,
        connect: Connect,
        profile: Profile,
        backoff: Backoff,
        *,
        on_connected: Callable[[], None] = lambda: None,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._outbox = outbox
        self._on_connected = on_connected
        self._connect = connect
        self._profile = profile
        self._backoff = backoff
        self._stalled_s = stalled_s
        self._batches: deque[Batch] = deque()
        self._sent: dict[int, _Sent] = {}
        self._early: set[int] = set()
        """Acknowledged before `publish` returned, as happens at QoS 0."""
        self._parcels: list[_Parcel] = []
        self._unsure: deque[tuple[float, Batch]] = deque()
        self._is_connected = False
        self._stopping = threading.Event()
        self._reason = ""
        self._stop_by_s = 0.0
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)

    def start(self) -> None:
        """Begin to connect and to send."""
        self._thread.start()

    def stop(self, *, reason: str, drain_s: float) -> None:
        """Send what can be sent within ``drain_s``, then the profile's farewell, then disconnect."""
        self._reason = reason
        self._stop_by_s = time.monotonic() + drain_s
        self._stopping.set()
        self._thread.join(drain_s + GOODBYE_S + 6.0)

    def _work(self) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                self._session()
            except BrokerError as error:
                if self._stopping.is_set():
                    log.warning("%s", error)
                    return
                self._backoff.connection_ended(time.monotonic() - began_s)
                wait_s = self._backoff.next_wait_s()
                # Two texts, so that limiting the many failed attempts does not hide a loss.
                if self._is_connected:
                    log.warning("%s; connecting again in %.1f s", error, wait_s)
                else:
                    log.warning("%s; next attempt in %.1f s", error, wait_s)
                self._stopping.wait(wait_s)
            except Exception as error:  # the thread must outlive whatever comes
                log.error(
                    "unexpected error while sending: %r", error, exc_info=log.isEnabledFor(logging.DEBUG)
                )
                self._stopping.wait(self._backoff.next_wait_s())

    def _session(self) -> None:
        self._forget_connection()
        session = self._profile.begin()
        opening = session.opening
        connection = self._connect(
            will=opening.will, on_acknowledged=self._acknowledged, on_message=session.heard
        )
        try:
            connection.connect()
            self._is_connected = True
            log.info("connected")
            self._on_connected()
            for topic in opening.subscriptions:
                connection.subscribe(topic)
            self._carry(connection, session)
        finally:
            connection.close()

    def _forget_connection(self) -> None:
        self._is_connected = False
        for under_way in (self._batches, self._sent, self._early, self._parcels, self._unsure):
            under_way.clear()
        self._outbox.release()

    def _carry(self, connection: Connection, session: Session) -> None:
        """Until stopped, or until the session wants to leave; raises BrokerError at the connection's end."""
        takes_records = True
        while not self._is_finished(takes_records):
            turn = session.due()
            for message in turn.messages:
                self._send(connection, message)
            takes_records = turn.takes_records
            if turn.leaves_because:
                self._say_goodbye(connection, session, turn.leaves_because, returns=True)
                raise BrokerError(turn.leaves_because)
            if takes_records:
                self._fill(connection, session)
            connection.run(TURN_S)
            self._settle_the_sure()
            self._check_progress()
        for message in session.due().messages:
            self._send(connection, message)
        if self._say_goodbye(connection, session, self._reason, returns=False):
            # The broker handles one client's packets in order: it had all of them before the farewell.
            self._settle_the_sure(all_of_them=True)

    def _say_goodbye(self, connection: Connection, session: Session, reason: str, *, returns: bool) -> bool:
        """True when the broker acknowledged all that was said."""
        for message in session.farewell(reason, returns=returns):
            self._send(connection, message)
        give_up_s = time.monotonic() + GOODBYE_S
        while self._notices_under_way() and time.monotonic() < give_up_s:
            connection.run(TURN_S)
        return not self._notices_under_way()

    def _fill(self, connection: Connection, session: Session) -> None:
        while len(self._parcels) < WINDOW:
            if not self._batches:
                if not self._outbox.has_more:
                    return
                self._batches.extend(self._outbox.lease())
                if not self._batches:
                    return
            batch = self._batches.popleft()
            messages = session.records(batch)
            parcel = _Parcel(batch, time.monotonic(), len(messages))
            self._parcels.append(parcel)
            for message in messages:
                self._send(connection, message, parcel)
            if not messages:
                self._delivered(parcel)

    def _send(self, connection: Connection, message: Message, parcel: _Parcel | None = None) -> None:
        number = connection.publish(message)
        self._sent[number] = _Sent(message, parcel)
        if number in self._early:
            self._early.discard(number)
            self._acknowledged(number)

    def _acknowledged(self, number: int) -> None:
        sent = self._sent.pop(number, None)
        if sent is None:
            self._early.add(number)
            return
        if sent.message.on_delivered is not None:
            sent.message.on_delivered()
        if sent.parcel is not None:
            sent.parcel.missing -= 1
            if not sent.parcel.missing:
                self._delivered(sent.parcel)

    def _delivered(self, parcel: _Parcel) -> None:
        self._parcels.remove(parcel)
        if self._profile.unsure_for_s:
            slim = replace(parcel.batch, bodies=())
            self._unsure.append((time.monotonic() + self._profile.unsure_for_s, slim))
        else:
            self._outbox.settle(parcel.batch)

    def _settle_the_sure(self, *, all_of_them: bool = False) -> None:
        now_s = time.monotonic()
        while self._unsure and (all_of_them or self._unsure[0][0] <= now_s):
            self._outbox.settle(self._unsure.popleft()[1])

    def _notices_under_way(self) -> bool:
        return any(sent.parcel is None for sent in self._sent.values())

    def _check_progress(self) -> None:
        oldest_s = min((parcel.since_s for parcel in self._parcels), default=None)
        if oldest_s is not None and time.monotonic() - oldest_s > self._stalled_s:
            raise BrokerError(f"the broker acknowledged nothing for {self._stalled_s:g} s")

    def _is_finished(self, takes_records: bool) -> bool:
        if not self._stopping.is_set():
            return False
        has_records = self._parcels or self._batches or self._outbox.has_more
        idle = not (self._notices_under_way() or (takes_records and has_records))
        return idle or time.monotonic() > self._stop_by_s
