"""One connection to an MQTT broker, and the only place that knows paho-mqtt.

A connection is used once: after it ends a new one is made, so that nothing lives on in paho's own queue.
All of it runs on the thread that calls `run`.
"""

import contextlib
import logging
import select
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edgewise_agent.config import BrokerSettings
from edgewise_agent.errors import BrokerError, BrokerRefused
from edgewise_agent.wire.message import AT_LEAST_ONCE, Message

CONNECT_TIMEOUT_S = 5.0
_TURN_S = 0.1

log = logging.getLogger("edgewise.agent.broker")


class Connection(Protocol):
    """What the courier asks of a connection."""

    def connect(self) -> None:
        """Raises BrokerError or BrokerRefused."""

    def subscribe(self, topic: str) -> None:
        """Hear what is published on ``topic``."""

    def publish(self, message: Message) -> int:
        """Send; the number comes back through ``on_acknowledged``.

        At QoS 1 with the broker's acknowledgement; at QoS 0 once it is handed to the network, so maybe before
        this returns.
        """

    def run(self, timeout_s: float) -> None:
        """Move bytes and call back, for at most ``timeout_s``. Raises BrokerError at the connection's end."""

    def close(self) -> None:
        """Say goodbye, so that the Last Will is not sent, and let go of the socket."""


class BrokerConnection:
    """A Connection through paho-mqtt, MQTT 3.1.1, clean session."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        will: Message | None = None,
        on_acknowledged: Callable[[int], None] = lambda number: None,
        on_message: Callable[[Message], None] = lambda message: None,
    ) -> None:
        """Raises BrokerError when a password or certificate file cannot be read."""
        self._url = settings.url
        self._keepalive_s = settings.keepalive_s
        self._on_acknowledged = on_acknowledged
        self._on_message = on_message
        self._answer: ReasonCode | None = None
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=True,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.on_connect = self._connected
        self._client.on_publish = self._published
        self._client.on_message = self._received
        self._client.on_subscribe = self._subscribed
        self._apply(settings)
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=will.qos, retain=will.retain)

    def connect(self) -> None:
        """Connect and wait for the broker's answer."""
        try:
            self._client.connect(self._url.host, self._url.port, self._keepalive_s)
        except (OSError, ValueError) as error:
            raise BrokerError(f"broker {self._url}: {_why(error)}") from error
        give_up = time.monotonic() + CONNECT_TIMEOUT_S
        while self._answer is None:
            code = self._turn(_TURN_S)
            if self._answer is None and code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise BrokerError(
                    f"broker {self._url}: closed the connection instead of answering ({_name(code)})"
                )
            if time.monotonic() > give_up:
                raise BrokerError(
                    f"broker {self._url}: no answer within {CONNECT_TIMEOUT_S:g} s; is it MQTT?"
                )
        if self._answer.is_failure:
            raise BrokerRefused(f"broker {self._url}: refused the connection: {self._answer}")

    def subscribe(self, topic: str) -> None:
        """Hear what is published on ``topic``."""
        self._client.subscribe(topic, qos=AT_LEAST_ONCE)

    def publish(self, message: Message) -> int:
        """Send and return the number to expect in ``on_acknowledged``."""
        info = self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerError(f"broker {self._url}: the connection ended ({_name(info.rc)})")
        return info.mid

    def run(self, timeout_s: float) -> None:
        """One turn of the network."""
        code = self._turn(timeout_s)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerError(f"broker {self._url}: the connection ended ({_name(code)})")

    def close(self) -> None:
        """Disconnect if connected."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._turn(_TURN_S)
        # The callbacks point back here; without them both go at once, and not when the collector comes by.
        self._client.on_connect = self._client.on_publish = None
        self._client.on_message = self._client.on_subscribe = None

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

    def _apply(self, settings: BrokerSettings) -> None:
        if settings.username:
            self._client.username_pw_set(settings.username, read_password(settings))
        if settings.url.is_tls:
            try:
                self._client.tls_set_context(_tls_context(settings.ca_file))
            except (OSError, ValueError) as error:
                raise BrokerError(f"broker.ca_file {settings.ca_file}: {_why(error)}") from error

    def _connected(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._answer = reason

    def _published(self, client: Any, data: Any, number: int, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            log.error("broker %s refuses a message: %s", self._url, reason)
            return
        self._on_acknowledged(number)

    def _received(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        self._on_message(Message(message.topic, bytes(message.payload), message.retain))

    def _subscribed(
        self, client: Any, data: Any, number: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.warning("broker %s: the subscription to commands is not allowed", self._url)


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho forgets it open."""

    def do_handshake(self, block: bool = False) -> None:
        """As in the standard library."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = _TlsSocket
    return context


def read_password(settings: BrokerSettings) -> str | None:
    """The first line of the password file. Raises BrokerError."""
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"broker.password_file {settings.password_file}: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}; name its issuer's file in broker.ca_file"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"name not found ({error.strerror})"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is a broker running there?"
    return getattr(error, "strerror", None) or str(error)


def _name(code: MQTTErrorCode) -> str:
    return mqtt.error_string(code).rstrip(".").lower()
