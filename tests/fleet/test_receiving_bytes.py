"""Bytes from a broker to messages, however they are cut, and bytes that no broker sends."""

import random
import struct

import pytest

from edgewise_fleet.broker_url import parse_broker_url
from edgewise_fleet.message import Message
from edgewise_fleet.receiving.connection import READ_BYTES
from edgewise_fleet.receiving.packets import (
    MOST_BYTES,
    PINGREQ,
    V5,
    V311,
    NotMqtt,
    encode_acknowledgements,
    encode_connect,
    encode_length,
    encode_subscribe,
    read_connack,
    read_disconnect,
    read_length,
    read_properties,
    read_suback,
)
from edgewise_fleet.receiving.parsing import HELD_BYTES, Heard, Parser

USER_PROPERTY = b"\x26\x00\x01a\x00\x02bc"
EVERY_KIND = (
    b"\x01\x01\x02\x00\x00\x00\x05\x03\x00\x01t\x08\x00\x01r\x09\x00\x02\x01\x02\x0b\x80\x01\x23\x00\x07"
    + USER_PROPERTY
)
"""A property of each of the specification's kinds: byte, four bytes, text, binary, variable, two bytes, pair."""


def publish(
    payload: bytes,
    *,
    topic: bytes = b"a/b",
    packet_id: int = 7,
    head: int = 0x32,
    properties: bytes | None = None,
) -> bytes:
    """A PUBLISH; of version 5 where there are properties."""
    body = struct.pack(">H", len(topic)) + topic
    if head & 6:
        body += struct.pack(">H", packet_id)
    if properties is not None:
        body += encode_length(len(properties)) + properties
    return bytes([head]) + encode_length(len(body) + len(payload)) + body + payload


def parser(level: int = V311) -> Parser:
    return Parser(level=level, connection=3, now_ms=lambda: 99)


def feed(data: bytes, *, piece: int, level: int = V311) -> Heard:
    """All that is heard when the bytes come in pieces of this size."""
    one, all_of_it = parser(level), Heard()
    for begin in range(0, len(data), piece):
        some = one.feed(data[begin : begin + piece])
        all_of_it.messages += some.messages
        all_of_it.others += some.others
    return all_of_it


@pytest.mark.parametrize("level", [V311, V5])
def test_however_the_bytes_are_cut_the_same_messages_come_out(level: int) -> None:
    properties = None if level == V311 else b""
    more = None if level == V311 else EVERY_KIND
    data = (
        b"\x20\x02\x00\x00"
        + publish(b"one", properties=properties)
        + publish(b"", properties=more, packet_id=65535)
        + b"\xd0\x00"
        + publish(b"x" * 20_000, topic="ä/β".encode(), head=0x33, properties=more)
        + publish(b"no acknowledgement", head=0x30, properties=properties)
    )
    whole = feed(data, piece=len(data), level=level)
    assert [one.payload for one in whole.messages] == [b"one", b"", b"x" * 20_000, b"no acknowledgement"]
    assert [(one.packet_id, one.qos) for one in whole.messages] == [(7, 1), (65535, 1), (7, 1), (0, 0)]
    assert [one.retained for one in whole.messages] == [False, False, True, False]
    assert whole.messages[2].topic == "ä/β"
    assert whole.messages[0] == Message("a/b", b"one", False, 99, 7, 1, 3)
    assert whole.others == [(0x20, b"\x00\x00"), (0xD0, b"")]
    for piece in (1, 2, 3, 5, 7, 100, 4096):
        assert feed(data, piece=piece, level=level) == whole


def test_a_topic_that_is_no_text_is_shown_as_bytes() -> None:
    (message,) = feed(publish(b"x", topic=b"a/\xff"), piece=100).messages
    assert message.topic == repr(b"a/\xff")


@pytest.mark.parametrize("piece", [1000, READ_BYTES])
def test_of_a_huge_publish_only_the_beginning_is_held(piece: int) -> None:
    size = 3 * HELD_BYTES
    one, heard, most = parser(), Heard(), 0
    data = publish(b"y" * size) + publish(b"next")
    for begin in range(0, len(data), piece):
        heard.messages += one.feed(data[begin : begin + piece]).messages
        most = max(most, len(one._rest))
    huge, following = heard.messages
    assert len(huge.payload) + huge.cut_bytes == size
    assert HELD_BYTES - 100 < len(huge.payload) <= HELD_BYTES + piece
    assert (following.payload, following.cut_bytes) == (b"next", 0)
    assert most <= HELD_BYTES


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (publish(b"", head=0x34), "QoS 2"),
        (publish(b"", head=0x36), "QoS 3"),
        (publish(b"", packet_id=0), "without a number"),
        (b"\x32\x03\x00\x09abcdefghij", "ends within its own header"),
        (b"\x30\x00" + b"\x00" * 9, "ends within its own header"),
        (b"\x10\x00", "kind 0x10"),
        (b"\x00\x00", "kind 0x00"),
        (b"\x21\x02\x00\x00", "kind 0x21"),
        (b"\x50\x02\x00\x01", "kind 0x50"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "kind 0x48"),
        (b"\x32\xff\xff\xff\xff\x01", "more than four bytes"),
        (b"\x90" + encode_length(HELD_BYTES), f"a SUBACK of {HELD_BYTES} bytes"),
    ],
)
def test_what_no_broker_sends_is_named(data: bytes, said: str) -> None:
    for piece in (1, len(data)):
        with pytest.raises(NotMqtt, match=said):
            feed(data, piece=piece)


