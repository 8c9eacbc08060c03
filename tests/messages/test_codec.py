import json
import math
import random
from typing import Any

import msgspec
import pytest

from edgewise_messages import (
    Clock,
    Command,
    DeviceState,
    Drift,
    Event,
    Format,
    MalformedMessage,
    MessageError,
    Meta,
    ModelInfo,
    Outcome,
    Response,
    Severity,
    Status,
    Telemetry,
    UnsupportedVersion,
    decode_notice,
    decode_record,
    decode_records,
    encode_notice,
    encode_record,
    encode_records,
    join_encoded,
)
from edgewise_messages.codec import MAX_MESSAGE_BYTES

STAMP: dict[str, Any] = {"ts_ms": 1_795_000_000_000, "mono_ns": 2**62, "boot": "b0-_Z", "seq": 2**63 - 1}
RECORDS = [
    Telemetry(**STAMP, clock=Clock.NTP, metrics={"a": 1, "b": 2.5, "c": True, "d": None, "e": "text °C"}),
    Event(**STAMP, name="input.failed", severity=Severity.ERROR, message="a\nb", data={"n": -(2**63)}),
    Drift(**STAMP, model="m", scores={"psi": 0.25}, window=100),
    Telemetry(**STAMP, metrics={}),
]
NOTICES = [
    Status(state=DeviceState.OFFLINE, ts_ms=1, boot="b", reason="connection lost"),
    Meta(
        ts_ms=1,
        boot="b",
        board="Raspberry Pi 4",
        model=ModelInfo(name="m", sha256="00"),
        versions={"python": "3.11"},
    ),
    Command(id="c-1", name="stop", issued_ms=1, expires_ms=2, arguments={"why": "test", "n": 1.5}),
    Response(id="c-1", outcome=Outcome.REJECTED, ts_ms=3, message="no", data={"x": False}),
]
both_formats = pytest.mark.parametrize("form", list(Format))


def batch(form: Format = Format.JSON, *, version: object = 1, **fields: object) -> bytes:
    """A publish with one telemetry record, some of its fields replaced."""
    record = {"type": "telemetry", **STAMP, "metrics": {}, **fields}
    message = {"version": version, "records": [record]}
    return json.dumps(message).encode() if form is Format.JSON else msgspec.msgpack.encode(message)


@both_formats
def test_records_come_back_as_they_were(form: Format) -> None:
    decoded = decode_records(encode_records(RECORDS, form))
    assert decoded.records == tuple(RECORDS)
    assert [type(record) for record in decoded.records] == [type(record) for record in RECORDS]
    assert decoded.unknown == 0


@both_formats
@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_notices_come_back_as_they_were(notice: Status | Meta | Command | Response, form: Format) -> None:
    assert decode_notice(encode_notice(notice, form), type(notice)) == notice


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_kept_record_comes_back_and_joins(record: Telemetry | Event | Drift) -> None:
    kept = encode_record(record)
    assert decode_record(kept) == record
    assert decode_records(join_encoded([kept, kept])).records == (record, record)


def test_joining_nothing_is_an_empty_publish() -> None:
    assert decode_records(join_encoded([])).records == ()


@both_formats
def test_unknown_fields_are_ignored(form: Format) -> None:
    decoded = decode_records(batch(form, colour="blue", nested={"a": [1, {"b": None}]}))
    assert decoded.records == (Telemetry(**STAMP, metrics={}),)


@both_formats
def test_records_of_unknown_types_are_counted_and_the_others_kept(form: Format) -> None:
    known = {"type": "event", **STAMP, "name": "n"}
    message = {"version": 1, "records": [{"type": "weather", "seq": "?"}, known, {"type": "odour"}]}
    data = json.dumps(message).encode() if form is Format.JSON else msgspec.msgpack.encode(message)
    decoded = decode_records(data)
    assert decoded.unknown == 2
    assert decoded.records == (Event(**STAMP, name="n"),)


