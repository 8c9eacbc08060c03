import math
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise_messages import (
    AnyRecord,
    Clock,
    Drift,
    Event,
    Format,
    MalformedMessage,
    Severity,
    Telemetry,
    UnsupportedVersion,
    decode_records,
    encode_records,
)
from edgewise_messages.compact import FIRST_BYTES, lengthen, shorten
from edgewise_messages.metric_tables import BY_DIGEST, FIRST
from edgewise_messages.metrics import STANDARD

COUNT = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NAME = st.one_of(
    st.sampled_from([metric.name for metric in STANDARD]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.builds("{}/{}".format, st.sampled_from(["front", "a", ""]), st.sampled_from(FIRST.names)),
)
FLOAT = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(-(10**6), 10**6).map(lambda whole: whole / 1000),
)
VALUE = st.one_of(FLOAT, st.integers(-(2**63), 2**63 - 1), st.booleans(), TEXT, st.none())
HEAD = {
    "ts_ms": COUNT,
    "mono_ns": COUNT,
    "boot": st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.just("3aa38b38dbaf4b10")),
    "seq": COUNT,
    "clock": st.sampled_from(Clock),
}
RECORD = st.one_of(
    st.builds(Telemetry, **HEAD, metrics=st.dictionaries(NAME, VALUE, max_size=8)),
    st.builds(
        Event, **HEAD, name=NAME, severity=st.sampled_from(Severity), message=TEXT,
        data=st.dictionaries(NAME, VALUE, max_size=4),
    ),
    st.builds(Drift, **HEAD, model=TEXT, scores=st.dictionaries(NAME, FLOAT, max_size=4), window=COUNT),
)  # fmt: skip

ONE = Telemetry(
    ts_ms=1795359272618, mono_ns=2155144393977, boot="3aa38b38dbaf4b10", seq=6, clock=Clock.NTP,
    metrics={"model.inferences": 3, "board.temperature_c": 61.8, "my.own": 2.5, "front/model.errors": 1},
)  # fmt: skip


def exactly(records: tuple[AnyRecord, ...]) -> bytes:
    """Equal only when every value has the same type and the same bits: 1 == 1.0 == True, and -0.0 == 0.0."""
    return msgspec.msgpack.encode(records)


@given(st.lists(RECORD, max_size=5))
@settings(max_examples=400, deadline=None)
def test_every_record_comes_back_bit_for_bit(records: list[AnyRecord]) -> None:
    data = encode_records(records, Format.COMPACT)
    assert data[0] in FIRST_BYTES
    assert exactly(decode_records(data).records) == exactly(tuple(records))


@given(FLOAT)
@settings(max_examples=1000, deadline=None)
def test_a_float_is_shortened_to_exactly_itself(value: float) -> None:
    back = lengthen(msgspec.msgpack.decode(msgspec.msgpack.encode(shorten(value))))
    assert struct.pack(">d", back) == struct.pack(">d", value)


@pytest.mark.parametrize(
    ("value", "size_bytes"), [(61.8, 5), (0.0, 5), (1e-30, 5), (0.1 + 0.2, 9), (1234567.0, 10), (1e300, 9)]
)
def test_six_digits_take_half_the_bytes(value: float, size_bytes: int) -> None:
    assert len(msgspec.msgpack.encode(shorten(value))) == size_bytes


def test_a_prefix_is_spelled_once_and_a_name_without_a_number_in_full() -> None:
    data = encode_records([ONE], Format.COMPACT)
    assert data.count(b"front/") == 1
    assert b"my.own" in data
    assert b"temperature" not in data
    assert list(decode_records(data).records[0].metrics) == list(ONE.metrics)  # type: ignore[union-attr]


def test_the_released_table_never_changes() -> None:
    """A device in the field writes with it: a new name goes into a new table, or is spelled out."""
    assert (FIRST.digest, len(FIRST.names)) == (0xEF5F8171, 66)
    assert len(set(FIRST.names)) == len(FIRST.names)


def test_every_standard_metric_in_the_tables_has_this_name_still() -> None:
    assert {name for table in BY_DIGEST.values() for name in table.names} <= {m.name for m in STANDARD}


