"""Our payloads against those of a released library, generated from the specification's schema."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysparkplug import _protobuf

from edgewise_agent.errors import MalformedPayload
from edgewise_agent.wire.sparkplug.payload import DataType, Metric, Payload, decode_payload, encode_payload

VALUES = {
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(st.characters(codec="utf-8"), max_size=300),
}
STAMP = st.integers(0, 2**63 - 1)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    datatype = draw(st.sampled_from(DataType))
    value = draw(st.none() | VALUES[datatype])
    return Metric(
        name=draw(st.none() | st.text(st.characters(codec="utf-8"), max_size=200)),
        alias=draw(st.none() | st.integers(0, 2**63)),
        timestamp_ms=draw(st.none() | STAMP),
        datatype=datatype,
        value=value,
        is_null=value is None,
        is_historical=draw(st.booleans()),
    )


PAYLOADS = st.builds(
    Payload,
    metrics=st.lists(metrics(), max_size=5).map(tuple),
    timestamp_ms=st.none() | STAMP,
    seq=st.none() | st.integers(0, 255),
)
FIELDS = {DataType.INT64: "long_value", DataType.DOUBLE: "double_value"}
FIELDS |= {DataType.BOOLEAN: "boolean_value", DataType.STRING: "string_value"}


@given(PAYLOADS)
@settings(max_examples=300, deadline=None)
def test_a_released_library_reads_what_we_write(payload: Payload) -> None:
    read = _protobuf.Payload.FromString(encode_payload(payload))
    assert read.timestamp == (payload.timestamp_ms or 0)
    assert read.HasField("seq") == (payload.seq is not None)
    assert read.seq == (payload.seq or 0)
    for theirs, ours in zip(read.metrics, payload.metrics, strict=True):
        assert (theirs.name, theirs.HasField("name")) == (ours.name or "", ours.name is not None)
        assert (theirs.alias, theirs.HasField("alias")) == (ours.alias or 0, ours.alias is not None)
        assert (theirs.timestamp, theirs.datatype) == (ours.timestamp_ms or 0, ours.datatype)
        assert (theirs.is_null, theirs.is_historical) == (ours.is_null, ours.is_historical)
        assert theirs.WhichOneof("value") == (None if ours.is_null else FIELDS[DataType(ours.datatype or 0)])
        if not ours.is_null:
            value = getattr(theirs, theirs.WhichOneof("value"))
            assert value == (ours.value % 2**64 if type(ours.value) is int else ours.value)


@given(PAYLOADS)
@settings(max_examples=300, deadline=None)
def test_we_read_what_a_released_library_writes(payload: Payload) -> None:
    theirs = _protobuf.Payload.FromString(encode_payload(payload))
    theirs.uuid, theirs.body = "not ours", b"\x00\x01"
    assert decode_payload(theirs.SerializeToString()) == payload


@pytest.mark.parametrize(
    ("field", "datatype", "written", "read"),
    [
        ("int_value", 3, 2**32 - 5, -5),
        ("int_value", 7, 2**32 - 5, 2**32 - 5),
        ("long_value", 8, 2**64 - 5, 2**64 - 5),
        ("float_value", 9, 0.5, 0.5),
    ],
)
def test_datatypes_that_we_never_send_are_read_too(
    field: str, datatype: int, written: float, read: float
) -> None:
    theirs = _protobuf.Payload()
    metric = theirs.metrics.add(name="m", datatype=datatype)
    setattr(metric, field, written)
    (ours,) = decode_payload(theirs.SerializeToString()).metrics
    assert ours.value == read


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_payload_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedPayload):
        decode_payload(data)


@pytest.mark.parametrize("data", [b"\xff", b"\x12\x05\x0a", b"\x12\x03\x0a\x01\xff"])
def test_damage_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(MalformedPayload, match="Sparkplug payload"):
        decode_payload(data)
