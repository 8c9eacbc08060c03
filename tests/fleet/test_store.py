"""What every store keeps to: SQLite and PostgreSQL, both real."""

import sqlite3
from collections.abc import Callable, Iterator

import psycopg
import pytest
from fleet.store_parts import CAMERA, LATENCY, NOW_MS, arrived, latency, status, telemetry
from msgspec.structs import replace

from edgewise_fleet.store import (
    Bucket,
    Counter,
    Keep,
    MetaArrival,
    RecordsArrival,
    RejectedArrival,
    Store,
    open_store,
)
from edgewise_fleet.store.rows import QUARANTINE_BYTES, QUARANTINE_ROWS
from edgewise_messages import (
    Clock,
    DeviceAddress,
    DeviceState,
    Event,
    Meta,
    ModelInfo,
    Telemetry,
)

Query = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    opened = open_store(address)
    yield opened
    opened.close()


@pytest.fixture
def query(address: str) -> Query:
    """Ask the database itself."""

    def ask(sql: str) -> list[tuple[object, ...]]:
        if address.startswith("postgresql"):
            with psycopg.connect(address) as connection:
                cursor = connection.execute(sql.encode())
                return list(cursor.fetchall()) if cursor.description else []
        connection = sqlite3.connect(address)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return ask


def test_a_record_that_comes_twice_is_kept_once(store: Store, query: Query) -> None:
    first = store.add([arrived(telemetry(1, 10.0), telemetry(2, 11.0))])
    again = store.add([arrived(telemetry(2, 99.0), telemetry(3, 12.0)), arrived(telemetry(3, 98.0))])
    assert (first.stored, first.duplicates) == (2, 0)
    assert (again.stored, again.duplicates) == (1, 2)
    assert query("SELECT seq FROM records ORDER BY seq") == [(1,), (2,), (3,)]
    assert latency(store) == 12.0


def test_a_batch_with_something_known_and_something_new_keeps_the_new(store: Store, query: Query) -> None:
    many = [telemetry(seq, float(seq), at_ms=NOW_MS + seq) for seq in range(1, 1001)]
    store.add([arrived(*many[:3], many[700])])
    added = store.add([arrived(*many)])
    assert (added.stored, added.duplicates) == (996, 4)
    assert query("SELECT count(*), count(DISTINCT seq), max(seq) FROM records") == [(1000, 1000, 1000)]
    assert query("SELECT count(*), sum(value) FROM points") == [(1000, 500_500.0)]
    assert latency(store) == 1000.0


def test_two_records_of_one_device_and_millisecond_are_two_records_and_one_point(
    store: Store, query: Query
) -> None:
    store.add([arrived(telemetry(1, 1.0), telemetry(2, 2.0))])
    store.add([arrived(telemetry(3, 3.0), telemetry(4, 4.0, at_ms=NOW_MS + 1))])
    assert query("SELECT seq FROM records ORDER BY seq") == [(1,), (2,), (3,), (4,)]
    assert query("SELECT at_ms, value FROM points ORDER BY at_ms") == [(NOW_MS, 1.0), (NOW_MS + 1, 4.0)]
    assert latency(store) == 4.0


def test_of_records_with_other_metrics_each_the_latest_of_each_metric_stays(store: Store) -> None:
    def with_metrics(seq: int, **metrics: object) -> RecordsArrival:
        return arrived(replace(telemetry(seq, 0.0), metrics=metrics))

    store.add([with_metrics(4, a=4.0, c=4), with_metrics(1, a=1.0, b=1.0), with_metrics(2, b=2.0)])
    store.add([with_metrics(3, a=3.0, b=True), with_metrics(5, d=float("inf"), e="text", c=5.5, f=10**400)])
    (row,) = store.devices()
    assert row.metrics == {"a": 4.0, "b": 1.0, "c": 5.5}


def test_the_same_sequence_of_another_boot_or_device_is_another_record(store: Store) -> None:
    other = RecordsArrival(DeviceAddress("lab", "other"), NOW_MS, (telemetry(1, 3.0),))
    added = store.add([arrived(telemetry(1, 1.0), telemetry(1, 2.0, boot="b2")), other])
    assert added.stored == 3


