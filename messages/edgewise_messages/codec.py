"""Messages to bytes and back: JSON, MessagePack or the compact form under one schema, told by the first byte.

What one side can write the other can read: encoding refuses what decoding would refuse.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, TypeAlias, TypeVar

import msgspec

from edgewise_messages import compact
from edgewise_messages.commands import Command, Response
from edgewise_messages.errors import MalformedMessage, UnsupportedVersion
from edgewise_messages.records import (
    SCHEMA_VERSION,
    AnyRecord,
    Drift,
    Event,
    Meta,
    Status,
    Telemetry,
    Version,
)
from edgewise_messages.snapshots import SnapshotChunk

MAX_MESSAGE_BYTES = 256 * 1024
"""Larger messages are refused undecoded; MQTT itself would allow 256 MiB."""

AnyNotice: TypeAlias = Status | Meta | Command | Response | SnapshotChunk
Notice = TypeVar("Notice", Status, Meta, Command, Response, SnapshotChunk)

_RECORD_TYPES = (Telemetry, Event, Drift)
_TAGS = frozenset(str(kind.__struct_config__.tag) for kind in _RECORD_TYPES)
_JSON_STARTS = (b"{", b"[", b" ", b"\n", b"\r", b"\t")
"""In MessagePack these bytes are small integers, never the map that a message is."""


class Format(StrEnum):
    """How a message is written."""

    JSON = "json"
    MSGPACK = "msgpack"
    COMPACT = "compact"
    """Of batches of records only (compact.py); notices in this form are MessagePack."""


class _Batch(msgspec.Struct, frozen=True):
    records: list[Telemetry | Event | Drift]
    version: Version = SCHEMA_VERSION


class _RawBatch(msgspec.Struct, frozen=True):
    records: list[msgspec.Raw]
    version: Version = SCHEMA_VERSION


class _Tag(msgspec.Struct, frozen=True):
    type: str


class _Versioned(msgspec.Struct, frozen=True):
    version: Version = SCHEMA_VERSION


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one publish on a record channel carried."""

    records: tuple[AnyRecord, ...]
    unknown: int = 0
    """Records of a type this version does not know; a later version may."""
    bodies: tuple[bytes, ...] = ()
    """Each of the records as JSON, with the fields that this version does not know."""


def encode_records(records: list[AnyRecord], form: Format = Format.JSON) -> bytes:
    """One publish with these records, in this order. Raises MalformedMessage."""
    _check_finite(*records)
    if form is Format.COMPACT:
        return _encode_compact(records)
    return _encode({"version": SCHEMA_VERSION, "records": records}, form, _Batch)


def encode_notice(notice: AnyNotice, form: Format = Format.JSON) -> bytes:
    """One status, meta, command, response or snapshot's part. Raises MalformedMessage."""
    _check_finite(notice)
    return _encode(notice, form, type(notice))


def encode_record(record: AnyRecord) -> bytes:
    """One record as JSON, to be kept and later joined with `join_encoded`. Raises MalformedMessage."""
    _check_finite(record)
    return _encode(record, Format.JSON, type(record))


def join_encoded(records: list[bytes]) -> bytes:
    """One JSON publish from records that `encode_record` wrote earlier, without decoding them."""
    message = b'{"version":%d,"records":[%s]}' % (SCHEMA_VERSION, b",".join(records))
    check_size(len(message))
    return message


def decode_record(data: bytes) -> AnyRecord:
    """The record that `encode_record` wrote. Raises MalformedMessage."""
    check_size(len(data))
    record: AnyRecord = _decode(data, _form_of(data), AnyRecord)
    _check_finite(record)
    return record


def decode_records(data: bytes) -> Batch:
    """The records of one publish.

    Raises MalformedMessage if any of them has a wrong field, UnsupportedVersion for a later schema.
    """
    check_size(len(data))
    if data[:1] and data[0] in compact.FIRST_BYTES:
        return _decode_compact(data)
    form = _form_of(data)
    try:
        batch: _Batch = _decode(data, form, _Batch)
        _check_version(batch.version)
        records, raw = batch.records, _decode(data, form, _RawBatch).records
        unknown = 0
    except MalformedMessage:
        _check_version(_version_of(data, form))
        records, raw, unknown = _decode_one_by_one(data, form)
    if form is Format.JSON:
        # JSON has no way to write what is not finite, and the decoder refuses what is too large.
        return Batch(records=tuple(records), unknown=unknown, bodies=tuple(map(bytes, raw)))
    _check_finite(*records)
    return Batch(records=tuple(records), unknown=unknown, bodies=tuple(map(_as_json, raw)))


