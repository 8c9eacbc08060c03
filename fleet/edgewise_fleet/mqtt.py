"""Connections that speak and listen, for commands and for Sparkplug: the only file that knows paho."""

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_fleet.broker_url import BrokerUrl, NodeTurns
from edgewise_fleet.errors import BrokerRefused
from edgewise_fleet.message import Message

log = logging.getLogger(__name__)

QOS = 1
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30


@dataclass(frozen=True)
class LastWill:
    """What the broker publishes, retained, when it loses the connection."""

    topic: str
    payload: bytes


class Subscriber:
    """A session that ends with it; what is heard counts as taken. What a collector hears, see `receiving`.

    Of a cluster's nodes it is connected to one, and goes to the next when that one is lost.
    """

    def __init__(
        self,
        url: BrokerUrl,
        *,
        client_id: str,
        filters: Sequence[str],
        on_message: Callable[[Message], None],
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
        self._answered = threading.Event()
        self._stopping = False
        self._client_id = client_id
        self._client = self._new_client()

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, clean_session=True, protocol=paho.MQTTv311
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

        Of several nodes each is tried once.
        """
        for left in reversed(range(len(self._turns))):
            try:
                self._start_at_node(timeout_s)
                return
            except BrokerRefused as error:
                if not left:
                    raise
                log.warning("%s; trying %s", error, self._turns.next())
                self._stopping, self.trouble = False, ""
                self._answered.clear()
                self._client = self._new_client()

    def _start_at_node(self, timeout_s: float) -> None:
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
        if not (self._answered.is_set() and self.connected) or self.trouble:
            silence = f"no answer within {timeout_s:.0f} s; is this an MQTT broker?"
            self.stop()
            raise BrokerRefused(f"broker {node}: {self.trouble if self._answered.is_set() else silence}")

    def _aim(self, client: paho.Client, node: BrokerUrl) -> None:
        """The client's next connection goes to this node."""
        client.username_pw_set(node.user, node.password)
        client.connect_async(node.host, node.port, keepalive=KEEPALIVE_S)

    def _turn_to_next(self, client: paho.Client) -> None:
        """After the loss of a node or a vain attempt; while starting, `start` itself goes from node to node."""
        if self._connection and len(self._turns) > 1:
            self._aim(client, self._turns.next())

    def publish(
        self, topic: str, payload: bytes, *, qos: int = QOS, retain: bool = False, wait_s: float = 0.0
    ) -> None:
        """Publish, and wait so long for the broker to have it; without a connection it is not published."""
        sent = self._client.publish(topic, payload, qos=qos, retain=retain)
        if wait_s and sent.rc == paho.MQTT_ERR_SUCCESS:
            sent.wait_for_publish(wait_s)

    def stop(self) -> None:
        """Disconnect."""
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
        if getattr(reason, "is_failure", False):
            self.trouble = (
                f"refused us: {reason}; check user and password in --broker mqtt://user:password@host"
            )
        else:
            if self._connection:
                log.info("broker %s: connected again", self._turns.node)
            self._connection += 1
            self.connected, self.trouble = True, ""
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
        elif self._on_ready is not None:
            self._on_ready()
        self._answered.set()

    def _on_disconnect(
        self, client: paho.Client, _data: object, _flags: object, reason: object, _props: object
    ) -> None:
        was_connected, self.connected = self.connected, False
        if not self._stopping:
            self._set_will(client)
            self.trouble = self.trouble or f"connection lost ({reason}), trying again"
            if was_connected:
                log.warning("broker %s: %s", self._turns.node, self.trouble)
            self._turn_to_next(client)

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

    sender = CommandLink(url, answers=[answers], on_message=look)
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

    def __init__(
        self, url: BrokerUrl, *, answers: Sequence[str], on_message: Callable[[Message], None]
    ) -> None:
        """``answers`` are the filters to listen to."""
        client_id = f"edgewise-command-{secrets.token_hex(6)}"
        super().__init__(url, client_id=client_id, filters=answers, on_message=on_message)
