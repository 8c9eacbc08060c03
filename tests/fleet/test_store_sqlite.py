"""The SQLite store against real files."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import (
    Counter,
    MetaArrival,
    RecordsArrival,
    RejectedArrival,
    SqliteStore,
    StatusArrival,
)
from edgewise_fleet.store.schema import VERSION
from edgewise_fleet.store.writing import QUARANTINE_BYTES, QUARANTINE_ROWS
from edgewise_messages import (
    Clock,
    DeviceAddress,
    DeviceState,
    Drift,
    Event,
    Meta,
    ModelInfo,
    Status,
    Telemetry,
)

CAMERA = DeviceAddress("lab", "camera")
NOW_MS = 1_790_000_000_000
LATENCY = "model.latency_p50_ms"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "fleet.db")
    yield opened
    opened.close()


def telemetry(
    seq: int, value: object, *, boot: str = "b1", at_ms: int = NOW_MS, clock: Clock = Clock.NTP
) -> Telemetry:
    return Telemetry(ts_ms=at_ms, mono_ns=seq, boot=boot, seq=seq, clock=clock, metrics={LATENCY: value})  # type: ignore[dict-item]


def arrived(*records: Telemetry | Event | Drift, received_ms: int = NOW_MS) -> RecordsArrival:
    return RecordsArrival(CAMERA, received_ms, records)


def status(
    state: DeviceState, *, boot: str = "b1", received_ms: int = NOW_MS, retained: bool = False
) -> StatusArrival:
    return StatusArrival(CAMERA, received_ms, Status(state=state, ts_ms=received_ms, boot=boot), retained)


def latency(store: SqliteStore) -> float:
    (row,) = store.devices()
    return row.metrics[LATENCY]


def query(store: SqliteStore, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_a_record_that_comes_twice_is_kept_once(store: SqliteStore) -> None:
    first = store.add([arrived(telemetry(1, 10.0), telemetry(2, 11.0))])
    again = store.add([arrived(telemetry(2, 99.0), telemetry(3, 12.0)), arrived(telemetry(3, 98.0))])
    assert (first.stored, first.duplicates) == (2, 0)
    assert (again.stored, again.duplicates) == (1, 2)
    assert query(store, "SELECT seq FROM records ORDER BY seq") == [(1,), (2,), (3,)]
    assert latency(store) == 12.0


def test_the_same_sequence_of_another_boot_or_device_is_another_record(store: SqliteStore) -> None:
    other = RecordsArrival(DeviceAddress("lab", "other"), NOW_MS, (telemetry(1, 3.0),))
    added = store.add([arrived(telemetry(1, 1.0), telemetry(1, 2.0, boot="b2")), other])
    assert added.stored == 3


def test_a_late_record_fills_the_plot_and_leaves_the_latest_value(store: SqliteStore) -> None:
    store.add([arrived(telemetry(5, 50.0))])
    store.add([arrived(telemetry(4, 40.0, at_ms=NOW_MS - 60_000))])
    assert latency(store) == 50.0
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS - 120_000, until_ms=NOW_MS)
    assert points == {LATENCY: ((NOW_MS - 60_000, 40.0), (NOW_MS, 50.0))}


def test_the_boot_that_the_status_names_beats_a_replayed_one_whatever_the_clock_says(
    store: SqliteStore,
) -> None:
    store.add([status(DeviceState.ONLINE, boot="now")])
    store.add([arrived(telemetry(1, 1.0, boot="now", at_ms=NOW_MS - 10**9))])
    store.add([arrived(telemetry(900, 2.0, boot="before", at_ms=NOW_MS))])
    assert latency(store) == 1.0


def test_a_device_whose_clock_was_never_set_is_placed_where_it_was_heard(store: SqliteStore) -> None:
    store.add([arrived(telemetry(1, 7.0, at_ms=12_345, clock=Clock.UNSYNCED))])
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS)
    assert points == {LATENCY: ((NOW_MS, 7.0),)}
    assert query(store, "SELECT ts_ms FROM records") == [(12_345,)]


def test_a_record_from_the_future_is_placed_where_it_was_heard(store: SqliteStore) -> None:
    store.add([arrived(telemetry(1, 7.0, at_ms=NOW_MS + 3_600_000))])
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS)
    assert points == {LATENCY: ((NOW_MS, 7.0),)}


def test_values_that_are_no_finite_numbers_are_kept_in_the_record_only(store: SqliteStore) -> None:
    records = [telemetry(i, value) for i, value in enumerate(("warm", None, float("inf"), 10**400), start=1)]
    assert store.add([arrived(*records)]).stored == 4
    (row,) = store.devices()
    assert row.metrics == {}


def test_a_long_series_is_thinned_and_keeps_its_extremes(store: SqliteStore) -> None:
    values = [5.0] * 4000
    values[1234], values[2345] = 900.0, -3.0
    records = [telemetry(i, v, at_ms=NOW_MS + i * 1000) for i, v in enumerate(values)]
    store.add([arrived(*records, received_ms=NOW_MS + 4_000_000)])
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS + 4_000_000, limit=500)[LATENCY]
    assert 200 <= len(points) <= 500
    assert list(points) == sorted(points)
    assert (NOW_MS + 1_234_000, 900.0) in points
    assert (NOW_MS + 2_345_000, -3.0) in points


def test_a_series_of_an_unknown_device_or_metric_is_empty(store: SqliteStore) -> None:
    store.add([arrived(telemetry(1, 1.0))])
    assert store.series(CAMERA, ["no.such"], since_ms=0, until_ms=NOW_MS) == {"no.such": ()}
    nobody = DeviceAddress("lab", "nobody")
    assert store.series(nobody, [LATENCY], since_ms=0, until_ms=NOW_MS) == {LATENCY: ()}
    assert store.events(nobody, predictions=False) == ()


def test_a_warning_does_not_drown_in_predictions(store: SqliteStore) -> None:
    def event(seq: int, name: str) -> Event:
        return Event(ts_ms=NOW_MS + seq, mono_ns=0, boot="b1", seq=seq, name=name)

    store.add([arrived(event(1, "broken-input"), *(event(seq, "prediction") for seq in range(2, 200)))])
    assert [row.event.name for row in store.events(CAMERA, predictions=False)] == ["broken-input"]
    assert [row.event.seq for row in store.events(CAMERA, predictions=True, limit=2)] == [199, 198]


def test_a_last_will_is_not_a_sign_of_life(store: SqliteStore) -> None:
    store.add([status(DeviceState.ONLINE)])
    store.add([status(DeviceState.OFFLINE, received_ms=NOW_MS + 5000)])
    (row,) = store.devices()
    assert (row.state, row.state_since_ms) == (DeviceState.OFFLINE, NOW_MS + 5000)
    assert row.last_seen_ms == NOW_MS


def test_a_repeated_status_keeps_the_time_since_when_it_holds(store: SqliteStore) -> None:
    store.add([status(DeviceState.OFFLINE)])
    store.add([status(DeviceState.OFFLINE, received_ms=NOW_MS + 9000, retained=True)])
    (row,) = store.devices()
    assert (row.state_since_ms, row.last_seen_ms) == (NOW_MS, 0)


def test_meta_is_remembered(store: SqliteStore) -> None:
    meta = Meta(ts_ms=1, boot="b1", board="Pi 4", model=ModelInfo(name="net", precision="int8"))
    store.add([MetaArrival(CAMERA, NOW_MS, meta)])
    (row,) = store.devices()
    assert row.meta == meta


def test_quarantine_is_bounded_in_rows_and_bytes(store: SqliteStore) -> None:
    rejected = RejectedArrival("edgewise/v1/lab/camera/telemetry", NOW_MS, "message: no", b"x" * 50_000)
    for _ in range(3):
        store.add([replace(rejected, received_ms=NOW_MS + i) for i in range(QUARANTINE_ROWS // 2)])
    ((rows, longest),) = query(store, "SELECT count(*), max(length(payload)) FROM quarantine")
    assert (rows, longest) == (QUARANTINE_ROWS, QUARANTINE_BYTES)
    assert store.counts()[Counter.MALFORMED] == 3 * (QUARANTINE_ROWS // 2)


def test_counts_survive_closing(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    first = SqliteStore(path)
    client_id = first.client_id()
    first.add([RecordsArrival(CAMERA, NOW_MS, (telemetry(1, 1.0), telemetry(1, 1.0)), unknown=4)])
    first.close()
    second = SqliteStore(path)
    counts = second.counts()
    assert counts == {Counter.RECORDS: 1, Counter.DUPLICATES: 1, Counter.UNKNOWN: 4, Counter.MALFORMED: 0}
    assert second.client_id() == client_id
    second.close()


def test_pruning_forgets_what_is_older_and_nothing_else(store: SqliteStore) -> None:
    store.add([arrived(*(telemetry(i, float(i), at_ms=NOW_MS + i) for i in range(100)))])
    assert store.prune(NOW_MS + 60) == 60
    points = store.series(CAMERA, [LATENCY], since_ms=0, until_ms=NOW_MS + 1000)[LATENCY]
    assert [value for _, value in points] == [float(i) for i in range(60, 100)]
    assert query(store, "SELECT min(seq), count(*) FROM records") == [(60, 40)]
    assert latency(store) == 99.0


def test_a_failing_batch_leaves_nothing_behind(store: SqliteStore) -> None:
    trigger = "CREATE TRIGGER full BEFORE INSERT ON points BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    query(store, trigger)
    with pytest.raises(StoreUnusable, match="disk is full"):
        store.add([arrived(telemetry(1, 1.0))])
    assert store.devices() == ()
    query(store, "DROP TRIGGER full")
    assert store.add([arrived(telemetry(1, 1.0))]).stored == 1


def test_a_second_writer_is_refused_while_the_first_is_open(store: SqliteStore) -> None:
    with pytest.raises(StoreUnusable, match=r"another edgewise fleet serve is using it"):
        SqliteStore(store.path)


def test_a_reader_sees_what_a_writer_adds(store: SqliteStore) -> None:
    reader = SqliteStore(store.path, read_only=True)
    store.add([arrived(telemetry(1, 4.5))])
    assert latency(reader) == 4.5
    with pytest.raises(StoreUnusable, match="read-only"):
        reader.add([])
    reader.close()


def test_a_reader_of_a_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"no such file; `edgewise fleet serve"):
        SqliteStore(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    path.write_text("shopping list: " + "milk, " * 500)
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="not an SQLite file"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_an_sqlite_file_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "photos.db")
    connection.execute("CREATE TABLE photos (id)")
    connection.close()
    with pytest.raises(StoreUnusable, match="not a fleet store"):
        SqliteStore(tmp_path / "photos.db")


def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreUnusable, match=f"got version {VERSION + 1}, expected at most {VERSION}; update"):
        SqliteStore(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"store .*missing/fleet\.db: No such file or directory"):
        SqliteStore(tmp_path / "missing" / "fleet.db")
