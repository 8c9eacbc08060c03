"""`edgewise fleet export` out of both stores, read back by duckdb and csv."""

import csv
from pathlib import Path

import duckdb
import pytest
from fleet.test_store import CAMERA, LATENCY, MIDNIGHT_MS, NOW_MS, arrived, every, telemetry

from edgewise_fleet.errors import BadChoice
from edgewise_fleet.export import ExportSettings, export_store
from edgewise_fleet.store import RecordsArrival, open_store
from edgewise_messages import DeviceAddress, Event


@pytest.fixture
def filled(address: str) -> str:
    """A day every minute, rolled up, one event and another group."""
    store = open_store(address)
    store.add([every(60_000, 1440)])
    event = Event(ts_ms=MIDNIGHT_MS, mono_ns=1, boot="b1", seq=9000, name="odd", message='a "quoted",\nline')
    store.add([arrived(event, received_ms=MIDNIGHT_MS)])
    store.add([RecordsArrival(DeviceAddress("shop", "x"), NOW_MS, (telemetry(1, 2.5, at_ms=MIDNIGHT_MS),))])
    store.roll_up(MIDNIGHT_MS + 2 * 86_400_000)
    store.close()
    return address


def export(store: str, file: Path, **options: object) -> int:
    return export_store(ExportSettings(**{"store": store, "file": file, "metrics": [], **options}))  # type: ignore[arg-type]  # keywords by name, checked when called


def test_points_as_parquet_have_times_and_types(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "points.parquet"
    assert export(filled, file, group="lab", metrics=[LATENCY]) == 1440
    with duckdb.connect() as database:
        found = database.sql(
            f"SELECT count(*), sum(value), epoch_ms(min(at_utc)), min(metric), min(device) FROM '{file}'"
        ).fetchall()
    assert found == [(1440, float(sum(range(1440))), MIDNIGHT_MS, LATENCY, CAMERA.device)]
    assert [path.name for path in tmp_path.iterdir() if "points" in path.name] == ["points.parquet"]


def test_hours_as_csv_of_a_window(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "hours.csv"
    assert export(filled, file, table="hours", until="2026-09-21T03:00", group="lab") == 3
    with file.open(newline="") as handle:
        rows = sorted(csv.DictReader(handle), key=lambda row: row["at_utc"])  # the tables' order is their own
    assert rows[0]["at_utc"].endswith("T00:00:00.000Z")
    assert {key: rows[1][key] for key in ("count", "min", "max", "last")} == {
        "count": "60", "min": "60.0", "max": "119.0", "last": "119.0"
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_records_come_out_as_they_came_in(filled: str, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"records.{suffix}"
    assert export(filled, file, table="records", group="lab") == 1441
    with duckdb.connect() as database:
        (message,) = database.sql(
            f"SELECT record::JSON ->> 'message' FROM '{file}' WHERE name = 'odd'"
        ).fetchall()
    assert message == ('a "quoted",\nline',)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": Path("x.xlsx")}, "ends in .parquet or .csv"),
        ({"table": "weeks"}, "expected one of points, minutes"),
        ({"since": "yesterday"}, "--since: got 'yesterday'"),
        ({"table": "records", "metrics": ["a"]}, "--metric"),
        ({"file": Path("/no/such/folder/x.csv")}, "No such file"),
    ],
)
def test_what_cannot_be_exported_is_said(options: dict[str, object], said: str, tmp_path: Path) -> None:
    store = str(tmp_path / "fleet.db")
    open_store(store).close()
    with pytest.raises(BadChoice, match=said):
        export(store, **{"file": tmp_path / "x.csv", **options})  # type: ignore[arg-type]  # keywords by name, checked when called
