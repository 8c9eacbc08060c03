"""Messages to bytes and back: JSON or MessagePack under one schema, recognised by the first byte."""

from enum import StrEnum
from typing import TypeVar

import msgspec

from edgewise_messages.commands import Command, Response
from edgewise_messages.errors import MalformedMessage, UnsupportedVersion
from edgewise_messages.records import SCHEMA_VERSION, AnyRecord, Drift, Event, Meta, Status, Telemetry

MAX_MESSAGE_BYTES = 256 * 1024
"""Larger messages are refused undecoded; MQTT itself would allow 256 MiB."""

Notice = TypeVar("Notice", Status, Meta, Command, Response)


class Format(StrEnum):
    """How a message is written."""

    JSON = "json"
    MSGPACK = "msgpack"


class _Batch(msgspec.Struct, frozen=True):
    records: list[msgspec.Raw]
    version: int = SCHEMA_VERSION


class _Tag(msgspec.Struct, frozen=True):
    type: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one publish on a record channel carried."""

    records: tuple[AnyRecord, ...]
    unknown: int = 0
    """Records of a type this version does not know; a later version may."""


def encode_records(records: list[AnyRecord], form: Format = Format.JSON) -> bytes:
    """One publish with these records, in this order."""
    return _encode({"version": SCHEMA_VERSION, "records": records}, form)


def encode_notice(notice: Status | Meta | Command | Response, form: Format = Format.JSON) -> bytes:
    """One status, meta, command or response."""
    return _encode(notice, form)


def join_encoded(records: list[bytes]) -> bytes:
    """One JSON publish from records that `encode_record` wrote earlier, without decoding them."""
    return b'{"version":%d,"records":[%s]}' % (SCHEMA_VERSION, b",".join(records))


def encode_record(record: AnyRecord) -> bytes:
    """One record as JSON, to be kept and later joined with `join_encoded`."""
    return msgspec.json.encode(record)


def decode_record(data: bytes) -> AnyRecord:
    """The record that `encode_record` wrote. Raises MalformedMessage."""
    return _decode(data, Telemetry | Event | Drift)  # type: ignore[arg-type, return-value]


def decode_records(data: bytes) -> Batch:
    """The records of one publish.

    Raises MalformedMessage if any of them has a wrong field, UnsupportedVersion for a later schema.
    """
    batch = _decode(data, _Batch)
    _check_version(batch.version)
    records: list[AnyRecord] = []
    unknown = 0
    for raw in batch.records:
        if _type_of(data, raw) in ("telemetry", "event", "drift"):
            records.append(_decode_as(data, bytes(raw), Telemetry | Event | Drift))  # type: ignore[arg-type]
        else:
            unknown += 1
    return Batch(records=tuple(records), unknown=unknown)


def decode_notice(data: bytes, kind: type[Notice]) -> Notice:
    """One status, meta, command or response. Raises MalformedMessage or UnsupportedVersion."""
    notice = _decode(data, kind)
    _check_version(notice.version)
    return notice


def _check_version(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise UnsupportedVersion(
            f"message version: got {version}, expected at most {SCHEMA_VERSION}; update edgewise on this side"
        )


def _type_of(message: bytes, raw: msgspec.Raw) -> str:
    return _decode_as(message, bytes(raw), _Tag).type


def _is_json(data: bytes) -> bool:
    return data[:1] in (b"{", b"[", b" ", b"\n")


def _encode(value: object, form: Format) -> bytes:
    return msgspec.json.encode(value) if form is Format.JSON else msgspec.msgpack.encode(value)


Decoded = TypeVar("Decoded")


def _decode(data: bytes, kind: type[Decoded]) -> Decoded:
    if len(data) > MAX_MESSAGE_BYTES:
        raise MalformedMessage(f"message: got {len(data)} bytes, expected at most {MAX_MESSAGE_BYTES}")
    return _decode_as(data, data, kind)


def _decode_as(message: bytes, data: bytes, kind: type[Decoded]) -> Decoded:
    """Decode ``data``, a part of ``message``, in the format that ``message`` is in."""
    decode = msgspec.json.decode if _is_json(message) else msgspec.msgpack.decode
    try:
        return decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"message: {error}") from error
