"""Stands between a node and its broker, passes every byte on, and notes what the packets say.

A subscriber cannot see CONNECT, the will, SUBSCRIBE, DISCONNECT, nor the QoS a node published at. This can.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.errors import BrokerError, MalformedPacket
from edgewise_agent.wire.sparkplug.packets import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    Packet,
    PacketReader,
    read_connect,
    read_publish,
    read_subscribe,
)
from edgewise_agent.wire.sparkplug.trace import Connected, Disconnected, Published, Seen, Subscribed

_CONNECT_TIMEOUT_S = 5.0
_TURN_S = 0.1
_CHUNK_BYTES = 65_536


@dataclass
class _Side:
    """One of the two sockets of a tapped connection."""

    socket: socket.socket
    is_node: bool
    pair: "_Pair"
    reader: PacketReader = field(default_factory=PacketReader)


@dataclass
class _Pair:
    version: int = 4
    sides: list[_Side] = field(default_factory=list)
    said_goodbye: bool = False


class Tap:
    """Listens on ``port`` of ``host`` (0: any free one). Close it."""

    def __init__(self, broker: BrokerUrl, *, host: str, port: int, see: Callable[[Seen], None]) -> None:
        """Raises BrokerError when it cannot listen there."""
        self._broker = broker
        self._see = see
        self._selector = selectors.DefaultSelector()
        try:
            self._listening = socket.create_server((host, port))
        except OSError as error:
            raise BrokerError(f"tap on {host}:{port}: {error.strerror}; name another port") from error
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._pairs: list[_Pair] = []

    @property
    def port(self) -> int:
        """Where the node must connect to."""
        port: int = self._listening.getsockname()[1]
        return port

    def run(self) -> None:
        """One turn of the network."""
        for key, _ in self._selector.select(_TURN_S):
            if key.data is None:
                self._accept()
            else:
                self._pass_on(key.data)

    def close(self) -> None:
        """Close every connection."""
        for pair in list(self._pairs):
            self._end(pair)
        self._selector.close()
        self._listening.close()

    def _accept(self) -> None:
        node, _ = self._listening.accept()
        try:
            address = (self._broker.host, self._broker.port)
            broker = socket.create_connection(address, timeout=_CONNECT_TIMEOUT_S)
        except OSError:
            # The node sees what it would see without the tap: no connection.
            node.close()
            return
        broker.settimeout(None)
        pair = _Pair()
        self._pairs.append(pair)
        for one, is_node in ((node, True), (broker, False)):
            side = _Side(one, is_node, pair)
            pair.sides.append(side)
            self._selector.register(one, selectors.EVENT_READ, side)

    def _pass_on(self, side: _Side) -> None:
        if side not in side.pair.sides:
            return
        try:
            data = side.socket.recv(_CHUNK_BYTES)
            if not data:
                self._end(side.pair)
                return
            # Noted before it is passed on: the order is then the node's own also where an answer is quick.
            with contextlib.suppress(MalformedPacket):
                for packet in side.reader.feed(data):
                    self._note(side, packet)
            other = next(one for one in side.pair.sides if one is not side)
            other.socket.sendall(data)
        except OSError:
            self._end(side.pair)

    def _note(self, side: _Side, packet: Packet) -> None:
        if packet.kind == PUBLISH:
            message = read_publish(packet, side.pair.version)
            now_ms = time.time_ns() // 1_000_000
            self._see(
                Published(
                    message.topic, message.payload, time.monotonic(), now_ms, message.qos, message.retain
                )
            )
        elif side.is_node:
            self._note_from_node(side.pair, packet)

    def _note_from_node(self, pair: _Pair, packet: Packet) -> None:
        if packet.kind == CONNECT:
            connect = read_connect(packet)
            pair.version = connect.version
            self._see(Connected(connect.clean, connect.will))
        elif packet.kind == SUBSCRIBE:
            for topic, qos in read_subscribe(packet, pair.version):
                self._see(Subscribed(topic, qos))
        elif packet.kind == DISCONNECT:
            pair.said_goodbye = True
            self._see(Disconnected(deliberate=True))

    def _end(self, pair: _Pair) -> None:
        self._pairs.remove(pair)
        for side in pair.sides:
            self._selector.unregister(side.socket)
            side.socket.close()
        pair.sides.clear()
        if not pair.said_goodbye:
            self._see(Disconnected(deliberate=False))