@both_formats
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ts_ms", "1"),
        ("ts_ms", 1.5),
        ("ts_ms", None),
        ("ts_ms", -1),
        ("mono_ns", True),
        ("seq", -1),
        ("seq", 2**63),
        ("boot", ""),
        ("boot", "a b"),
        ("boot", "a/b"),
        ("boot", "abc\n"),
        ("boot", "x" * 65),
        ("boot", 7),
        ("clock", "sundial"),
        ("metrics", []),
        ("metrics", None),
        ("metrics", {"": 1}),
        ("metrics", {"x" * 129: 1}),
        ("metrics", {"a": [1]}),
        ("metrics", {"a": {"b": 1}}),
        ("metrics", {"a": "x" * 4097}),
        ("metrics", {"a": 2**63}),
    ],
)
def test_wrong_values_are_refused(field: str, value: object, form: Format) -> None:
    with pytest.raises(MalformedMessage, match=field):
        decode_records(batch(form, **{field: value}))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "-9223372036854775809", "NaN", "Infinity"])
def test_json_numbers_that_no_store_holds_are_refused(number: str) -> None:
    data = batch(metrics={"a": 1}).replace(b'{"a": 1}', b'{"a": %s}' % number.encode())
    with pytest.raises(MalformedMessage):
        decode_records(data)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_messagepack_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(MalformedMessage, match=r"metrics\.a"):
        decode_records(batch(Format.MSGPACK, metrics={"a": value}))


@pytest.mark.parametrize("missing", ["ts_ms", "mono_ns", "boot", "seq", "metrics", "type"])
def test_a_missing_field_is_refused_and_named(missing: str) -> None:
    record = {"type": "telemetry", **STAMP, "metrics": {}}
    del record[missing]
    with pytest.raises(MalformedMessage, match=missing):
        decode_records(json.dumps({"records": [record]}).encode())


@pytest.mark.parametrize("value", [b"bytes", msgspec.msgpack.Ext(1, b"x")])
def test_messagepack_kinds_outside_json_are_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        decode_records(batch(Format.MSGPACK, metrics={"a": value}))


@both_formats
def test_a_later_version_is_told_apart_from_nonsense(form: Format) -> None:
    with pytest.raises(UnsupportedVersion, match="got 2, expected at most 1"):
        decode_records(batch(form, version=2))


def test_a_later_version_is_recognised_even_when_its_shape_changed() -> None:
    with pytest.raises(UnsupportedVersion):
        decode_records(b'{"version":2,"records":{"packed":"..."}}')
    with pytest.raises(UnsupportedVersion):
        decode_notice(b'{"version":3,"state":"sleeping","boot":7}', Status)


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_a_version_that_is_none_is_refused(version: object) -> None:
    with pytest.raises(MalformedMessage, match="version"):
        decode_records(batch(version=version))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b'{"records":[]}x',
        b'{"records":[7]}',
        b'{"records":[null]}',
        b'{"records":[{"type":7}]}',
        b"\xff\xfe",
        b"\xc1",
        b"\x80",
        b'{"records":[{"type":"event","name":"\xff"}]}',
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_records(data)
    with pytest.raises(MalformedMessage):
        decode_notice(data, Command)
    with pytest.raises(MalformedMessage):
        decode_record(data)


@pytest.mark.parametrize("space", [b" ", b"\n", b"\r", b"\t", b"\r\n  "])
def test_white_space_before_json_is_allowed(space: bytes) -> None:
    assert len(decode_records(space + batch()).records) == 1


