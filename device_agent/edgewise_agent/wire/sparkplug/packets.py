"""MQTT packets out of a byte stream, as far as the checker must read them: versions 3.1.1 and 5.

Layouts from the OASIS standards "MQTT Version 3.1.1" and "MQTT Version 5.0", chapters 2 and 3.
"""

from dataclasses import dataclass

from edgewise_agent.errors import MalformedPacket
from edgewise_agent.wire.message import Message

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14
MQTT_5 = 5
_MOST_LENGTH_BYTES = 4


@dataclass(frozen=True)
class Packet:
    """One control packet."""

    kind: int
    flags: int
    body: bytes


class PacketReader:
    """Gathers bytes and gives out whole packets."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are whole now. Raises MalformedPacket for a length that cannot be."""
        self._bytes += data
        packets = []
        while (packet := self._take()) is not None:
            packets.append(packet)
        return packets

    def _take(self) -> Packet | None:
        length, start = 0, 1
        while True:
            if start > _MOST_LENGTH_BYTES:
                raise MalformedPacket("MQTT packet: its length has more than four bytes")
            if len(self._bytes) <= start:
                return None
            byte = self._bytes[start]
            length |= (byte & 0x7F) << 7 * (start - 1)
            start += 1
            if byte < 0x80:
                break
        if len(self._bytes) < start + length:
            return None
        packet = Packet(
            self._bytes[0] >> 4, self._bytes[0] & 0x0F, bytes(self._bytes[start : start + length])
        )
        del self._bytes[: start + length]
        return packet


@dataclass(frozen=True)
class Connect:
    """What a CONNECT says."""

    version: int
    clean: bool
    will: Message | None


class _Cursor:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._body)

    def number(self, size_bytes: int) -> int:
        return int.from_bytes(self.take(size_bytes), "big")

    def take(self, size_bytes: int) -> bytes:
        taken = self._body[self._at : self._at + size_bytes]
        if len(taken) < size_bytes:
            raise MalformedPacket(f"MQTT packet ends at byte {len(self._body)}, {size_bytes} more expected")
        self._at += size_bytes
        return taken

    def counted(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.counted().decode(errors="replace")

    def skip_properties(self, version: int) -> None:
        if version < MQTT_5:
            return
        length = 0
        for place in range(_MOST_LENGTH_BYTES):
            byte = self.number(1)
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
        self.take(length)

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)


def read_connect(packet: Packet) -> Connect:
    """Raises MalformedPacket."""
    cursor = _Cursor(packet.body)
    cursor.text()
    version = cursor.number(1)
    flags = cursor.number(1)
    cursor.number(2)
    cursor.skip_properties(version)
    cursor.text()
    will = None
    if flags & 0x04:
        cursor.skip_properties(version)
        topic, payload = cursor.text(), cursor.counted()
        will = Message(topic, payload, retain=bool(flags & 0x20), qos=flags >> 3 & 3)
    return Connect(version, bool(flags & 0x02), will)


def read_publish(packet: Packet, version: int) -> Message:
    """Raises MalformedPacket."""
    cursor = _Cursor(packet.body)
    topic = cursor.text()
    qos = packet.flags >> 1 & 3
    if qos:
        cursor.number(2)
    cursor.skip_properties(version)
    return Message(topic, cursor.rest(), retain=bool(packet.flags & 1), qos=qos)


def read_subscribe(packet: Packet, version: int) -> list[tuple[str, int]]:
    """Topic filters with the QoS asked for. Raises MalformedPacket."""
    cursor = _Cursor(packet.body)
    cursor.number(2)
    cursor.skip_properties(version)
    found = []
    while not cursor.is_at_end:
        topic = cursor.text()
        found.append((topic, cursor.number(1) & 3))
    return found