def decode_notice(data: bytes, kind: type[Notice]) -> Notice:
    """One status, meta, command, response or snapshot's part. Raises MalformedMessage or UnsupportedVersion."""
    check_size(len(data))
    form = _form_of(data)
    try:
        notice: Notice = _decode(data, form, kind)
    except MalformedMessage:
        _check_version(_version_of(data, form))
        raise
    _check_version(notice.version)
    _check_finite(notice)
    return notice


def _decode_one_by_one(data: bytes, form: Format) -> tuple[list[AnyRecord], list[msgspec.Raw], int]:
    """The records of a known type, read and raw, and how many are of an unknown one."""
    batch: _RawBatch = _decode(data, form, _RawBatch)
    records: list[AnyRecord] = []
    kept: list[msgspec.Raw] = []
    for raw in batch.records:
        tag: _Tag = _decode(bytes(raw), form, _Tag)
        if tag.type in _TAGS:
            records.append(_decode(bytes(raw), form, AnyRecord))
            kept.append(raw)
    return records, kept, len(batch.records) - len(records)


def _as_json(raw: msgspec.Raw) -> bytes:
    """A record in MessagePack as JSON, unknown fields too."""
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(raw))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"message: a field that JSON cannot hold: {error}") from error


def _encode_compact(records: list[AnyRecord]) -> bytes:
    try:
        data = compact.encode_compact(records)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"message: {error}") from error
    check_size(len(data))
    if _decode_compact(data).records != tuple(records):
        raise MalformedMessage("message: a record does not survive the compact form; send it as JSON")
    return data


def _decode_compact(data: bytes) -> Batch:
    fields, unknown = compact.decode_compact(data)
    try:
        records = msgspec.convert(fields, list[AnyRecord])
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"message: {error}") from error
    _check_finite(*records)
    # This form has no room for unknown fields.
    bodies = tuple(msgspec.json.encode(record) for record in records)
    return Batch(records=tuple(records), unknown=unknown, bodies=bodies)


def _version_of(data: bytes, form: Format) -> int:
    """What the message says, when the rest of it is of no known shape."""
    versioned: _Versioned = _decode(data, form, _Versioned)
    return versioned.version


def _check_version(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise UnsupportedVersion(
            f"message version: got {version}, expected at most {SCHEMA_VERSION}; update edgewise on this side"
        )


def check_size(size_bytes: int) -> None:
    """Raise MalformedMessage for a message that is too large to be read."""
    if size_bytes > MAX_MESSAGE_BYTES:
        raise MalformedMessage(f"message: got {size_bytes} bytes, expected at most {MAX_MESSAGE_BYTES}")


def _check_finite(*messages: AnyRecord | AnyNotice) -> None:
    """JSON has no NaN and no infinity; a value that is not known is left out, or None."""
    for message in messages:
        for field in ("metrics", "scores", "data", "arguments"):
            for name, value in getattr(message, field, {}).items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise MalformedMessage(f"message: {field}.{name}: got {value}, expected a finite number")


def _form_of(data: bytes) -> Format:
    return Format.JSON if data[:1] in _JSON_STARTS else Format.MSGPACK


def _encode(value: object, form: Format, kind: Any) -> bytes:
    encode = msgspec.json.encode if form is Format.JSON else msgspec.msgpack.encode
    try:
        data = encode(value)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"message: {error}") from error
    check_size(len(data))
    _decode(data, form, kind)
    return data


@cache
def _decoder(form: Format, kind: Any) -> Callable[[bytes], Any]:
    if form is Format.JSON:
        return msgspec.json.Decoder(kind).decode
    return msgspec.msgpack.Decoder(kind).decode


def _decode(data: bytes, form: Format, kind: Any) -> Any:
    try:
        return _decoder(form, kind)(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"message: {error}") from error
