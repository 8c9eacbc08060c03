"""The MQTT connection of one stand-in: an asyncio protocol that keeps what the broker has not acknowledged."""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import Protocol

from edgewise_fleet.simulate import wire

KEEPALIVE_S = 120
UNACKNOWLEDGED = 500
"""Messages kept for a broker that does not acknowledge; past that the oldest goes, and is counted."""


class Hears(Protocol):
    """Whom a connection tells."""

    def on_ready(self) -> None:
        """The broker took us, and our subscription."""

    def on_command(self, payload: bytes) -> None:
        """A message on our command topic."""

    def on_lost(self, reason: str) -> None:
        """It is over."""

    def on_acknowledged(self) -> None:
        """The broker has one message more."""


class Connection(asyncio.Protocol):
    """CONNECT, SUBSCRIBE, then publishes at QoS 1."""

    __slots__ = (
        "_buffer",
        "_greeting",
        "_hears",
        "_packet_id",
        "_reason",
        "_topic",
        "_transport",
        "unacknowledged",
    )

    def __init__(self, hears: Hears, *, greeting: bytes, topic: str) -> None:
        self._hears = hears
        self._greeting = greeting
        self._topic = topic
        self._buffer = bytearray()
        self._packet_id = 1
        self._reason = "closed by the broker"
        self._transport: asyncio.Transport | None = None
        self.unacknowledged: dict[int, tuple[str, bytes, bool]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for kind, flags, body in wire.split(self._buffer):
                self._take(kind, flags, body)
        except wire.BadPacket as error:
            self.cut(f"not MQTT: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._hears.on_lost(str(error) if error else self._reason)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Send it; whether nothing older had to be given up for it."""
        if self._transport is None:
            return False
        self._packet_id = self._packet_id % 65_535 + 1
        is_whole = True
        if len(self.unacknowledged) >= UNACKNOWLEDGED:
            del self.unacknowledged[next(iter(self.unacknowledged))]
            is_whole = False
        self.unacknowledged[self._packet_id] = (topic, payload, retain)
        self._transport.write(wire.publish(topic, payload, self._packet_id, retain=retain))
        return is_whole

    def ping(self) -> None:
        """Before the keep-alive is over."""
        if self._transport is not None:
            self._transport.write(wire.PINGREQ)

    def cut(self, reason: str) -> None:
        """Without a word: the broker publishes the will."""
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """In order."""
        self._reason = "ended"
        if self._transport is not None:
            self._transport.write(wire.DISCONNECT)
            self._transport.close()

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        if kind == wire.PUBACK and len(body) >= 2:
            if self.unacknowledged.pop(int.from_bytes(body[:2]), None) is not None:
                self._hears.on_acknowledged()
        elif kind == wire.PUBLISH:
            _, packet_id, payload = wire.read_publish(flags, body)
            if packet_id and self._transport is not None:
                self._transport.write(wire.puback(packet_id))
            self._hears.on_command(payload)
        elif kind == wire.CONNACK and len(body) >= 2:
            if body[1]:
                self.cut(f"refused by the broker: code {body[1]} (MQTT 3.1.1, 3.2.2.3)")
            elif self._transport is not None:
                self._transport.write(wire.subscribe(self._topic, 1))
        elif kind == wire.SUBACK:
            if body[2:3] == b"\x80":
                self.cut("the broker does not let us hear commands")
            else:
                self._hears.on_ready()


async def open_connection(
    make: Callable[[], Connection], host: str, port: int, *, tls: SSLContext | None, timeout_s: float = 30.0
) -> str:
    """Why it did not work; empty when the socket is open."""
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(make, host, port, ssl=tls)
    except TimeoutError:
        return f"no connection within {timeout_s:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""
