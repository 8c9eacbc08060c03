"""Carries records from the outbox to the broker, over as many connections as it takes."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker import Connection
from edgewise_agent.connection.deliveries import Deliveries, Refusal
from edgewise_agent.errors import BrokerClosed, BrokerError, ConnectionOutdated
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.service.heartbeat import Beat, never_mind
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.profile import Profile, Session

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
        on_refused: Callable[[int, Refusal], None],
        on_message: Callable[[Message], None],
    ) -> Connection:
        """Raises BrokerError."""


class Courier:
    """A thread of its own, started and stopped once."""

    def __init__(
        self,
        outbox: Outbox,
        connect: Connect,
        profile: Profile,
        backoff: Backoff,
        *,
        stalled_s: float = STALLED_S,
        beat: Beat = never_mind,
        on_connection: Callable[[bool, str], None] = lambda connected, why: None,
    ) -> None:
        """``beat`` hears that the thread lives, ``on_connection`` whether it is connected, and why not."""
        self._beat, self._on_connection = beat, on_connection
        self._deliveries = Deliveries(outbox, unsure_for_s=profile.unsure_for_s)
        self._connect = connect
        self._profile = profile
        self._backoff = backoff
        self._stalled_s = stalled_s
        self._notices: dict[int, Message] = {}
        self._early: set[int] = set()
        """Acknowledged before `publish` returned, as happens at QoS 0."""
        self._is_connected = self._works = False
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
            self._beat(LONGEST_STEP_S)
            try:
                self._session()
            except ConnectionOutdated as error:
                log.info("%s", error)
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
        self._is_connected = self._works = False
        self._notices.clear()
        self._early.clear()
        self._deliveries.begin()
        session = self._profile.begin()
        opening = session.opening
        connection = self._connect(
            will=opening.will,
            on_acknowledged=self._acknowledged,
            on_refused=self._refused,
            on_message=session.heard,
        )
        try:
            connection.connect()
            self._is_connected = True
            log.info("connected")
            self._on_connection(True, "")
            for topic in opening.subscriptions:
                connection.subscribe(topic)
            self._carry(connection, session)
        except ConnectionOutdated as error:
            self._say_goodbye(connection, session, str(error), returns=True)
            raise
        except BrokerClosed:
            if self._works:
                self._deliveries.ended_by_broker()
            raise
        finally:
            connection.close()

    def _carry(self, connection: Connection, session: Session) -> None:
        """Until stopped, or until the session wants to leave; raises BrokerError at the connection's end."""
        takes_records = True
        while not self._is_finished(takes_records):
            turn = session.due()
            for message in turn.messages:
                self._tell(connection, message)
            takes_records = turn.takes_records
            if turn.leaves_because:
                self._say_goodbye(connection, session, turn.leaves_because, returns=True)
                raise BrokerError(turn.leaves_because)
            self._beat(LONGEST_STEP_S)
            if takes_records:
                self._deliveries.fill(
                    lambda batch: self._publish(connection, session.records(batch)),
                    hurry=self._stopping.is_set(),
                )
            connection.run(TURN_S)
            self._deliveries.settle_the_sure()
            self._check_progress()
        for message in session.due().messages:
            self._tell(connection, message)
        if self._say_goodbye(connection, session, self._reason, returns=False):
            # The broker handles one client's packets in order: it had all of them before the farewell.
            self._deliveries.settle_the_sure(all_of_them=True)

    def _say_goodbye(self, connection: Connection, session: Session, reason: str, *, returns: bool) -> bool:
        """True when the broker acknowledged all that was said."""
        for message in session.farewell(reason, returns=returns):
            self._tell(connection, message)
        give_up_s = time.monotonic() + GOODBYE_S
        while self._notices and time.monotonic() < give_up_s:
            try:
                connection.run(TURN_S)
            except ConnectionOutdated:
                continue
        return not self._notices

    def _publish(self, connection: Connection, messages: Iterable[Message]) -> list[int]:
        """The numbers still to be acknowledged."""
        numbers = [connection.publish(message) for message in messages]
        waiting = [number for number in numbers if number not in self._early]
        self._early.difference_update(numbers)
        return waiting

    def _tell(self, connection: Connection, message: Message) -> None:
        number = connection.publish(message)
        self._notices[number] = message
        if number in self._early:
            self._early.discard(number)
            self._acknowledged(number)

    def _acknowledged(self, number: int) -> None:
        self._works = True
        notice = self._notices.pop(number, None)
        if notice is not None:
            if notice.on_delivered is not None:
                notice.on_delivered()
        elif not self._deliveries.acknowledged(number):
            self._early.add(number)

    def _refused(self, number: int, refusal: Refusal) -> None:
        if self._notices.pop(number, None) is not None:
            log.error("the broker refuses a notice of this device: %s", refusal.reason)
        self._deliveries.refused(number, refusal)

    def _check_progress(self) -> None:
        if self._deliveries.oldest_wait_s > self._stalled_s:
            raise BrokerError(f"the broker acknowledged nothing for {self._stalled_s:g} s")

    def _is_finished(self, takes_records: bool) -> bool:
        if not self._stopping.is_set():
            return False
        idle = not self._notices and (self._deliveries.is_idle or not takes_records)
        return idle or time.monotonic() > self._stop_by_s
