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

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.errors import BrokerRefused

log = logging.getLogger(__name__)

QOS = 1
KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30


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


class Subscriber:
    """A persistent session: the broker keeps what we have not acknowledged, also while we are away.

    Nothing is acknowledged by itself; `acknowledge` does it, once the message is safe.
    """

    def __init__(
        self,
        url: BrokerUrl,
        *,
        client_id: str,
        filters: Sequence[str],
        on_message: Callable[[Message], None],
        keeps_session: bool = True,
    ) -> None:
        self.url = url
        self.connected = False
        self.trouble = ""
        """Why there is no connection, in words; empty while connected."""
        self._filters = filters
        self._deliver = on_message
        self._connection = 0
        self._answered = threading.Event()
        self._stopping = False
        # MQTT 3.1.1, which every broker speaks; its sessions do not expire while we are being upgraded.
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=not keeps_session,
            protocol=paho.MQTTv311,
            manual_ack=keeps_session,
        )
        self._client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        if url.user is not None:
            self._client.username_pw_set(url.user, url.password)
        if url.tls:
            self._client.tls_set()

    def start(self, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Connect and subscribe; raise BrokerRefused if that does not work now. Later losses mend themselves.

        Returns only when the broker has the subscriptions: what it acknowledges to a device from then on, it
        keeps for us.
        """
        try:
            self._client.connect(self.url.host, self.url.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BrokerRefused(
                f"broker {self.url}: {reason}; start the broker, or leave out --broker to have one started"
            ) from error
        self._client.loop_start()
        answered = self._answered.wait(timeout_s)
        if not (answered and self.connected) or self.trouble:
            silence = f"no answer within {timeout_s:.0f} s; is this an MQTT broker?"
            self.stop()
            raise BrokerRefused(f"broker {self.url}: {self.trouble if answered else silence}")

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that the message is ours now.

        Only on the connection that it came by: on a later one the broker sends it again, and the packet id
        may by then stand for another message.
        """
        if message.qos and message.connection == self._connection and self.connected:
            self._client.ack(message.packet_id, message.qos)

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()
        self.connected = False
        # paho closes its own pair of sockets when it is let go of, which these would put off.
        self._client.on_connect = self._client.on_disconnect = None
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
                log.info("broker %s: connected again", self.url)
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
            log.warning("broker %s: %s", self.url, self.trouble)
        self._answered.set()

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, reason: object, _props: object
    ) -> None:
        was_connected, self.connected = self.connected, False
        if not self._stopping:
            self.trouble = self.trouble or f"connection lost ({reason}), trying again"
            if was_connected:
                log.warning("broker %s: %s", self.url, self.trouble)

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

    def publish(self, topic: str, payload: bytes, *, wait_s: float = 0.0) -> None:
        """At least once, not retained; with ``wait_s`` wait so long for the broker to have it."""
        sent = self._client.publish(topic, payload, qos=QOS)
        if wait_s:
            sent.wait_for_publish(wait_s)
