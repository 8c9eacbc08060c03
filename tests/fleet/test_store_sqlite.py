"""What is special about the SQLite store, against real files."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.store_parts import CAMERA, LATENCY, NOW_MS, arrived, latency, telemetry

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import (
    SqliteStore,
)
from edgewise_fleet.store.migrations import load_migrations
from edgewise_fleet.store.schema import APPLICATION_ID
from edgewise_fleet.store.sqlite_file import as_store_error


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "fleet.db")
    yield opened
    opened.close()


def query(store: SqliteStore, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(store.path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


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
    connection.execute("INSERT INTO migrations VALUES ('9999-later')")
    connection.commit()
    connection.close()
    with pytest.raises(StoreUnusable, match="of a later version, with '9999-later'; update"):
        SqliteStore(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"store .*missing/fleet\.db: No such file or directory"):
        SqliteStore(tmp_path / "missing" / "fleet.db")


def test_a_store_of_the_first_version_is_brought_up_to_date_whole(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    connection = sqlite3.connect(path)
    connection.executescript(load_migrations("sqlite")[0].sql)
    connection.executescript(
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        "INSERT INTO settings VALUES ('client_id', 'edgewise-fleet-old');"
        "INSERT INTO devices (id, group_name, device, first_seen_ms) VALUES (1, 'lab', 'camera', 5);"
        f"INSERT INTO metrics VALUES (1, '{LATENCY}');"
        f"INSERT INTO points VALUES (1, 1, {NOW_MS}, 4.5), (1, 1, {NOW_MS + 1}, 5.5);"
    )
    connection.close()
    with pytest.raises(StoreUnusable, match="an earlier version, without '0002-rollups'"):
        SqliteStore(path, read_only=True)
    store = SqliteStore(path)
    assert store.client_id() == "edgewise-fleet-old"
    points = store.series(CAMERA, [LATENCY], since_ms=NOW_MS, until_ms=NOW_MS + 1)
    assert points == {LATENCY: ((NOW_MS, 4.5), (NOW_MS + 1, 5.5))}
    assert store.roll_up(NOW_MS + 60_000) == 1
    assert query(store, "SELECT count, sum FROM rollup_minute") == [(2, 10.0)]
    store.close()
    SqliteStore(path).close()


def test_a_full_disk_is_said_with_what_is_free(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("PRAGMA max_page_count = 2")
    with (
        pytest.raises(StoreUnusable, match=r"full; \d+\.\d MB are free on its disk"),
        as_store_error(tmp_path / "x.db"),
    ):
        for number in range(9):
            connection.execute(f"CREATE TABLE t{number} (a)")
    connection.close()
