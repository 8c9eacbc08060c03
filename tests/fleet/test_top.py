"""`edgewise fleet top`, run as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from fleet.real_parts import Server, unused_port
from fleet.simulated import SimulatedDevice, now_ms, plausible

from edgewise_fleet.store import MetaArrival, RecordsArrival, RejectedArrival, SqliteStore
from edgewise_messages import DeviceAddress, Meta, ModelInfo, Telemetry

FleetCommand = Callable[..., CompletedProcess[str]]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "fleet.db")
    camera, now = DeviceAddress("shop", "camera"), now_ms()
    record = Telemetry(ts_ms=now, mono_ns=1, boot="b", seq=1, metrics=dict(plausible(1, throttled=4)))
    model = ModelInfo(name="net [bold]loud[/bold]", precision="int8")
    store.add(
        [
            RecordsArrival(camera, now, (record,)),
            MetaArrival(camera, now, Meta(ts_ms=now, boot="b", model=model)),
            RejectedArrival("t", now, "r", b""),
        ]
    )
    store.close()
    return store.path


def test_the_table_shows_each_device_once_and_ends(fleet_command: FleetCommand, filled: Path) -> None:
    done = fleet_command("top", "--once", "--store", str(filled))
    assert (done.returncode, done.stderr) == (0, "")
    words = done.stdout.split()
    for expected in ("camera", "shop", "online", "int8", "throttled", "now"):
        assert expected in words
    assert "[bold]loud[/bold]" in done.stdout.replace("\n", "")
    assert "1 online · 1 records · 1 unreadable messages" in done.stdout


def test_json_is_the_same_from_the_store_as_from_the_server(
    fleet_command: FleetCommand, serve: Callable[..., Server], device: Callable[..., SimulatedDevice]
) -> None:
    server = serve()
    camera = device("camera", port=server.mqtt_port)
    camera.introduce()
    camera.publish(camera.telemetry(plausible(3)))
    server.wait_for_records(1)
    from_server = json.loads(fleet_command("top", "--json", "--url", server.url).stdout)
    from_store = json.loads(fleet_command("top", "--json").stdout)
    assert from_server["broker_connected"] is True
    assert from_store["broker_connected"] is None
    assert from_server["devices"] == from_store["devices"]
    assert from_server["devices"][0]["metrics"] == plausible(3)


def test_a_missing_store_is_one_clear_line(fleet_command: FleetCommand) -> None:
    done = fleet_command("top", "--once")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: store fleet.db: no such file; `edgewise fleet serve --store fleet.db` makes it"
    )


def test_a_server_that_is_not_there_is_one_clear_line(fleet_command: FleetCommand) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    done = fleet_command("top", "--once", "--url", url)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: fleet server {url}: Connection refused; is `edgewise fleet serve` running there?"
    )


def test_an_address_of_another_kind_is_refused(fleet_command: FleetCommand) -> None:
    done = fleet_command("top", "--once", "--url", "file:///etc/passwd")
    assert done.returncode == 1
    assert "expected http://host:port" in done.stderr
