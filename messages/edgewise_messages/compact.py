"""The compact form of a batch: MessagePack arrays, metrics by number, floats as short as they can be exactly.

    [version, table, boots, ts_ms, mono_ns, seq, records]
    record     [kind, boot, ts_ms, mono_ns, seq, clock, ...]   times and seq less those of the batch
    telemetry  ... [prefix, [metric, value, metric, value ...], prefix, [...] ...]
    event      ... name, severity, message, {name: value}
    drift      ... model, {name: score}, window

`table` is the digest of the table (metric_tables.py) that the numbers are of; a metric outside of it is a text.
`prefix` is the part of the names before their first "/", with it ("front/"), or empty. A boot id of hexadecimal
digits travels as bytes. Floats: see `shorten`. MessagePack arrays begin with another byte than the maps and the
JSON of the other forms, so the first byte tells.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from edgewise_messages.errors import MalformedMessage, UnsupportedVersion
from edgewise_messages.metric_tables import BY_DIGEST, LATEST, MetricTable
from edgewise_messages.records import AnyRecord, Clock, Drift, Event, Severity, Telemetry

COMPACT_VERSION = 1
FIRST_BYTES = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
"""MessagePack specification, "array format family"."""
SIGNIFICANT_DIGITS = 6
"""C11 5.2.4.2.2, FLT_DIG: every decimal of six digits survives a float of 32 bits."""
_FLOAT32 = 0xCA
_CLOCKS = tuple(Clock)
_SEVERITIES = tuple(Severity)
_KINDS: tuple[type[AnyRecord], ...] = (Telemetry, Event, Drift)
Fields: TypeAlias = dict[str, Any]


class _Batch(msgspec.Struct, frozen=True, array_like=True):
    version: int
    table: int
    boots: list[Any]
    ts_ms: int
    mono_ns: int
    seq: int
    records: list[list[Any]]


class _Versioned(msgspec.Struct, frozen=True, array_like=True):
    version: int


_DECODER = msgspec.msgpack.Decoder(_Batch)
_VERSION_DECODER = msgspec.msgpack.Decoder(_Versioned)


def shorten(value: float) -> Any:
    """A float for MessagePack, which `lengthen` turns into the very same float.

    Six significant digits fit a float of 32 bits and are restored by rounding to them. Any other value travels in
    64 bits; one that 32 bits happen to hold exactly stands in brackets, as it must not be rounded.
    """
    single = _single(value)
    if single is None:
        return value
    if _rounded(single) == value and math.copysign(1.0, single) == math.copysign(1.0, value):
        return msgspec.Raw(struct.pack(">Bf", _FLOAT32, value))
    return [value] if single == value else value


def lengthen(value: Any) -> Any:
    """The value that `shorten` was given; anything but a float stays as it is."""
    if isinstance(value, list):
        if len(value) != 1 or not isinstance(value[0], float):
            raise MalformedMessage("message: got a list for a value, expected one float in it")
        return value[0]
    if isinstance(value, float) and _single(value) == value:
        return _rounded(value)
    return value


def encode_compact(records: list[AnyRecord]) -> bytes:
    """One publish with these records."""
    boots = list(dict.fromkeys(record.boot for record in records))
    first = records[0] if records else None
    base = (first.ts_ms, first.mono_ns, first.seq) if first is not None else (0, 0, 0)
    body = [_pack_record(record, boots.index(record.boot), base) for record in records]
    header = [COMPACT_VERSION, LATEST.digest, [_pack_boot(boot) for boot in boots], *base]
    return msgspec.msgpack.encode([*header, body])


def decode_compact(data: bytes) -> tuple[list[Fields], int]:
    """The fields of the records, not yet checked against the schema, and how many were of an unknown kind.

    Raises MalformedMessage; UnsupportedVersion for a later form or an unknown table.
    """
    batch = _read(data)
    table = BY_DIGEST.get(batch.table)
    if table is None:
        raise UnsupportedVersion(
            f"message: metric table {batch.table:08x} is not known here; update edgewise on this side,"
            ' or set report.format = "json" on the device'
        )
    known = [record for record in batch.records if _is_known(record)]
    try:
        return [_unpack_record(record, batch, table) for record in known], len(batch.records) - len(known)
    except (IndexError, TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"message: compact: {error}") from error


def _read(data: bytes) -> _Batch:
    try:
        version = _VERSION_DECODER.decode(data).version
        if version > COMPACT_VERSION:
            raise UnsupportedVersion(
                f"compact form: got version {version}, expected at most {COMPACT_VERSION};"
                " update edgewise on this side"
            )
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"message: {error}") from error


def _is_known(record: list[Any]) -> bool:
    """A later version may add kinds; a record without a number in front is nonsense and stays to be refused."""
    kind = record[0] if record else None
    return not isinstance(kind, int) or kind < len(_KINDS)


def _pack_record(record: AnyRecord, boot: int, base: tuple[int, int, int]) -> list[Any]:
    ts_ms, mono_ns, seq = base
    common = [
        _KINDS.index(type(record)),
        boot,
        record.ts_ms - ts_ms,
        record.mono_ns - mono_ns,
        record.seq - seq,
    ]
    return [*common, _CLOCKS.index(record.clock), *_pack_body(record)]


def _pack_body(record: AnyRecord) -> list[Any]:
    match record:
        case Telemetry():
            return [_pack_metrics(record.metrics)]
        case Event():
            severity = _SEVERITIES.index(record.severity)
            return [record.name, severity, record.message, _shortened(record.data)]
        case Drift():
            return [record.model, _shortened(record.scores), record.window]


def _unpack_record(record: list[Any], batch: _Batch, table: MetricTable) -> Fields:
    kind, boot, ts_ms, mono_ns, seq, clock, *body = record
    fields = {
        "type": _KINDS[_place(kind)].__struct_config__.tag,
        "boot": _unpack_boot(batch.boots[_place(boot)]),
        "ts_ms": batch.ts_ms + ts_ms,
        "mono_ns": batch.mono_ns + mono_ns,
        "seq": batch.seq + seq,
        "clock": _CLOCKS[_place(clock)].value,
    }
    return {**fields, **_unpack_body(kind, body, table)}


def _unpack_body(kind: int, body: list[Any], table: MetricTable) -> Fields:
    if kind == 0:
        (metrics,) = body
        return {"metrics": _unpack_metrics(metrics, table)}
    if kind == 1:
        name, severity, message, data = body
        severity = _SEVERITIES[_place(severity)].value
        return {"name": name, "severity": severity, "message": message, "data": _lengthened(data)}
    model, scores, window = body
    return {"model": model, "scores": _lengthened(scores), "window": window}


def _pack_metrics(metrics: Mapping[str, Any]) -> list[Any]:
    """Consecutive metrics of one prefix share it, so the order of the metrics is kept."""
    groups: list[Any] = []
    for name, value in metrics.items():
        head, slash, tail = name.partition("/")
        prefix, short = (head + slash, tail) if slash else ("", name)
        if not groups or groups[-2] != prefix:
            groups += [prefix, []]
        groups[-1] += [LATEST.numbers.get(short, short), _short(value)]
    return groups


def _unpack_metrics(groups: list[Any], table: MetricTable) -> Fields:
    metrics: Fields = {}
    for prefix, pairs in _pairs(groups):
        for key, value in _pairs(pairs):
            name = prefix + (key if isinstance(key, str) else table.names[_place(key)])
            if name in metrics:
                raise ValueError(f"metric {name} twice")
            metrics[name] = lengthen(value)
    return metrics


def _pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    if not isinstance(items, list) or len(items) % 2:
        raise ValueError("expected pairs")
    return zip(items[::2], items[1::2], strict=True)


def _place(number: Any) -> int:
    """A position in a list; Python would take a negative one from the end."""
    if type(number) is not int or number < 0:
        raise ValueError(f"got {number!r}, expected a number of a table")
    return number


def _pack_boot(boot: str) -> str | bytes:
    try:
        packed = bytes.fromhex(boot)
    except ValueError:
        return boot
    return packed if packed.hex() == boot else boot


def _unpack_boot(boot: Any) -> Any:
    return boot.hex() if isinstance(boot, bytes) else boot


def _short(value: Any) -> Any:
    return shorten(value) if isinstance(value, float) else value


def _shortened(values: Mapping[str, Any]) -> Fields:
    return {name: _short(value) for name, value in values.items()}


def _lengthened(values: Mapping[str, Any]) -> Fields:
    if not isinstance(values, dict):
        raise ValueError("expected names with values")
    return {name: lengthen(value) for name, value in values.items()}


def _single(value: float) -> float | None:
    """The nearest float of 32 bits; None where it has none."""
    try:
        single: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return None
    return single


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