@pytest.mark.parametrize(
    "properties", [b"\x7f\x00", b"\x02\x00", b"\x03\x00\x09a", b"\x0b\xff\xff\xff\xff\xff", b"\x26\x00\x01a"]
)
def test_properties_that_are_wrong_are_refused(properties: bytes) -> None:
    with pytest.raises(NotMqtt):
        feed(publish(b"payload", properties=properties), piece=1000, level=V5)


@pytest.mark.parametrize("level", [V311, V5])
def test_spoilt_bytes_are_refused_as_such_or_read_and_never_pile_up(level: int) -> None:
    chance = random.Random(level)
    properties = None if level == V311 else EVERY_KIND
    sound = (
        publish(b"payload", properties=properties) + b"\xd0\x00" + publish(b"z" * 300, properties=properties)
    )
    refused = 0
    for _ in range(4000):
        data = bytearray(sound * 3)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        one = parser(level)
        try:
            one.feed(bytes(data))
        except NotMqtt:
            refused += 1
        assert len(one._rest) <= len(data)
    assert refused > 500


def test_acknowledgements_go_out_in_one_piece() -> None:
    assert encode_acknowledgements([1, 0x1234]) == b"\x40\x02\x00\x01\x40\x02\x12\x34"
    assert encode_acknowledgements([]) == b""


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_152, MOST_BYTES])
def test_a_length_is_read_as_it_was_written(size: int) -> None:
    data = encode_length(size)
    assert read_length(b"\xd0" + data, 1) == (size, 1 + len(data))


def test_what_we_say_is_what_the_specification_has() -> None:
    url = parse_broker_url("mqtt://ann:secret@localhost")
    said = encode_connect(url, level=V5, client_id="me", keepalive_s=30, receive_maximum=1000)
    assert said == (
        b"\x10\x24\x00\x04MQTT\x05\xc0\x00\x1e\x08\x11\xff\xff\xff\xff\x21\x03\xe8\x00\x02me\x00\x03ann\x00\x06secret"
    )
    nobody = parse_broker_url("mqtt://localhost")
    assert encode_connect(nobody, level=V311, client_id="me", keepalive_s=30, receive_maximum=1) == (
        b"\x10\x0e\x00\x04MQTT\x04\x00\x00\x1e\x00\x02me"
    )
    assert (
        encode_subscribe(["a/+", "b"], level=V5, qos=1) == b"\x82\x0d\x00\x01\x00\x00\x03a/+\x01\x00\x01b\x01"
    )
    assert encode_subscribe(["b"], level=V311, qos=1) == b"\x82\x06\x00\x01\x00\x01b\x01"
    assert PINGREQ == b"\xc0\x00"


def test_answers_are_put_into_words() -> None:
    assert read_connack(b"\x00\x00", level=V311).refusal == ""
    assert read_connack(b"\x00\x04", level=V311).refusal == "bad user name or password"
    assert read_connack(b"\x00\x01", level=V5).is_other_version
    assert read_connack(b"\x00\x84\x00", level=V5).is_other_version
    assert read_connack(b"\x00\x87\x00", level=V5).refusal == "not authorized"
    assert read_connack(b"\x00\x00\x03\x13\x00\x05", level=V5).keepalive_s == 5
    assert read_suback(b"\x00\x01\x01\x01", level=V311) == ""
    assert read_suback(b"\x00\x01\x00\x01\x9e", level=V5) == "shared subscriptions not supported"
    assert read_disconnect(b"\x8e").startswith("session taken over")
    assert read_disconnect(b"") == "without a reason"
    assert read_properties(b"\x00", 0) == {}
    for wrong in (b"", b"\x00"):
        with pytest.raises(NotMqtt):
            read_connack(wrong, level=V5)
    for wrong in (b"", b"\x00\x02\x00\x01", b"\x00\x01", b"\x00\x01\x80"):
        with pytest.raises(NotMqtt):
            read_suback(wrong, level=V5)
