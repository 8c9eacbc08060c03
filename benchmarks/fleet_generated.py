"""Points of a fleet that reported regularly, written straight into a store's tables: for benchmarks/fleet.py."""

import math
import sqlite3
from collections.abc import Callable

import psycopg

from edgewise_fleet.store import RecordsArrival, open_store
from edgewise_messages import Clock, DeviceAddress, Telemetry

METRIC = "board.temperature_c"
DAY_MS = 86_400_000


def generate(
    address: str,
    *,
    devices: int,
    days: float,
    every_ms: int,
    start_ms: int,
    after_day: Callable[[int], None] = lambda until_ms: None,
) -> int:
    """One metric of so many devices; return how many points. ``after_day`` is called with the end of each day."""
    count = int(days * DAY_MS) // every_ms
    store = open_store(address)
    # The first point the usual way, so that devices, metric, partitions and marks exist.
    store.add([_arrival(device, start_ms, start_ms) for device in range(devices)])
    if address.startswith("postgresql"):
        for day in range(math.ceil(days)):
            store.add([_arrival(0, start_ms + day * DAY_MS + 1, start_ms + day * DAY_MS + 1)])
    store.close()
    fill = _fill_postgres if address.startswith("postgresql") else _fill_sqlite
    # Day by day, as points arrive: of all at once the marks' index by time would be larger than any cache.
    for begin_ms in range(start_ms, start_ms + count * every_ms, DAY_MS):
        fill(address, min(DAY_MS, start_ms + count * every_ms - begin_ms), every_ms, begin_ms)
        after_day(begin_ms + DAY_MS)
    return devices * count


def _arrival(device: int, at_ms: int, received_ms: int) -> RecordsArrival:
    record = Telemetry(
        ts_ms=at_ms,
        mono_ns=0,
        boot="b",
        seq=at_ms - 1_700_000_000_000,
        clock=Clock.NTP,
        metrics={METRIC: 50.0},
    )
    return RecordsArrival(DeviceAddress("lab", f"d{device}"), received_ms, (record,))


_POINTS = """
INSERT {ignore} INTO points (device_id, at_ms, metric_id, value)
SELECT devices.id, {start} + n * {every}, metrics.id, 50 + n % 97 * 0.25 FROM {source} WHERE metrics.name = '{metric}'
"""
_MARKS = """
INSERT {ignore} INTO unrolled (level, device_id, at_ms)
SELECT 0, devices.id, ({start} + n * {every}) / 60000 * 60000 FROM {source} WHERE metrics.name = '{metric}'
"""


def _fill_sqlite(address: str, span_ms: int, every_ms: int, start_ms: int) -> None:
    database = sqlite3.connect(address, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -200000")
    series = "(WITH RECURSIVE s (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {}) SELECT n FROM s)"
    for query, every in ((_POINTS, every_ms), (_MARKS, max(every_ms, 60_000))):
        source = f"devices CROSS JOIN metrics CROSS JOIN {series.format(math.ceil(span_ms / every))}"
        database.execute(
            query.format(ignore="OR IGNORE", start=start_ms, every=every, source=source, metric=METRIC)
        )
    database.close()


def _fill_postgres(address: str, span_ms: int, every_ms: int, start_ms: int) -> None:
    with psycopg.connect(address, autocommit=True) as database:
        for query, every in ((_POINTS, every_ms), (_MARKS, max(every_ms, 60_000))):
            series = f"generate_series(0::bigint, {math.ceil(span_ms / every) - 1})"
            source = f"devices CROSS JOIN metrics CROSS JOIN {series} AS n"
            text = query.format(ignore="", start=start_ms, every=every, source=source, metric=METRIC)
            database.execute((text + ("ON CONFLICT DO NOTHING" if query is _POINTS else "")).encode())
        database.execute("ANALYZE")