INTERVAL = {
    "model.inferences": 1263, "model.errors": 0, "model.throughput_per_s": 47.7158, "model.latency_p50_ms": 4.48192,
    "model.latency_p95_ms": 6.30221, "model.invoke_p50_ms": 0.0291, "model.confidence_mean": 0.912384,
    "board.cpu_percent": 41.7, "board.memory_used_percent": 22.4, "board.memory_available_bytes": 2970099712,
    "board.temperature_c": 61.83, "board.disk_used_percent": 37.1, "board.disk_free_bytes": 18398101504,
    "agent.memory_bytes": 61202432, "agent.outbox_records": 3, "agent.outbox_bytes": 127336,
    "agent.dropped_records": 0, "agent.uptime_s": 26.5,
}  # fmt: skip


def test_a_telemetry_interval_needs_little_more_than_a_quarter_of_flat_json() -> None:
    """Asked for is at most 0.55; benchmarks/wire_size.py measures a running agent's."""
    record = Telemetry(
        ts_ms=1795359272618, mono_ns=2155144393977, boot="3aa38b38dbaf4b10", seq=6, clock=Clock.NTP,
        metrics=dict(INTERVAL),
    )  # fmt: skip
    flat = {
        "ts_ms": 1795359272618,
        "mono_ns": 2155144393977,
        "boot": "3aa38b38dbaf4b10",
        "seq": 6,
        "clock": "ntp",
    }
    assert len(encode_records([record], Format.COMPACT)) < 0.3 * len(
        msgspec.json.encode({**flat, **INTERVAL})
    )


def changed(place: int, value: object) -> bytes:
    parts = msgspec.msgpack.decode(encode_records([ONE], Format.COMPACT))
    parts[place] = value
    return msgspec.msgpack.encode(parts)


def test_another_table_is_refused_instead_of_read_wrongly() -> None:
    with pytest.raises(UnsupportedVersion, match="metric table 0000007b is not known"):
        decode_records(changed(1, 123))


def test_a_later_compact_version_is_refused() -> None:
    with pytest.raises(UnsupportedVersion, match="got version 2"):
        decode_records(changed(0, 2))


def test_records_of_a_later_kind_are_counted() -> None:
    parts = msgspec.msgpack.decode(encode_records([ONE], Format.COMPACT))
    parts[6].append([7, "what", "ever"])
    batch = decode_records(msgspec.msgpack.encode(parts))
    assert (batch.records, batch.unknown) == ((ONE,), 1)


def with_record(*record: object) -> bytes:
    return changed(6, [list(record)])


@pytest.mark.parametrize(
    "data",
    [
        with_record(0, 0, 0, 0, 0, 0, ["", [len(FIRST.names), 1]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [-1, 1]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [True, 1]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [0, 1, 0, 2]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [0]]),
        with_record(0, 0, 0, 0, 0, 0, [1, [0, 1]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [0, [1.0, 2.0]]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [0, math.inf]]),
        with_record(0, 0, 0, 0, 0, 0, ["", [0, {}]]),
        with_record(0, 1, 0, 0, 0, 0, ["", [0, 1]]),
        with_record(0, 0, -(2**62), 0, 0, 0, ["", [0, 1]]),
        with_record(0, 0, "x", 0, 0, 0, ["", [0, 1]]),
        with_record(0, 0, 0, 0, 0, 3, ["", [0, 1]]),
        with_record(0, 0, 0, 0, 0, 0),
        with_record(),
        with_record("0"),
        with_record(-1, 0, 0, 0, 0, 0, ["", [0, 1]]),
        with_record(1, 0, 0, 0, 0, 0, "n", 4, "", {}),
        with_record(1, 0, 0, 0, 0, 0, "n", 0, "", []),
        with_record(2, 0, 0, 0, 0, 0, "m", {"s": "x"}, 1),
        changed(2, [7]),
        changed(0, "1"),
        b"\x90",
        b"\x97\x01",
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_records(data)


@given(st.binary(max_size=60).map(lambda tail: encode_records([ONE], Format.COMPACT)[:40] + tail))
@settings(max_examples=300, deadline=None)
def test_damage_is_refused_or_read_within_the_schema(data: bytes) -> None:
    try:
        batch = decode_records(data)
    except (MalformedMessage, UnsupportedVersion):
        return
    encode_records(list(batch.records))
