"""MQTT 3.1.1 packets, as far as ten thousand small clients need them: the specification's sections are named.

paho takes a thread or three file descriptors for each client; here a client is a socket and a few hundred bytes.
"""

import struct
from collections.abc import Iterator

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
MAX_PACKET_BYTES = 1 << 20


class BadPacket(ValueError):
    """What came is no MQTT."""


def connect(
    client_id: str,
    *,
    keepalive_s: int,
    will: tuple[str, bytes] | None = None,
    user: str | None = None,
    password: str | None = None,
) -> bytes:
    """CONNECT (3.1), a clean session; the will is retained and of QoS 1."""
    flags, body = 0x02, _text(client_id)
    if will is not None:
        flags |= 0x04 | 0x08 | 0x20
        body += _text(will[0]) + _data(will[1])
    if user is not None:
        flags |= 0x80
        body += _text(user)
    if password is not None:
        flags |= 0x40
        body += _text(password)
    return _packet(0x10, _text("MQTT") + struct.pack("!BBH", 4, flags, keepalive_s) + body)


def publish(
    topic: str, payload: bytes, packet_id: int, *, retain: bool = False, again: bool = False
) -> bytes:
    """PUBLISH at QoS 1 (3.3)."""
    return _packet(0x32 | retain | again << 3, _text(topic) + struct.pack("!H", packet_id) + payload)


def puback(packet_id: int) -> bytes:
    """PUBACK (3.4)."""
    return struct.pack("!BBH", 0x40, 2, packet_id)


def subscribe(topic: str, packet_id: int) -> bytes:
    """SUBSCRIBE to one filter at QoS 1 (3.8)."""
    return _packet(0x82, struct.pack("!H", packet_id) + _text(topic) + b"\x01")


def split(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take whole packets from the buffer's front: type, flags, body. Raises BadPacket."""
    while len(buffer) >= 2:
        length, shift, place = 0, 0, 1
        while True:  # remaining length, 2.2.3
            if place > 4:
                raise BadPacket("remaining length of more than four bytes")
            if place >= len(buffer):
                return
            byte = buffer[place]
            length |= (byte & 0x7F) << shift
            shift, place = shift + 7, place + 1
            if not byte & 0x80:
                break
        if length > MAX_PACKET_BYTES:
            raise BadPacket(f"a packet of {length} bytes")
        if len(buffer) < place + length:
            return
        first, body = buffer[0], bytes(buffer[place : place + length])
        del buffer[: place + length]
        yield first >> 4, first & 0x0F, body


def read_publish(flags: int, body: bytes) -> tuple[str, int, bytes]:
    """Topic, packet id (0 at QoS 0), payload. Raises BadPacket."""
    if len(body) < 2:
        raise BadPacket("a publish without a topic")
    (length,) = struct.unpack_from("!H", body)
    place = 2 + length
    packet_id = 0
    if flags & 0x06:
        if len(body) < place + 2:
            raise BadPacket("a publish without a packet id")
        (packet_id,) = struct.unpack_from("!H", body, place)
        place += 2
    try:
        return body[2 : 2 + length].decode(), packet_id, body[place:]
    except UnicodeDecodeError as error:
        raise BadPacket("a topic that is no UTF-8") from error


def _text(text: str) -> bytes:
    return _data(text.encode())


def _data(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([first])
    while True:
        byte, length = length & 0x7F, length >> 7
        head.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(head) + body
