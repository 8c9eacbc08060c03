"""Sparkplug B payloads to bytes and back: the only file that knows protobuf.

The schema is that of the Sparkplug 3.0 specification, chapter 6.4.1, "Google Protocol Buffer Schema", as far as a host
needs it; data sets, templates, properties and metadata stay unread.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from edgewise_messages import MalformedMessage

Value: TypeAlias = float | int | bool | str | None
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Int8 to Int64, which travel in unsigned fields ("Datatype Details")."""
BOOLEAN, INT64 = 11, 4
_FIELDS = (
    ("name", 1, "STRING"), ("alias", 2, "UINT64"), ("timestamp", 3, "UINT64"), ("datatype", 4, "UINT32"),
    ("is_historical", 5, "BOOL"), ("is_transient", 6, "BOOL"), ("is_null", 7, "BOOL"),
)  # fmt: skip
_VALUES = (
    ("int_value", 10, "UINT32"), ("long_value", 11, "UINT64"), ("float_value", 12, "FLOAT"),
    ("double_value", 13, "DOUBLE"), ("boolean_value", 14, "BOOL"), ("string_value", 15, "STRING"),
    ("bytes_value", 16, "BYTES"),
)  # fmt: skip


@dataclass(frozen=True)
class SparkplugMetric:
    """One metric; what is None was not in it, or is null. ``datatype`` 0 is unknown."""

    name: str | None
    alias: int | None
    timestamp_ms: int | None
    datatype: int
    raw: Any
    """The value before its datatype is known."""
    is_historical: bool = False
    is_transient: bool = False


@dataclass(frozen=True)
class SparkplugPayload:
    """One publish."""

    metrics: tuple[SparkplugMetric, ...]
    timestamp_ms: int | None
    seq: int | None


def decode_sparkplug(data: bytes) -> SparkplugPayload:
    """Raises MalformedMessage."""
    payload = _classes()["Payload"]()
    try:
        payload.ParseFromString(data)
    except DecodeError as error:
        raise MalformedMessage(f"Sparkplug payload: {error}") from error
    return SparkplugPayload(
        metrics=tuple(_metric(metric) for metric in payload.metrics),
        timestamp_ms=payload.timestamp if payload.HasField("timestamp") else None,
        seq=payload.seq if payload.HasField("seq") else None,
    )


def encode_rebirth(now_ms: int) -> bytes:
    """The NCMD that asks an edge node for its births."""
    payload = _classes()["Payload"](timestamp=now_ms)
    payload.metrics.add(name="Node Control/Rebirth", timestamp=now_ms, datatype=BOOLEAN, boolean_value=True)
    return bytes(payload.SerializeToString())


def value_of(raw: Any, datatype: int) -> Value:
    """The value as its datatype means it; None for null, for bytes, and for what is not finite."""
    if isinstance(raw, float):
        return raw if math.isfinite(raw) else None
    if datatype in _SIGNED_BITS and isinstance(raw, int) and not isinstance(raw, bool):
        bits = _SIGNED_BITS[datatype]
        raw %= 2**bits
        return int(raw - 2**bits) if raw >= 2 ** (bits - 1) else int(raw)
    if isinstance(raw, bool | str):
        return raw
    if isinstance(raw, int):
        # UInt64 beyond what every store holds is kept as the nearest float.
        return raw if raw < 2**63 else float(raw)
    return None


def _metric(metric: Any) -> SparkplugMetric:
    place = metric.WhichOneof("value")
    return SparkplugMetric(
        name=metric.name if metric.HasField("name") else None,
        alias=metric.alias if metric.HasField("alias") else None,
        timestamp_ms=metric.timestamp if metric.HasField("timestamp") else None,
        datatype=metric.datatype,
        raw=None if place is None or metric.is_null else getattr(metric, place),
        is_historical=metric.is_historical,
        is_transient=metric.is_transient,
    )


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="edgewise_sparkplug.proto", package="edgewise", syntax="proto2"
    )
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for name, number, kind in _FIELDS:
        _add_field(metric, name, number, kind)
    for name, number, kind in _VALUES:
        _add_field(metric, name, number, kind).oneof_index = 0
    _add_field(payload, "timestamp", 1, "UINT64")
    metrics = _add_field(payload, "metrics", 2, "MESSAGE")
    metrics.label, metrics.type_name = metrics.LABEL_REPEATED, ".edgewise.Payload.Metric"
    _add_field(payload, "seq", 3, "UINT64")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("edgewise.Payload")
    return {"Payload": message_factory.GetMessageClass(found)}


def _add_field(message: Any, name: str, number: int, kind: str) -> Any:
    field = message.field.add(name=name, number=number)
    field.label, field.type = field.LABEL_OPTIONAL, getattr(field, f"TYPE_{kind}")
    return field
