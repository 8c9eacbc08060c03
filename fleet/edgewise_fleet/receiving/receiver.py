"""The collector's subscription: a session that the broker keeps, heard by a thread that mends its connection."""

import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from edgewise_fleet.broker_url import BrokerUrl, NodeTurns
from edgewise_fleet.errors import BrokerRefused
from edgewise_fleet.message import Message
from edgewise_fleet.receiving.connection import Connection, ConnectionEnded
from edgewise_fleet.receiving.packets import V5, V311, encode_acknowledgements

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
SILENCE_S = 3.0
"""How long a broker may think about a version of MQTT that it may not know."""
RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 30.0
RECEIVE_MAXIMUM = 10_000
"""Messages that the broker may send before the first of them is acknowledged: what bounds our memory when the store
is slow, and two full commits' worth, so that a fast store never waits for the broker (MQTT 5, 3.1.2.11.3)."""
IDLE_S = 1.0
FULL_S = 0.25
"""How often is looked whether there is room again; an acknowledgement says so sooner."""
GOODBYE_S = 5.0


class Receiver:
    """Hears messages in pieces and acknowledges nothing by itself; `acknowledge` does it, once they are safe.

    Of a cluster's nodes it is connected to one, and goes to the next when that one is lost: they are to hold the
    session in common.
    """

    def __init__(
        self,
        url: BrokerUrl,
        *,
        client_id: str,
        filters: Sequence[str],
        on_messages: Callable[[list[Message]], None],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """``on_messages`` must not wait; while not ``has_room`` nothing is read."""
        self.url = url
        self._turns = NodeTurns(url)
        self.connected = False
        self.trouble = ""
        """Why there is no connection, in words; empty while connected."""
        self._client_id = client_id
        self._filters = filters
        self._deliver = on_messages
        self._has_room = has_room
        self._level = V5
        self._connection = 0
        self._safe: deque[tuple[int, list[int]]] = deque()
        """Packet ids to acknowledge, each list with the connection that they came by."""
        self._stopping = threading.Event()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._thread: threading.Thread | None = None

    def start(self, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Connect and subscribe; raise BrokerRefused if that does not work now. Later losses mend themselves.

        Returns only when the broker has the subscriptions: what it acknowledges to a device from then on, it
        keeps for us. Of several nodes each is tried once.
        """
        try:
            connection = self._open_at_some_node(timeout_s)
        except BaseException:
            self._close_wakers()
            raise
        self._thread = threading.Thread(target=self._run, args=[connection], name="receiver", daemon=True)
        self._thread.start()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that the messages are ours now.

        Only on the connection that they came by: on a later one the broker sends them again, and a packet id
        may by then stand for another message.
        """
        current = self._connection
        ids = [one.packet_id for one in messages if one.qos and one.connection == current]
        self._safe.append((current, ids))
        self._wake_up()

    def stop(self) -> None:
        """Send the acknowledgements, then disconnect; the broker keeps the session."""
        self._stopping.set()
        self._wake_up()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._close_wakers()
        self.connected = False

    def _open_at_some_node(self, timeout_s: float) -> Connection:
        for _ in range(len(self._turns) - 1):
            try:
                return self._open_at_node(timeout_s)
            except BrokerRefused as error:
                log.warning("%s; trying %s", error, self._turns.next())
        return self._open_at_node(timeout_s)

    def _open_at_node(self, timeout_s: float) -> Connection:
        try:
            return self._open_in_some_version(timeout_s)
        except ConnectionEnded as error:
            raise BrokerRefused(f"broker {self._turns.node}: {error}") from error
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise BrokerRefused(
                f"broker {self._turns.node}: {said}; start the broker, or leave out --broker to have one started"
            ) from error

    def _open_in_some_version(self, timeout_s: float) -> Connection:
        """MQTT 5, for its receive maximum and shared subscriptions; 3.1.1 where the broker speaks no other."""
        self._level = V5
        try:
            return self._open(V5, min(timeout_s, SILENCE_S))
        except _OtherVersion:
            pass
        if any(name.startswith("$share/") for name in self._filters):
            raise ConnectionEnded(
                "speaks no MQTT 5, which --share needs; leave out --share, or use another broker"
            )
        log.info("broker %s: speaks no MQTT 5, using 3.1.1", self._turns.node)
        self._level = V311
        try:
            return self._open(V311, timeout_s)
        except _OtherVersion as error:
            raise ConnectionEnded(str(error)) from error

    def _open(self, level: int, timeout_s: float) -> Connection:
        """A connection whose subscriptions stand. Raises OSError, ConnectionEnded, _OtherVersion."""
        number = self._connection + 1
        node = self._turns.node
        connection = Connection(node, level=level, number=number, timeout_s=timeout_s, wake=self._wake)
        # Before the first message comes, which may be right behind the welcome: it shall be acknowledged.
        self._connection = number
        try:
            connection.greet(node, client_id=self._client_id, receive_maximum=RECEIVE_MAXIMUM)
            self._await_welcome(connection, timeout_s)
            connection.subscribe(self._filters)
            self._await_subscriptions(connection, timeout_s)
        except ConnectionEnded as error:
            connection.close()
            if connection.welcome is None or connection.refused_filter or len(self._turns) == 1:
                raise
            # RabbitMQ does so where the queue of the session is on a node that is away, and on that only.
            raise ConnectionEnded(
                f"{error} before it took our subscriptions; does each node hold the session?"
            ) from error
        except BaseException:
            connection.close()
            raise
        self.connected, self.trouble = True, ""
        return connection

    def _await_welcome(self, connection: Connection, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        try:
            while connection.welcome is None:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._stopping.is_set():
                    # amqtt meets MQTT 5 with silence.
                    raise _OtherVersion(f"no answer within {timeout_s:.0f} s; is this an MQTT broker?")
                self._deliver_all(connection.turn(wait_s=left_s))
        except ConnectionEnded as error:
            # Some brokers hang up on a version that they do not know.
            raise _OtherVersion(str(error)) from error
        if connection.welcome.is_other_version:
            raise _OtherVersion(connection.welcome.refusal)
        if connection.welcome.refusal:
            raise ConnectionEnded(
                f"refused us: {connection.welcome.refusal};"
                " check user and password in --broker mqtt://user:password@host"
            )

    def _await_subscriptions(self, connection: Connection, timeout_s: float) -> None:
        left_s = timeout_s
        while connection.refused_filter is None:
            if left_s <= 0 or self._stopping.is_set():
                raise ConnectionEnded(f"no answer to our subscriptions within {timeout_s:.0f} s")
            began, reads = time.monotonic(), self._has_room()
            self._take_turn(connection, wait_s=min(IDLE_S, left_s))
            # The answer may stand behind messages that there is no room for.
            left_s -= time.monotonic() - began if reads else 0.0
        if connection.refused_filter:
            raise ConnectionEnded(
                f"does not let us listen: {connection.refused_filter};"
                " check its access rules for the user in --broker"
            )

    def _run(self, connection: Connection) -> None:
        try:
            current: Connection | None = connection
            while current is not None:
                self._listen(current)
                current = self._open_again()
        except Exception as error:
            # Nobody waits for this thread: without this its end would look like silent devices.
            log.exception("the receiver ended")
            self.trouble = f"receiver ended by {error!r}; restart the server, the broker keeps what arrives"
        finally:
            self.connected = False

    def _listen(self, connection: Connection) -> None:
        """Until the connection is lost, or we leave."""
        try:
            while not self._stopping.is_set():
                self._take_turn(connection)
            self._send_safe(connection)
            connection.leave(timeout_s=GOODBYE_S)
        except ConnectionEnded as error:
            self.connected = False
            self.trouble = f"connection lost ({error}), trying again"
            log.warning("broker %s: %s", self._turns.node, self.trouble)
            self._turns.next()
        finally:
            connection.close()

    def _take_turn(self, connection: Connection, *, wait_s: float = IDLE_S) -> None:
        reads = self._has_room()
        self._deliver_all(connection.turn(wait_s=wait_s if reads else FULL_S, reads=reads))
        self._send_safe(connection)

    def _deliver_all(self, messages: list[Message]) -> None:
        if messages:
            self._deliver(messages)

    def _send_safe(self, connection: Connection) -> None:
        while self._safe:
            number, ids = self._safe.popleft()
            if ids and number == connection.number:
                connection.send(encode_acknowledgements(ids))

    def _open_again(self) -> Connection | None:
        """A new connection, however long it takes; None when stopped before."""
        wait_s = RECONNECT_MIN_S
        while not self._stopping.wait(wait_s * random.uniform(0.5, 1.0)):
            try:
                connection = self._open(self._level, CONNECT_TIMEOUT_S)
            except (OSError, ConnectionEnded, _OtherVersion) as error:
                said = getattr(error, "strerror", None) or error
                self.trouble = f"connection lost ({said}), trying again"
                log.debug("broker %s: %s", self._turns.node, self.trouble)
                self._turns.next()
                wait_s = min(RECONNECT_MAX_S, wait_s * 2)
                continue
            log.info("broker %s: connected again", self._turns.node)
            return connection
        return None

    def _wake_up(self) -> None:
        # Where that is not possible it is awake already, or gone.
        with suppress(OSError):
            self._waker.send(b"\0")

    def _close_wakers(self) -> None:
        self._wake.close()
        self._waker.close()


class _OtherVersion(Exception):
    """The broker may not know our version of MQTT."""
