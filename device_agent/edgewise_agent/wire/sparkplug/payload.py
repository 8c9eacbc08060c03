"""Sparkplug B payloads to bytes and back: the parts of the schema that an edge node needs.

Field numbers from the Sparkplug 3.0 specification, chapter 6, "Google Protocol Buffer Schema". Written with the
SDK's protobuf wire functions and not with the protobuf library, which would add 2 MB to the agent's 18 and exists
for 32-bit ARM in pure Python only. tests/device_agent/test_sparkplug_payload.py holds this against a released
decoder.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum

from edgewise.errors import ModelFileError
from edgewise.protobuf_wire import BYTES, FIXED32, FIXED64, VARINT, Field, bytes_field, fields, varint_field
from edgewise_agent.errors import MalformedPayload

MetricValue = int | float | bool | str | None
_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN, _STRING = range(10, 16)
"""Field numbers of a metric's value."""
_WORD = 2**64


class DataType(IntEnum):
    """Those that this node sends; a payload that is read may hold others."""

    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


@dataclass(frozen=True)
class Metric:
    """One metric of a payload; what is None was not in it. ``value`` None with ``is_null`` is a null."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    value: MetricValue = None
    is_null: bool = False
    is_historical: bool = False


@dataclass(frozen=True)
class Payload:
    """One publish."""

    metrics: tuple[Metric, ...] = ()
    timestamp_ms: int | None = None
    seq: int | None = None

    def find(self, name: str) -> Metric | None:
        """The first metric of that name."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def encode_payload(payload: Payload) -> bytes:
    """The bytes of one publish."""
    parts = []
    if payload.timestamp_ms is not None:
        parts.append(varint_field(1, payload.timestamp_ms))
    parts += [bytes_field(2, _encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(varint_field(3, payload.seq))
    return b"".join(parts)


def decode_payload(data: bytes) -> Payload:
    """Raises MalformedPayload. Fields that this module does not know are left out."""
    view = memoryview(data)
    metrics: list[Metric] = []
    payload = Payload()
    try:
        for field in fields(view, 0, len(data)):
            if (field.number, field.wire) == (1, VARINT):
                payload = replace(payload, timestamp_ms=_varint(view, field))
            elif (field.number, field.wire) == (2, BYTES):
                metrics.append(_decode_metric(view, field))
            elif (field.number, field.wire) == (3, VARINT):
                payload = replace(payload, seq=_varint(view, field))
    except (ModelFileError, UnicodeDecodeError) as error:
        raise MalformedPayload(f"Sparkplug payload: {error}") from error
    return replace(payload, metrics=tuple(metrics))


def _encode_metric(metric: Metric) -> bytes:
    parts = [] if metric.name is None else [bytes_field(1, metric.name)]
    numbers = ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype))
    parts += [varint_field(number, value) for number, value in numbers if value is not None]
    flags = ((5, metric.is_historical), (7, metric.is_null))
    parts += [varint_field(number, 1) for number, is_set in flags if is_set]
    return b"".join([*parts, _encode_value(metric.value)])


def _encode_value(value: MetricValue) -> bytes:
    match value:
        case None:
            return b""
        case bool():
            return varint_field(_BOOLEAN, int(value))
        case int():
            # Two's complement: the specification, "Datatype Details", Int64 in long_value.
            return varint_field(_LONG, value % _WORD)
        case float():
            return bytes([_DOUBLE << 3 | FIXED64]) + struct.pack("<d", value)
        case str():
            return bytes_field(_STRING, value)


def _decode_metric(view: memoryview, whole: Field) -> Metric:
    found: dict[tuple[int, int], Field] = {
        (field.number, field.wire): field for field in fields(view, whole.body, whole.end)
    }

    def number(place: int) -> int | None:
        field = found.get((place, VARINT))
        return None if field is None else _varint(view, field)

    name = found.get((1, BYTES))
    return Metric(
        name=None if name is None else _text(view, name),
        alias=number(2),
        timestamp_ms=number(3),
        datatype=number(4),
        value=_decode_value(view, found, number(4)),
        is_null=bool(number(7)),
        is_historical=bool(number(5)),
    )


def _decode_value(view: memoryview, found: dict[tuple[int, int], Field], datatype: int | None) -> MetricValue:
    for (number, wire), field in found.items():
        match number, wire:
            case (10, 0):
                return _signed(_varint(view, field), 32, datatype in (1, 2, 3))
            case (11, 0):
                # Without a datatype, as in DATA, this node's own integers are Int64.
                return _signed(_varint(view, field), 64, datatype in (None, DataType.INT64))
            case (12, wire_type) if wire_type == FIXED32:
                return float(struct.unpack("<f", view[field.body : field.end])[0])
            case (13, wire_type) if wire_type == FIXED64:
                return float(struct.unpack("<d", view[field.body : field.end])[0])
            case (14, 0):
                return bool(_varint(view, field))
            case (15, wire_type) if wire_type == BYTES:
                return _text(view, field)
            case _:
                continue
    return None


def _signed(value: int, bits: int, is_signed: bool) -> int:
    return value - 2**bits if is_signed and value >= 2 ** (bits - 1) else value


def _varint(view: memoryview, field: Field) -> int:
    value = 0
    for place, byte in enumerate(view[field.body : field.end]):
        value |= (byte & 0x7F) << 7 * place
    return value % _WORD


def _text(view: memoryview, field: Field) -> str:
    return bytes(view[field.body : field.end]).decode()
