"""One connection to an MQTT broker, and with broker_answers.py the only place that knows paho-mqtt.

A connection is used once: after it ends a new one is made, so that nothing lives on in paho's own queue.
All of it runs on the thread that calls `run`.
"""

import contextlib
import logging
import select
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edgewise_agent.connection.broker_answers import (
    CONNECT_TIMEOUT_S,
    means_other_version,
    name_of,
    refusal_of,
    why,
)
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.deliveries import Refusal
from edgewise_agent.connection.tls_files import TlsFiles, read_password
from edgewise_agent.errors import (
    BrokerClosed,
    BrokerError,
    BrokerRefused,
    MessageUnsendable,
    OtherProtocol,
)
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.message import AT_LEAST_ONCE, AT_MOST_ONCE, Message

_TURN_S = 0.1
_PUBLISH_OVERHEAD_BYTES = 16
"""At most: 5 for the fixed header, 2 each for the lengths of topic and packet id, 1 for no properties."""
_RECEIVE_MAXIMUM = 65_535
"""Publishes under way that a broker takes unless it says otherwise (MQTT 5, 3.2.2.3.3)."""
_MAY_WANT_CERTIFICATE = "; does it ask for a device's certificate (broker.cert_file)?"
"""With TLS 1.3 a broker that misses one says so after the handshake, and paho does not pass that on."""

log = logging.getLogger("edgewise.agent.broker")


class Connection(Protocol):
    """What the courier asks of a connection."""

    def connect(self) -> None:
        """Raises BrokerError or BrokerRefused."""

    def subscribe(self, topic: str) -> None:
        """Hear what is published on ``topic``."""

    def publish(self, message: Message) -> int:
        """Send; the number comes back through ``on_acknowledged`` or ``on_refused``.

        At QoS 0 once it is handed to the network, so maybe before this returns. Raises MessageUnsendable for one
        that this broker would never take.
        """

    def run(self, timeout_s: float) -> None:
        """Move bytes and call back, for at most ``timeout_s``. Raises BrokerError at the connection's end."""

    def close(self) -> None:
        """Say goodbye, so that the Last Will is not sent, and let go of the socket."""


