"""What the pages read while the server runs."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from fleet.real_parts import wait_until

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import RecordsArrival, SqliteStore
from edgewise_fleet.view import FleetView
from edgewise_messages import DeviceAddress, Telemetry

CAMERA = DeviceAddress("lab", "camera")


@dataclass
class Source:
    connected: bool = True
    trouble: str = ""


def view_of(store: SqliteStore, *, link: Source, intake: Source) -> FleetView:
    return FleetView(store, link=link, intake=intake, broker_url="mqtt://127.0.0.1:1883", silent_after_s=60)


def test_troubles_of_broker_and_collector_are_told(tmp_path: Path) -> None:
    store, link, intake = SqliteStore(tmp_path / "fleet.db"), Source(), Source()
    view = view_of(store, link=link, intake=intake)
    assert (view.summary().trouble, view.summary().broker_connected) == ((), True)
    link.connected, link.trouble, intake.trouble = False, "connection lost", "store: disk is full"
    expected = ("broker mqtt://127.0.0.1:1883: connection lost", "store: disk is full")
    wait_until(lambda: view.summary().trouble == expected, "both are told")
    assert view.summary().broker_connected is False
    store.close()


def test_while_the_store_cannot_be_read_the_last_state_stays_with_the_reason(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "fleet.db")
    record = Telemetry(ts_ms=1, mono_ns=1, boot="b", seq=1, metrics={"x": 1.0})
    store.add([RecordsArrival(CAMERA, 1_790_000_000_000, (record,))])
    view = view_of(store, link=Source(), intake=Source())
    assert view.summary().records == 1
    store.close()
    wait_until(lambda: view.summary().trouble, "the reason is told")
    assert view.summary().records == 1
    assert "closed database" in view.summary().trouble[0]
    with pytest.raises(StoreUnusable):
        view_of(store, link=Source(), intake=Source()).summary()


def test_one_device_is_found_or_none(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "fleet.db")
    view = view_of(store, link=Source(), intake=Source())
    assert view.device(CAMERA) is None
    record = Telemetry(ts_ms=1, mono_ns=1, boot="b", seq=1, metrics={"x": 1.0})
    store.add([RecordsArrival(CAMERA, 1_790_000_000_000, (record,))])
    found = view.device(CAMERA)
    assert found is not None
    assert (found[0].address, found[1].device) == (CAMERA, "camera")
    store.close()