def test_a_late_record_fills_the_plot_and_leaves_the_latest_value(store: Store) -> None:
    store.add([arrived(telemetry(5, 50.0))])
    store.add([arrived(telemetry(4, 40.0, at_ms=NOW_MS - 60_000))])
    assert latency(store) == 50.0
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS - 120_000, until_ms=NOW_MS)
    assert points == {LATENCY: ((NOW_MS - 60_000, 40.0), (NOW_MS, 50.0))}


def test_the_boot_that_the_status_names_beats_a_replayed_one_whatever_the_clock_says(
    store: Store,
) -> None:
    store.add([status(DeviceState.ONLINE, boot="now")])
    store.add([arrived(telemetry(1, 1.0, boot="now", at_ms=NOW_MS - 10**9))])
    store.add([arrived(telemetry(900, 2.0, boot="before", at_ms=NOW_MS))])
    assert latency(store) == 1.0


def test_a_device_whose_clock_was_never_set_is_placed_where_it_was_heard(store: Store, query: Query) -> None:
    store.add([arrived(telemetry(1, 7.0, at_ms=12_345, clock=Clock.UNSYNCED))])
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS)
    assert points == {LATENCY: ((NOW_MS, 7.0),)}
    assert query("SELECT ts_ms FROM records") == [(12_345,)]


def test_a_record_from_the_future_is_placed_where_it_was_heard(store: Store) -> None:
    store.add([arrived(telemetry(1, 7.0, at_ms=NOW_MS + 3_600_000))])
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS)
    assert points == {LATENCY: ((NOW_MS, 7.0),)}


def test_values_that_are_no_finite_numbers_are_kept_in_the_record_only(store: Store) -> None:
    records = [telemetry(i, value) for i, value in enumerate(("warm", None, float("inf"), 10**400), start=1)]
    assert store.add([arrived(*records)]).stored == 4
    (row,) = store.devices()
    assert row.metrics == {}


def test_a_long_series_is_thinned_and_keeps_its_extremes(store: Store) -> None:
    values = [5.0] * 4000
    values[1234], values[2345] = 900.0, -3.0
    records = [telemetry(i, v, at_ms=NOW_MS + i * 1000) for i, v in enumerate(values)]
    store.add([arrived(*records, received_ms=NOW_MS + 4_000_000)])
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS + 4_000_000, limit=500)[LATENCY]
    assert 200 <= len(points) <= 500
    assert list(points) == sorted(points)
    assert (NOW_MS + 1_234_000, 900.0) in points
    assert (NOW_MS + 2_345_000, -3.0) in points


def test_a_series_of_an_unknown_device_or_metric_is_empty(store: Store) -> None:
    store.add([arrived(telemetry(1, 1.0))])
    assert store.series(CAMERA, ["no.such"], since_ms=0, until_ms=NOW_MS) == {"no.such": ()}
    nobody = DeviceAddress("lab", "nobody")
    assert store.series(nobody, [LATENCY], since_ms=0, until_ms=NOW_MS) == {LATENCY: ()}
    assert store.events(nobody, predictions=False) == ()


def test_a_warning_does_not_drown_in_predictions(store: Store) -> None:
    def event(seq: int, name: str) -> Event:
        return Event(ts_ms=NOW_MS + seq, mono_ns=0, boot="b1", seq=seq, name=name)

    store.add([arrived(event(1, "broken-input"), *(event(seq, "prediction") for seq in range(2, 200)))])
    assert [row.event.name for row in store.events(CAMERA, predictions=False)] == ["broken-input"]
    assert [row.event.seq for row in store.events(CAMERA, predictions=True, limit=2)] == [199, 198]


def test_a_last_will_is_not_a_sign_of_life(store: Store) -> None:
    store.add([status(DeviceState.ONLINE)])
    store.add([status(DeviceState.OFFLINE, received_ms=NOW_MS + 5000)])
    (row,) = store.devices()
    assert (row.state, row.state_since_ms) == (DeviceState.OFFLINE, NOW_MS + 5000)
    assert row.last_seen_ms == NOW_MS


def test_a_repeated_status_keeps_the_time_since_when_it_holds(store: Store) -> None:
    store.add([status(DeviceState.OFFLINE)])
    store.add([status(DeviceState.OFFLINE, received_ms=NOW_MS + 9000, retained=True)])
    (row,) = store.devices()
    assert (row.state_since_ms, row.last_seen_ms) == (NOW_MS, 0)


