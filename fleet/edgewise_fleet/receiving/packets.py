"""MQTT packets that a subscriber writes, and its answers read: bytes alone, no sockets. Versions 3.1.1 and 5.

Sections are those of https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.receiving.reasons import REASONS, REFUSALS_311, UNSUPPORTED_VERSION

V311, V5 = 4, 5
"""Protocol levels (3.1.2.2)."""
CONNACK, PUBLISH, SUBACK, PINGRESP, DISCONNECT = 0x20, 0x30, 0x90, 0xD0, 0xE0
PINGREQ = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
NEVER_EXPIRES = 0xFFFFFFFF
"""3.1.2.11.2."""
MOST_BYTES = 268_435_455
"""The longest that a length can say (1.5.5)."""
_FAILURE = 0x80
_SUBSCRIBE_ID = 1
_PUBACK = 0x4002
"""Fixed header of an acknowledgement without a reason: success (3.4.2.1)."""
_USER, _PASSWORD, _CLEAN = 0x80, 0x40, 0x02
_SESSION_EXPIRY, _RECEIVE_MAXIMUM, _SERVER_KEEP_ALIVE = 0x11, 0x21, 0x13
_FOUR, _TWO, _ONE, _TEXT, _DATA, _PAIR, _NUMBER = "four", "two", "one", "text", "data", "pair", "number"
_PROPERTIES = {
    0x01: _ONE, 0x02: _FOUR, 0x03: _TEXT, 0x08: _TEXT, 0x09: _DATA, 0x0B: _NUMBER, 0x11: _FOUR, 0x12: _TEXT,
    0x13: _TWO, 0x15: _TEXT, 0x16: _DATA, 0x17: _ONE, 0x18: _FOUR, 0x19: _ONE, 0x1A: _TEXT, 0x1C: _TEXT,
    0x1F: _TEXT, 0x21: _TWO, 0x22: _TWO, 0x23: _TWO, 0x24: _ONE, 0x25: _ONE, 0x26: _PAIR, 0x27: _FOUR,
    0x28: _ONE, 0x29: _ONE, 0x2A: _ONE,
}  # fmt: skip
"""What follows each property's number (2.2.2.2)."""


class NotMqtt(ValueError):
    """Bytes that no MQTT broker sends to a subscriber."""


@dataclass(frozen=True)
class Welcome:
    """A CONNACK."""

    refusal: str = ""
    """Why the broker does not take us, in words; empty when it does."""
    is_other_version: bool = False
    """Whether it refused our version of MQTT."""
    keepalive_s: int | None = None
    """What the broker wants instead of what we said."""


def encode_connect(
    url: BrokerUrl, *, level: int, client_id: str, keepalive_s: int, receive_maximum: int
) -> bytes:
    """CONNECT to a session that the broker keeps (3.1)."""
    flags, payload = 0, _text(client_id)
    if url.user is not None:
        flags |= _USER
        payload += _text(url.user)
        if url.password is not None:
            flags |= _PASSWORD
            payload += _text(url.password)
    head = _text("MQTT") + struct.pack(">BBH", level, flags, keepalive_s)
    if level == V5:
        wishes = struct.pack(">BIBH", _SESSION_EXPIRY, NEVER_EXPIRES, _RECEIVE_MAXIMUM, receive_maximum)
        head += encode_length(len(wishes)) + wishes
    return _packet(0x10, head + payload)


def encode_subscribe(filters: Sequence[str], *, level: int, qos: int) -> bytes:
    """SUBSCRIBE to all of these (3.8)."""
    head = struct.pack(">H", _SUBSCRIBE_ID) + (b"\x00" if level == V5 else b"")
    return _packet(0x82, head + b"".join(_text(name) + bytes([qos]) for name in filters))


def encode_acknowledgements(packet_ids: Sequence[int]) -> bytes:
    """A PUBACK for each of them, in one piece (3.4)."""
    return struct.pack(f">{2 * len(packet_ids)}H", *chain.from_iterable(zip(repeat(_PUBACK), packet_ids)))


def read_connack(body: bytes, *, level: int) -> Welcome:
    """The broker's answer to CONNECT (3.2). Raises NotMqtt."""
    if len(body) < 2:
        raise NotMqtt(f"a CONNACK of {len(body)} bytes")
    code = body[1]
    if level != V5 or len(body) == 2:
        # A broker of 3.1.1 answers in its own way, also to a later version.
        refusal = REFUSALS_311.get(code) or REASONS.get(code) or f"code {code}"
        return Welcome("" if code == 0 else refusal, is_other_version=code in (1, UNSUPPORTED_VERSION))
    if code >= _FAILURE:
        return Welcome(reason(code), is_other_version=code == UNSUPPORTED_VERSION)
    wanted = read_properties(body, 2).get(_SERVER_KEEP_ALIVE)
    return Welcome(keepalive_s=wanted)


def read_suback(body: bytes, *, level: int) -> str:
    """Why the broker refused one of the filters, in words; empty when it took all (3.9). Raises NotMqtt."""
    begin = 2
    if level == V5:
        try:
            size, begin = read_length(body, begin)
        except IndexError:
            raise NotMqtt("a SUBACK without properties") from None
        begin += size
    if len(body) <= begin or body[:2] != struct.pack(">H", _SUBSCRIBE_ID):
        raise NotMqtt("a SUBACK of something else")
    refused = [code for code in body[begin:] if code >= _FAILURE]
    return reason(refused[0]) if refused else ""


def read_disconnect(body: bytes) -> str:
    """Why the broker ends the connection, in words (3.14)."""
    return reason(body[0]) if body else "without a reason"


def reason(code: int) -> str:
    """A reason code in the specification's words (2.4)."""
    return REASONS.get(code, f"reason {code}")


def encode_length(size: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | 0x80 if size else low)
        if not size:
            return bytes(out)


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends. Raises NotMqtt, IndexError where the data end within it."""
    size = shift = 0
    while True:
        byte = data[at]
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return size, at
        if shift == 28:
            raise NotMqtt("a length of more than four bytes")


def read_properties(body: bytes, at: int) -> dict[int, int]:
    """The numbers among the properties that begin here; texts are passed over. Raises NotMqtt."""
    try:
        size, at = read_length(body, at)
        end, found = at + size, {}
        while at < end:
            number = body[at]
            at += 1
            kind = _PROPERTIES.get(number)
            if kind is None:
                raise NotMqtt(f"unknown property {number}")
            width = {_ONE: 1, _TWO: 2, _FOUR: 4}.get(kind)
            if width is not None:
                found[number], at = int.from_bytes(body[at : at + width], "big"), at + width
            elif kind == _NUMBER:
                found[number], at = read_length(body, at)
            else:
                for _ in range(2 if kind == _PAIR else 1):
                    at += 2 + (body[at] << 8 | body[at + 1])
    except IndexError:
        raise NotMqtt("properties that end too early") from None
    if at != end or end > len(body):
        raise NotMqtt("properties of another length than they say")
    return found


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + encode_length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