class BrokerConnection:
    """A Connection through paho-mqtt, MQTT 5 or 3.1.1, that keeps no session at the broker."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        url: BrokerUrl | None = None,
        tls: ssl.SSLContext | None = None,
        protocol: str = "3.1.1",
        will: Message | None = None,
        on_acknowledged: Callable[[int], None] = lambda number: None,
        on_refused: Callable[[int, Refusal], None] = lambda number, refusal: None,
        on_message: Callable[[Message], None] = lambda message: None,
    ) -> None:
        """``url`` is the first of the settings if not given, ``tls`` what the settings' files say.

        Raises BrokerError when a password or certificate file cannot be read.
        """
        self._url = url or settings.url[0]
        self._keepalive_s = settings.keepalive_s
        self._shows_certificate = settings.cert_file is not None
        self._on_acknowledged, self._on_refused, self._on_message = on_acknowledged, on_refused, on_message
        self._answer: ReasonCode | None = None
        self._farewell: ReasonCode | None = None
        self._count = 0
        self._numbers: dict[int, int] = {}
        """Our number of each publish under way, by its packet id."""
        self._held: deque[tuple[int, Message]] = deque()
        """Publishes beyond what the broker takes at once."""
        self._receive_maximum = _RECEIVE_MAXIMUM
        self._largest_bytes: int | None = None
        self._client = self._make_client(client_id, protocol)
        if settings.username:
            self._client.username_pw_set(settings.username, read_password(settings))
        if self._url.is_tls:
            self._client.tls_set_context(tls or TlsFiles(settings).context())
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=will.qos, retain=will.retain)

    @property
    def url(self) -> BrokerUrl:
        """Of this broker."""
        return self._url

    def _make_client(self, client_id: str, protocol: str) -> mqtt.Client:
        is_5 = protocol == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if is_5 else True,
            protocol=mqtt.MQTTv5 if is_5 else mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_publish, client.on_message = self._published, self._received
        client.on_subscribe = self._subscribed
        return client

    def connect(self) -> None:
        """Connect and wait for the broker's answer."""
        try:
            self._client.connect(self._url.host, self._url.port, self._keepalive_s)
        except (OSError, ValueError) as error:
            raise BrokerError(f"broker {self._url}: {why(error)}") from error
        give_up = time.monotonic() + CONNECT_TIMEOUT_S
        while self._answer is None:
            code = self._turn(_TURN_S)
            if self._answer is None and code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise OtherProtocol(
                    f"broker {self._url}: closed the connection instead of answering ({name_of(code)})"
                    + ("" if self._shows_certificate or not self._url.is_tls else _MAY_WANT_CERTIFICATE)
                )
            if time.monotonic() > give_up:
                raise BrokerError(
                    f"broker {self._url}: no answer within {CONNECT_TIMEOUT_S:g} s; is it MQTT?"
                )
        if means_other_version(self._answer):
            raise OtherProtocol(f"broker {self._url}: does not speak this version of MQTT")
        if self._answer.is_failure:
            raise BrokerRefused(f"broker {self._url}: refused the connection: {self._answer}")

    def subscribe(self, topic: str) -> None:
        """Hear what is published on ``topic``."""
        self._client.subscribe(topic, qos=AT_LEAST_ONCE)

    def publish(self, message: Message) -> int:
        """Send and return the number to expect in ``on_acknowledged`` or ``on_refused``."""
        size = len(message.payload) + len(message.topic.encode()) + _PUBLISH_OVERHEAD_BYTES
        if self._largest_bytes is not None and size > self._largest_bytes:
            raise MessageUnsendable(f"{size} bytes, and the broker takes at most {self._largest_bytes}")
        self._count += 1
        if len(self._numbers) >= self._receive_maximum:
            self._held.append((self._count, message))
        else:
            self._send(self._count, message)
        return self._count

    def run(self, timeout_s: float) -> None:
        """One turn of the network."""
        code = self._turn(timeout_s)
        while self._held and len(self._numbers) < self._receive_maximum:
            self._send(*self._held.popleft())
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._ended(code)

    def close(self) -> None:
        """Disconnect if connected."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._turn(_TURN_S)
        # The callbacks point back here; without them both go at once, and not when the collector comes by.
        self._client.on_connect = self._client.on_publish = self._client.on_disconnect = None
        self._client.on_message = self._client.on_subscribe = None

    def _send(self, number: int, message: Message) -> None:
        info = self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._ended(info.rc)
        if message.qos == AT_MOST_ONCE and info.is_published():
            # paho has called back before the packet id could be noted.
            self._on_acknowledged(number)
        else:
            self._numbers[info.mid] = number

    def _ended(self, code: MQTTErrorCode) -> BrokerError:
        by_broker = code in (MQTTErrorCode.MQTT_ERR_CONN_LOST, MQTTErrorCode.MQTT_ERR_NO_CONN)
        reason = str(self._farewell) if self._farewell is not None else name_of(code)
        kind = BrokerClosed if by_broker else BrokerError
        return kind(f"broker {self._url}: the connection ended ({reason})")

    def _turn(self, timeout_s: float) -> MQTTErrorCode:
        """What paho recommends over its own loop(), which opens another pair of sockets per client."""
        client_socket: Any = self._client.socket()
        if client_socket is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        has_decrypted = self._url.is_tls and client_socket.pending() > 0
        wants_to_write = [client_socket] if self._client.want_write() else []
        wait_s = 0.0 if has_decrypted else timeout_s
        readable, writable, _ = select.select([client_socket], wants_to_write, [], wait_s)
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        if readable or has_decrypted:
            code = self._client.loop_read()
        if writable and code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            code = self._client.loop_write()
        return code or self._client.loop_misc()

    def _connected(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._answer = reason
        self._receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self._largest_bytes = getattr(properties, "MaximumPacketSize", None)

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._farewell = reason

    def _published(self, client: Any, data: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        number = self._numbers.pop(mid, None)
        if number is None:
            return
        if reason.is_failure:
            self._on_refused(number, refusal_of(reason))
        else:
            self._on_acknowledged(number)

    def _received(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        self._on_message(Message(message.topic, bytes(message.payload), message.retain))

    def _subscribed(
        self, client: Any, data: Any, number: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.warning("broker %s: the subscription to commands is not allowed", self._url)
