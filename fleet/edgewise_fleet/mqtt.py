"""The MQTT connection of the collector: the only file that knows paho."""

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgewise_fleet.broker_url import BrokerUrl, NodeTurns
from edgewise_fleet.errors import BrokerRefused

log = logging.getLogger(__name__)

QOS = 1
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30
RECEIVE_MAXIMUM = 5_000
"""Messages that the broker may send before the first of them is acknowledged: what bounds our memory when the store
is slow, and a few commits' worth, so that a fast store never waits for the broker (MQTT 5, 3.1.2.11.3)."""
NEVER_EXPIRES = 0xFFFFFFFF
"""MQTT 5, 3.1.2.11.2."""
UNSUPPORTED_VERSION = 132
SILENCE_S = 3.0
"""How long a broker may think about a version of MQTT that it may not know."""


@dataclass(frozen=True)
class Message:
    """One publish as it came in; `connection` tells the connection whose acknowledgement it waits for."""

    topic: str
    payload: bytes
    retained: bool
    received_ms: int
    packet_id: int
    qos: int
    connection: int


@dataclass(frozen=True)
class LastWill:
    """What the broker publishes, retained, when it loses the connection."""

    topic: str
    payload: bytes


class Subscriber:
    """A persistent session: the broker keeps what we have not acknowledged, also while we are away.

    Nothing is acknowledged by itself; `acknowledge` does it, once the message is safe. Of a cluster's nodes it is
    connected to one, and goes to the next when that one is lost: they are to hold the session in common.
    """

    def __init__(
        self,
        url: BrokerUrl,
        *,
        client_id: str,
        filters: Sequence[str],
        on_message: Callable[[Message], None],
        keeps_session: bool = True,
        will: Callable[[], LastWill] | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        """``will`` is asked before each connection, ``on_ready`` called when its subscriptions stand."""
        self.url = url
        self._turns = NodeTurns(url)
        self.connected = False
        self.trouble = ""
        """Why there is no connection, in words; empty while connected."""
        self._filters = filters
        self._deliver = on_message
        self._will = will
        self._on_ready = on_ready
        self._connection = 0
        self._stands = False
        """Whether the broker has confirmed the subscriptions of this connection."""
        self._answered = threading.Event()
        self._stopping = False
        self._hung_up = False
        """Whether the broker left before it said anything, or did not know our version of MQTT."""
        self._client_id = client_id
        self._keeps_session = keeps_session
        self._speaks_5 = keeps_session
        self._client = self._new_client()

    def _new_client(self) -> paho.Client:
        """MQTT 5, for its receive maximum and shared subscriptions; 3.1.1 where the broker speaks no other."""
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if self._speaks_5 else not self._keeps_session,
            protocol=paho.MQTTv5 if self._speaks_5 else paho.MQTTv311,
            manual_ack=self._keeps_session,
        )
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._turn_to_next(client)
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        if self.url.tls:
            client.tls_set()
        self._set_will(client)
        return client

    def _set_will(self, client: paho.Client) -> None:
        if self._will is not None:
            will = self._will()
            client.will_set(will.topic, will.payload, qos=QOS, retain=True)

    def start(self, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Connect and subscribe; raise BrokerRefused if that does not work now. Later losses mend themselves.

        Returns only when the broker has the subscriptions: what it acknowledges to a device from then on, it
        keeps for us. Of several nodes each is tried once.
        """
        for left in reversed(range(len(self._turns))):
            try:
                self._start_at_node(timeout_s)
                return
            except BrokerRefused as error:
                if not left:
                    raise
                log.warning("%s; trying %s", error, self._turns.next())
                self._begin_anew(speaks_5=self._keeps_session)

    def _start_at_node(self, timeout_s: float) -> None:
        self._connect(min(timeout_s, SILENCE_S) if self._speaks_5 else timeout_s)
        # amqtt meets MQTT 5 with silence.
        if self._speaks_5 and not self.connected and (self._hung_up or not self._answered.is_set()):
            self._fall_back(timeout_s)
        if not (self._answered.is_set() and self.connected) or self.trouble:
            silence = f"no answer within {timeout_s:.0f} s; is this an MQTT broker?"
            self.stop()
            why = self.trouble if self._answered.is_set() else silence
            raise BrokerRefused(f"broker {self._turns.node}: {why}")

    def _fall_back(self, timeout_s: float) -> None:
        """To 3.1.1, which has no shared subscriptions."""
        if any(name.startswith("$share/") for name in self._filters):
            self.stop()
            raise BrokerRefused(
                f"broker {self._turns.node}: speaks no MQTT 5, which --share needs; leave out --share,"
                " or use another broker"
            )
        log.info("broker %s: speaks no MQTT 5, using 3.1.1", self._turns.node)
        self.stop()
        self._begin_anew(speaks_5=False)
        self._connect(timeout_s)

    def _begin_anew(self, *, speaks_5: bool) -> None:
        self._stopping, self._speaks_5, self.trouble = False, speaks_5, ""
        self._hung_up = False
        self._answered.clear()
        self._client = self._new_client()

    def _connect(self, timeout_s: float) -> None:
        node = self._turns.node
        self._aim(self._client, node)
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BrokerRefused(
                f"broker {node}: {reason}; start the broker, or leave out --broker to have one started"
            ) from error
        self._client.loop_start()
        self._answered.wait(timeout_s)

    def _aim(self, client: paho.Client, node: BrokerUrl) -> None:
        """The client's next connection goes to this node."""
        client.username_pw_set(node.user, node.password)
        if self._speaks_5:
            wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # the library has no types there
            wishes.SessionExpiryInterval = NEVER_EXPIRES
            wishes.ReceiveMaximum = RECEIVE_MAXIMUM
            client.connect_async(
                node.host, node.port, keepalive=KEEPALIVE_S, clean_start=False, properties=wishes
            )
        else:
            client.connect_async(node.host, node.port, keepalive=KEEPALIVE_S)

    def _turn_to_next(self, client: paho.Client) -> None:
        """After the loss of a node or a vain attempt; while starting, `start` itself goes from node to node."""
        if self._connection and len(self._turns) > 1:
            self._aim(client, self._turns.next())

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that the message is ours now.

        Only on the connection that it came by: on a later one the broker sends it again, and the packet id
        may by then stand for another message.
        """
        if message.qos and message.connection == self._connection and self.connected:
            self._client.ack(message.packet_id, message.qos)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = QOS, retain: bool = False, wait_s: float = 0.0
    ) -> None:
        """Publish, and wait so long for the broker to have it; without a connection it is not published."""
        sent = self._client.publish(topic, payload, qos=qos, retain=retain)
        if wait_s and sent.rc == paho.MQTT_ERR_SUCCESS:
            sent.wait_for_publish(wait_s)

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()
        self.connected = False
        # paho closes its own pair of sockets when it is let go of, which these would put off.
        self._client.on_connect = self._client.on_disconnect = self._client.on_connect_fail = None
        self._client.on_subscribe = self._client.on_message = None

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: object, _props: object
    ) -> None:
        self._hung_up = getattr(reason, "value", 0) == UNSUPPORTED_VERSION
        if getattr(reason, "is_failure", False):
            self.trouble = (
                f"refused us: {reason}; check user and password in --broker mqtt://user:password@host"
            )
        else:
            if self._connection:
                log.info("broker %s: connected again", self._turns.node)
            self._connection += 1
            self.connected, self.trouble, self._stands = True, "", False
            if self._speaks_5:
                client.subscribe([(name, SubscribeOptions(qos=QOS)) for name in self._filters])
            else:
                client.subscribe([(name, QOS) for name in self._filters])
            return
        self._answered.set()

    def _on_subscribe(
        self, _client: object, _data: object, _id: int, reasons: Sequence[object], _props: object
    ) -> None:
        refused = [str(reason) for reason in reasons if getattr(reason, "is_failure", False)]
        if refused:
            self.trouble = (
                f"does not let us listen: {refused[0]}; check its access rules for the user in --broker"
            )
            log.warning("broker %s: %s", self._turns.node, self.trouble)
        else:
            self._stands = True
            if self._on_ready is not None:
                self._on_ready()
        self._answered.set()

    def _on_disconnect(
        self, client: paho.Client, _data: object, _flags: object, reason: object, _props: object
    ) -> None:
        was_connected, self.connected = self.connected, False
        if not self._connection and self._speaks_5 and not self._answered.is_set():
            self._hung_up = True
            self._answered.set()
        if not self._stopping:
            self._set_will(client)
            self.trouble = self.trouble or f"{self._loss(reason)}, trying again"
            if was_connected:
                log.warning("broker %s: %s", self._turns.node, self.trouble)
            self._turn_to_next(client)

    def _loss(self, reason: object) -> str:
        if self._stands or len(self._turns) == 1:
            return f"connection lost ({reason})"
        # RabbitMQ does so where the queue of the session is on a node that is away, and on that only.
        return "ended the connection before it took our subscriptions (does each node hold the session?)"

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(bytes(message._topic))
        self._deliver(
            Message(
                topic=topic,
                payload=bytes(message.payload),
                retained=message.retain,
                received_ms=time.time_ns() // 1_000_000,
                packet_id=message.mid,
                qos=message.qos,
                connection=self._connection,
            )
        )


def exchange(
    url: BrokerUrl,
    *,
    topic: str,
    payload: bytes,
    answers: str,
    is_answer: Callable[[bytes], bool],
    timeout_s: float,
) -> bytes | None:
    """Publish once and wait for the message on ``answers`` that is the answer; None when none came in time.

    Subscribes first, so that no answer is missed. Raises BrokerRefused.
    """
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def look(message: Message) -> None:
        if is_answer(message.payload):
            found.put(message.payload)

    sender = CommandLink(url, answers=answers, on_message=look)
    sender.start()
    try:
        sender.publish(topic, payload, wait_s=CONNECT_TIMEOUT_S)
        return found.get(timeout=timeout_s)
    except queue.Empty:
        return None
    finally:
        sender.stop()


class CommandLink(Subscriber):
    """Sends commands and hears responses; its session ends with it."""

    def __init__(self, url: BrokerUrl, *, answers: str, on_message: Callable[[Message], None]) -> None:
        client_id = f"edgewise-command-{secrets.token_hex(6)}"
        super().__init__(
            url, client_id=client_id, filters=[answers], on_message=on_message, keeps_session=False
        )
