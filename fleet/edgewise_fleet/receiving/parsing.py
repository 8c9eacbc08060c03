"""Bytes of a connection to packets: as many as a piece holds, in one go."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edgewise_fleet.message import Message
from edgewise_fleet.receiving.packets import (
    CONNACK,
    DISCONNECT,
    PINGRESP,
    PUBLISH,
    SUBACK,
    V5,
    NotMqtt,
    read_length,
    read_properties,
)
from edgewise_messages.codec import MAX_MESSAGE_BYTES

HELD_BYTES = MAX_MESSAGE_BYTES + 128 * 1024
"""What is held of one packet: the largest payload that is read, the longest topic and room for properties. MQTT allows
256 MiB; of those the beginning is enough to say what they were."""
_ENDS_EARLY = "a publish that ends within its own header"
_HEADS = {CONNACK: "CONNACK", SUBACK: "SUBACK", PINGRESP: "PINGRESP", DISCONNECT: "DISCONNECT"}


@dataclass
class Heard:
    """What one piece of bytes held."""

    messages: list[Message] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)
    """Packets of another kind: their first byte and what follows their length."""


class Parser:
    """One connection's bytes, in the order in which they come."""

    def __init__(self, *, level: int, connection: int, now_ms: Callable[[], int]) -> None:
        self._level = level
        self._connection = connection
        self._now_ms = now_ms
        self._rest = b""
        self._to_skip = 0

    def feed(self, data: bytes) -> Heard:
        """The packets that are complete with these bytes. Raises NotMqtt."""
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            data = data[skipped:]
        if self._rest:
            data = self._rest + data
        heard = Heard()
        try:
            at = self._read(data, heard)
        except IndexError:
            raise NotMqtt(_ENDS_EARLY) from None
        self._rest = data[at:]
        return heard

    def _read(self, data: bytes, heard: Heard) -> int:
        """Read all that is complete; where the rest begins."""
        at, end, now_ms, add = 0, len(data), self._now_ms(), heard.messages.append
        while end - at >= 2:
            head, size, body = data[at], data[at + 1], at + 2
            if size >= 0x80:
                # Five bytes hold any length; with fewer it may go on in what comes next.
                if end - at < 5 and min(data[at + 1 : end]) >= 0x80:
                    break
                size, body = read_length(data, at + 1)
            is_publish = head & 0xF0 == PUBLISH
            if not is_publish:
                _check_other(head, size)
            stop = body + size
            if stop > end:
                if end - at < HELD_BYTES:
                    break
                self._to_skip = stop - end
            at = min(stop, end)
            if is_publish:
                add(self._publish(data, head, body, at, now_ms))
            else:
                heard.others.append((head, data[body:at]))
        return at

    def _publish(self, data: bytes, head: int, body: int, end: int, now_ms: int) -> Message:
        """The publish whose variable header begins at ``body`` (3.3)."""
        qos = head >> 1 & 3
        packet_id = 0
        at = topic_end = body + 2 + (data[body] << 8 | data[body + 1])
        if qos:
            packet_id = data[at] << 8 | data[at + 1]
            at += 2
        if self._level == V5:
            if data[at]:
                at = _after_properties(data, at, end)
            else:
                at += 1
        if at > end or qos > 1 or (qos and not packet_id):
            raise NotMqtt(_wrong_publish(qos, packet_id))
        topic = data[body + 2 : topic_end]
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            name = repr(topic)
        return Message(
            name, data[at:end], head & 1 == 1, now_ms, packet_id, qos, self._connection, self._to_skip
        )


def _check_other(head: int, size: int) -> None:
    if head not in _HEADS:
        raise NotMqtt(f"a packet of the kind 0x{head:02x}, which is not for a subscriber")
    if size >= HELD_BYTES:
        raise NotMqtt(f"a {_HEADS[head]} of {size} bytes")


def _after_properties(data: bytes, at: int, end: int) -> int:
    size, begin = read_length(data, at)
    # Texts among them are of no use here, but their lengths must fit together.
    read_properties(data[at : min(begin + size, end)], 0)
    return begin + size


def _wrong_publish(qos: int, packet_id: int) -> str:
    if qos > 1:
        return f"a publish of QoS {qos}, where 1 was asked for"
    return "a publish without a number" if qos and not packet_id else _ENDS_EARLY