def test_meta_is_remembered(store: Store) -> None:
    meta = Meta(ts_ms=1, boot="b1", board="Pi 4", model=ModelInfo(name="net", precision="int8"))
    store.add([MetaArrival(CAMERA, NOW_MS, meta)])
    (row,) = store.devices()
    assert row.meta == meta


def test_quarantine_is_bounded_in_rows_and_bytes(store: Store, query: Query) -> None:
    rejected = RejectedArrival("edgewise/v1/lab/camera/telemetry", NOW_MS, "message: no", b"x" * 50_000)
    for _ in range(3):
        store.add([replace(rejected, received_ms=NOW_MS + i) for i in range(QUARANTINE_ROWS // 2)])
    ((rows, longest),) = query("SELECT count(*), max(length(payload)) FROM quarantine")
    assert (rows, longest) == (QUARANTINE_ROWS, QUARANTINE_BYTES)
    assert store.counts()[Counter.MALFORMED] == 3 * (QUARANTINE_ROWS // 2)


def test_counts_survive_closing(address: str) -> None:
    first = open_store(address)
    client_id = first.client_id()
    first.add([RecordsArrival(CAMERA, NOW_MS, (telemetry(1, 1.0), telemetry(1, 1.0)), unknown=4)])
    first.close()
    second = open_store(address)
    counts = second.counts()
    assert counts == {Counter.RECORDS: 1, Counter.DUPLICATES: 1, Counter.UNKNOWN: 4, Counter.MALFORMED: 0}
    assert second.client_id() == client_id
    second.close()


def test_pruning_forgets_what_is_older_and_nothing_else(store: Store, query: Query) -> None:
    store.add([arrived(*(telemetry(i, float(i), at_ms=NOW_MS + i) for i in range(100)))])
    assert store.prune(NOW_MS + 60) == 60
    points = store.series(CAMERA, [LATENCY], since_ms=0, until_ms=NOW_MS + 1000)[LATENCY]
    assert [value for _, value in points] == [float(i) for i in range(60, 100)]
    assert query("SELECT min(seq), count(*) FROM records") == [(60, 40)]
    assert latency(store) == 99.0


MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MIDNIGHT_MS = NOW_MS - NOW_MS % DAY_MS


def every(step_ms: int, count: int, *, first_seq: int = 0, start_ms: int = MIDNIGHT_MS) -> RecordsArrival:
    """A device that reports its own sequence numbers as values."""
    records = [telemetry(first_seq + i, float(i), at_ms=start_ms + i * step_ms) for i in range(count)]
    return arrived(*records, received_ms=start_ms + count * step_ms)


def buckets(query: Query, table: str) -> list[tuple[object, ...]]:
    return query(f"SELECT at_ms, count, sum, min, max, last FROM {table} ORDER BY at_ms")


def test_complete_minutes_hours_and_days_are_rolled_up(store: Store, query: Query) -> None:
    store.add([every(10_000, 8640 + 30)])
    now_ms = MIDNIGHT_MS + DAY_MS + 5 * MINUTE_MS
    assert store.roll_up(now_ms) == 24 * 60 + 5 + 24 + 1
    assert store.roll_up(now_ms) == 0
    minutes = buckets(query, "rollup_minute")
    assert len(minutes) == 24 * 60 + 5
    assert minutes[1] == (MIDNIGHT_MS + MINUTE_MS, 6, 6.0 + 7 + 8 + 9 + 10 + 11, 6.0, 11.0, 11.0)
    hours = buckets(query, "rollup_hour")
    assert len(hours) == 24
    assert hours[1] == (MIDNIGHT_MS + HOUR_MS, 360, float(sum(range(360, 720))), 360.0, 719.0, 719.0)
    assert buckets(query, "rollup_day") == [(MIDNIGHT_MS, 8640, float(sum(range(8640))), 0.0, 8639.0, 8639.0)]


def test_a_backlog_is_rolled_up_in_pieces_and_gone_on_with(store: Store, query: Query) -> None:
    """More than one piece, devices of different spans, and a stop in the middle."""
    now_ms = MIDNIGHT_MS + 4 * DAY_MS
    for number, hours in enumerate((1, 50, 73)):
        records = every(60_000, hours * 60).records
        store.add([RecordsArrival(DeviceAddress("lab", f"d{number}"), now_ms, tuple(records))])
    hours = "SELECT count(*) FROM rollup_hour"
    store.roll_up(now_ms, goes_on=lambda: query(hours) == [(0,)])
    # Hours of the first day are there before the minutes of the last.
    assert 0 < query("SELECT count(*) FROM rollup_minute")[0][0] < 124 * 60  # type: ignore[operator]  # a number
    store.roll_up(now_ms)
    assert query("SELECT count(*), sum(count) FROM rollup_minute") == [(124 * 60, 124 * 60)]
    assert query("SELECT count(*), sum(count) FROM rollup_hour") == [(124, 124 * 60)]
    assert query("SELECT count(*), sum(count), max(last) FROM rollup_day") == [
        (1 + 3 + 4, 124 * 60, 73.0 * 60 - 1)
    ]
    assert query("SELECT count(*) FROM unrolled") == [(0,)]


def test_a_late_record_changes_the_roll_ups_of_its_time(store: Store, query: Query) -> None:
    store.add([every(10_000, 8640)])
    now_ms = MIDNIGHT_MS + 2 * DAY_MS
    store.roll_up(now_ms)
    late = telemetry(90_000, 100_000.0, at_ms=MIDNIGHT_MS + 5)
    for _ in range(2):
        store.add([arrived(late, received_ms=now_ms)])
        store.roll_up(now_ms)
    for table in ("rollup_minute", "rollup_hour", "rollup_day"):
        at_ms, count, total, low, high, last = buckets(query, table)[0]
        assert (at_ms, low, high) == (MIDNIGHT_MS, 0.0, 100_000.0)
        width = {"rollup_minute": 6, "rollup_hour": 360, "rollup_day": 8640}[table]
        assert (count, total, last) == (width + 1, sum(range(width)) + 100_000.0, width - 1.0)


def test_a_long_window_is_answered_the_same_before_during_and_after_rolling_up(store: Store) -> None:
    store.add([every(60_000, 1440)])
    window = {"since_ms": MIDNIGHT_MS, "until_ms": MIDNIGHT_MS + DAY_MS - 1}

    def extremes() -> tuple[float, float, int, float]:
        values = [value for _, value in store.series(CAMERA, [LATENCY], limit=40, **window)[LATENCY]]
        fleet = store.fleet_series(LATENCY, **window)
        return min(values), max(values), sum(one.count for one in fleet), sum(one.sum for one in fleet)

    expected = (0.0, 1439.0, 1440, float(sum(range(1440))))
    assert extremes() == expected
    for hour in (0, 3, 24, 48):
        store.roll_up(MIDNIGHT_MS + hour * HOUR_MS + 90_000)
        assert extremes() == expected
        assert len(store.fleet_series(LATENCY, **window)) == 24
    store.add([arrived(telemetry(5000, -7.0, at_ms=MIDNIGHT_MS + 1), received_ms=MIDNIGHT_MS + 2 * DAY_MS)])
    assert extremes() == (-7.0, 1439.0, 1441, expected[3] - 7.0)


def test_the_fleet_is_added_up_by_group(store: Store) -> None:
    for group, device, value in (("lab", "a", 1.0), ("lab", "b", 2.0), ("shop", "c", 9.0)):
        record = telemetry(1, value, at_ms=MIDNIGHT_MS)
        store.add([RecordsArrival(DeviceAddress(group, device), MIDNIGHT_MS, (record,))])
    store.roll_up(MIDNIGHT_MS + DAY_MS)
    window = {"since_ms": MIDNIGHT_MS, "until_ms": MIDNIGHT_MS + DAY_MS - 1}
    assert store.fleet_series(LATENCY, **window) == (Bucket(MIDNIGHT_MS, HOUR_MS, 3, 12.0, 1.0, 9.0),)
    assert store.fleet_series(LATENCY, group="lab", **window) == (
        Bucket(MIDNIGHT_MS, HOUR_MS, 2, 3.0, 1.0, 2.0),
    )
    assert store.fleet_series("no.such", **window) == ()


def test_roll_ups_outlive_the_records_and_are_not_spoilt_by_a_very_late_one(
    store: Store, query: Query
) -> None:
    store.add([every(60_000, 1440)])
    now_ms = MIDNIGHT_MS + 3 * DAY_MS
    store.roll_up(now_ms)
    before = [buckets(query, table) for table in ("rollup_minute", "rollup_hour", "rollup_day")]
    keep = Keep(raw_days=1, minute_days=10, hour_days=20, day_days=0)
    assert store.prune(MIDNIGHT_MS + DAY_MS + HOUR_MS, keep=keep) == 1440
    assert query("SELECT count(*) FROM points") == [(0,)]
    store.add([arrived(telemetry(7000, 5.0, at_ms=MIDNIGHT_MS), received_ms=now_ms)])
    store.roll_up(now_ms)
    assert [buckets(query, table) for table in ("rollup_minute", "rollup_hour", "rollup_day")] == before
    store.prune(now_ms + 10 * DAY_MS, keep=keep)
    assert [len(buckets(query, table)) for table in ("rollup_minute", "rollup_hour", "rollup_day")] == [
        0,
        24,
        1,
    ]
    store.prune(now_ms + 30 * DAY_MS, keep=keep)
    assert [len(buckets(query, table)) for table in ("rollup_hour", "rollup_day")] == [0, 1]


def test_a_store_that_is_too_large_forgets_its_oldest_records_first(store: Store, query: Query) -> None:
    for day in range(3):
        store.add([every(10_000, 3000, first_seq=day * 10_000, start_ms=MIDNIGHT_MS + day * DAY_MS)])
    assert store.shrink(1 << 40) == 0
    assert 0 < store.shrink(10_000_000 if "postgres" in type(store).__name__.lower() else 1_000_000) < 9000
    ((oldest, newest),) = query("SELECT min(at_ms), max(at_ms) FROM points")
    assert oldest > MIDNIGHT_MS
    assert newest == MIDNIGHT_MS + 2 * DAY_MS + 2999 * 10_000


def test_a_record_that_comes_again_restamped_is_kept_once(store: Store) -> None:
    store.add([arrived(telemetry(1, 4.0, at_ms=12_345, clock=Clock.UNSYNCED))])
    again = store.add([arrived(telemetry(1, 4.0, at_ms=NOW_MS - 3 * DAY_MS))])
    assert (again.stored, again.duplicates) == (0, 1)


def test_two_records_with_the_same_metric_and_time_leave_one_point(store: Store, query: Query) -> None:
    store.add([arrived(telemetry(1, 4.0), telemetry(2, 5.0))])
    store.add([arrived(telemetry(3, 6.0))])
    assert query("SELECT value FROM points") == [(4.0,)]
    assert query("SELECT count(*) FROM records") == [(3,)]
    assert latency(store) == 6.0


def test_several_boots_in_one_batch_leave_the_one_that_the_status_named(store: Store) -> None:
    store.add(
        [
            arrived(telemetry(900, 2.0, boot="before")),
            status(DeviceState.ONLINE, boot="now"),
            arrived(telemetry(1, 1.0, boot="now", at_ms=NOW_MS - DAY_MS), telemetry(7, 3.0, boot="older")),
        ]
    )
    assert latency(store) == 1.0


def test_fields_that_are_not_known_are_kept(store: Store, query: Query) -> None:
    body = b'{"type":"telemetry","new":[1,{"a":2}],"seq":1}'
    record = telemetry(1, 4.0)
    store.add([RecordsArrival(CAMERA, NOW_MS, (record,), bodies=(body,))])
    assert query("SELECT payload FROM records") == [(body,)]


def test_names_with_a_nul_do_not_stop_the_store(store: Store) -> None:
    odd = Telemetry(ts_ms=NOW_MS, mono_ns=1, boot="b1", seq=1, clock=Clock.NTP, metrics={"a\0b": 1.0})
    event = Event(ts_ms=NOW_MS, mono_ns=1, boot="b1", seq=2, name="x\0y")
    rejected = RejectedArrival("a/b", NOW_MS, "reason\0", b"\0")
    assert store.add([arrived(odd, event), rejected]).stored == 2