@pytest.mark.parametrize(
    "data",
    [
        b'{"records":[{"type":"x","a":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b"\x81\xa1a" + b"\x91" * 100_000,
        b"[" * 100_000,
    ],
)
def test_deep_nesting_is_refused_and_does_not_overflow_the_stack(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_records(data)


def test_messages_above_the_limit_are_refused_on_both_sides() -> None:
    data = b'{"records":[]}'.ljust(MAX_MESSAGE_BYTES + 1)
    for decode in (decode_records, decode_record, lambda data: decode_notice(data, Meta)):
        with pytest.raises(MalformedMessage, match="expected at most 262144"):
            decode(data)
    assert decode_records(data[:MAX_MESSAGE_BYTES]).records == ()
    long = Event(**STAMP, name="n", message="x" * 4000)
    with pytest.raises(MalformedMessage, match="expected at most 262144"):
        encode_records([long] * 70)
    with pytest.raises(MalformedMessage, match="expected at most 262144"):
        join_encoded([encode_record(long)] * 70)


@both_formats
@pytest.mark.parametrize(
    "record",
    [
        Telemetry(**STAMP, metrics={"a": math.nan}),
        Telemetry(**STAMP, metrics={"a": 2**63}),
        Telemetry(**STAMP, metrics={"a": 2**70}),
        Telemetry(**{**STAMP, "seq": -1}, metrics={}),
        Drift(**STAMP, model="m", scores={"a": math.inf}, window=1),
        Event(**STAMP, name=""),
        Event(**STAMP, name="n", message="x" * 4097),
        Event(**STAMP, name="\ud800"),
        Event(**STAMP, name="n", data={"a": object()}),  # type: ignore[dict-item]
        Event(**STAMP, name=7),  # type: ignore[arg-type]
    ],
)
def test_nothing_is_encoded_that_the_other_side_would_refuse(
    record: Telemetry | Event | Drift, form: Format
) -> None:
    with pytest.raises(MalformedMessage):
        encode_records([record], form)
    with pytest.raises(MalformedMessage):
        encode_record(record)


def test_a_notice_with_a_wrong_field_is_not_encoded() -> None:
    with pytest.raises(MalformedMessage, match="boot"):
        encode_notice(Status(state=DeviceState.ONLINE, ts_ms=1, boot="a b"))
    with pytest.raises(MalformedMessage, match=r"arguments\.x"):
        encode_notice(Command(id="c", name="stop", issued_ms=1, arguments={"x": math.nan}))


def test_json_and_messagepack_are_recognised_by_the_first_byte() -> None:
    for record in RECORDS:
        assert encode_records([record], Format.JSON)[:1] == b"{"
        assert encode_records([record], Format.MSGPACK)[0] >= 0x80


@both_formats
def test_a_broken_byte_never_raises_anything_but_a_message_error(form: Format) -> None:
    chance = random.Random(20261122)
    good = encode_records(RECORDS, form)
    survived = 0
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        survived += is_decoded(bytes(data[: chance.randint(1, len(data) * 3)]))
    assert 0 < survived < 4000, "the test must see both outcomes"


def test_random_bytes_never_raise_anything_but_a_message_error() -> None:
    chance = random.Random(7)
    for length in range(200):
        for _ in range(30):
            noise = chance.randbytes(length)
            is_decoded(noise)
            is_decoded(b"{" + noise)
            is_decoded(b"\x82\xa7records\x91" + noise)


@both_formats
def test_every_truncation_is_refused(form: Format) -> None:
    good = encode_records(RECORDS, form)
    assert not any(is_decoded(good[:length]) for length in range(len(good)))


@both_formats
def test_random_documents_are_decoded_or_refused(form: Format) -> None:
    """Valid JSON or MessagePack with fields of every type: what decodes must encode again to the same."""
    chance = random.Random(99)
    decoded = 0
    for _ in range(3000):
        record = {"type": chance.choice(["telemetry", "event", "drift", "new"]), **STAMP, "metrics": {}}
        record |= {"name": "n", "scores": {}, "window": 1, "model": "m"}
        record[chance.choice(list(record))] = random_value(chance, 0)
        message = {"version": 1, "records": [record], "more": random_value(chance, 0)}
        data = json.dumps(message).encode() if form is Format.JSON else msgspec.msgpack.encode(message)
        try:
            batch = decode_records(data)
        except MessageError:
            continue
        decoded += 1
        assert decode_records(encode_records(list(batch.records), form)).records == batch.records
    assert 100 < decoded < 3000, "the test must see both outcomes"


def is_decoded(data: bytes) -> bool:
    """True if it decodes as records; whatever happens must be a result or a MessageError."""
    for kind in (Status, Meta, Command, Response):
        try:
            decode_notice(data, kind)
        except MessageError:
            continue
    try:
        decode_records(data)
    except MessageError:
        return False
    return True


def random_value(chance: random.Random, depth: int) -> object:
    kind = chance.randrange(8 if depth < 3 else 6)
    match kind:
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return chance.randint(-(2**63), 2**64 - 1)
        case 3:
            return chance.uniform(-1e300, 1e300)
        case 4 | 5:
            return "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(5)))
        case 6:
            return [random_value(chance, depth + 1) for _ in range(chance.randrange(3))]
        case _:
            return {str(key): random_value(chance, depth + 1) for key in range(chance.randrange(3))}
