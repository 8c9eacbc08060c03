"""What both databases' reading has in common: rows into what callers get."""

from collections.abc import Iterable, Mapping

import msgspec

from edgewise_fleet.store.base import Bucket, DeviceRow
from edgewise_messages import DeviceAddress, DeviceState, Meta

MINUTE_MS = 60_000


def device_row(row: tuple[object, ...], metrics: Mapping[str, float]) -> DeviceRow:
    """From (id, group, device, first seen, last seen, state, since, reason, meta)."""
    _, group, device, first_seen, last_seen, state, since, reason, meta = row
    return DeviceRow(
        address=DeviceAddress(str(group), str(device)),
        first_seen_ms=int(str(first_seen)),
        last_seen_ms=int(str(last_seen)),
        state=None if state is None else DeviceState(str(state)),
        state_since_ms=int(str(since)),
        state_reason=str(reason),
        meta=msgspec.json.decode(meta, type=Meta) if isinstance(meta, bytes) else None,
        metrics=metrics,
    )


def merge_buckets(rows: Iterable[tuple[int, int, float, float, float]], width_ms: int) -> tuple[Bucket, ...]:
    """From (at, count, sum, min, max) of several sources and widths, buckets of one width."""
    merged: dict[int, Bucket] = {}
    for at_ms, count, total, low, high in rows:
        begin_ms = at_ms - at_ms % width_ms
        was = merged.get(begin_ms)
        merged[begin_ms] = (
            Bucket(begin_ms, width_ms, count, total, low, high)
            if was is None
            else Bucket(
                begin_ms, width_ms, was.count + count, was.sum + total, min(was.min, low), max(was.max, high)
            )
        )
    return tuple(merged[at_ms] for at_ms in sorted(merged))
