"""`edgewise fleet serve`, started as a user starts it, with real brokers and devices."""

import json
import signal
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from fleet.real_parts import Mosquitto, Server, unused_port, wait_until
from fleet.simulated import SimulatedDevice, now_ms, plausible

from edgewise_messages import Channel, DeviceState, encode_records

Serve = Callable[..., Server]
MakeDevice = Callable[..., SimulatedDevice]
FleetCommand = Callable[..., CompletedProcess[str]]


def only_device(server: Server) -> dict[str, Any]:
    (device,) = server.fleet()["devices"]
    return dict(device)


def stored(path: Path, boot: str) -> list[int]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(
            "SELECT seq FROM records JOIN boots ON boots.id = boot_id WHERE boot = ? ORDER BY seq", (boot,)
        )
        return [seq for (seq,) in rows]
    finally:
        connection.close()


def test_a_device_reports_through_the_embedded_broker(
    serve: Serve, device: MakeDevice, tmp_path: Path
) -> None:
    server = serve()
    camera = device("camera", port=server.mqtt_port)
    camera.introduce()
    camera.publish(camera.telemetry(plausible(1)), camera.telemetry(plausible(2)))
    fleet = server.wait_for_records(2)
    (shown,) = fleet["devices"]
    assert (shown["group"], shown["device"], shown["condition"]) == ("lab", "camera", "online")
    assert (shown["model"], shown["precision"]) == ("efficientnet-lite0", "int8")
    assert shown["latency_p50_ms"] == plausible(2)["model.latency_p50_ms"]
    assert fleet["broker_connected"] is True
    assert json.loads(server.get("/healthz")) == {"status": "ok", "trouble": []}
    assert 'edgewise_device_up{device="camera",group="lab"} 1.0' in server.get("/metrics")
    assert server.end() == 0
    assert "Traceback" not in server.log.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fleet.db",
        "fleet.db-broker",
        "fleet.db-panel",
        "fleet.db-snapshots",
        "serve-0.log",
    ]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.mqtt_port), timeout=5)


def test_ctrl_c_ends_it_with_130_and_no_traceback(serve: Serve) -> None:
    server = serve()
    assert server.end(signal.SIGINT) == 130
    assert "Traceback" not in server.log.read_text()


def test_killed_while_records_flow_it_has_each_acknowledged_record_once(
    serve: Serve, device: MakeDevice, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    camera = device("camera", port=mosquitto.port)
    for _ in range(2):
        server = serve("--broker", mosquitto.url)
        camera.publish_burst(400)
        server.end(signal.SIGKILL)
        camera.publish_burst(100)
    last = serve("--broker", mosquitto.url)
    last.wait_for_records(1000)
    last.end()
    assert stored(tmp_path / "fleet.db", camera.boot) == list(range(1, 1001))


def test_killed_with_its_own_broker_it_has_each_acknowledged_record_once(
    serve: Serve, device: MakeDevice, tmp_path: Path
) -> None:
    boots = {}
    port = unused_port()
    for name in ("first", "second"):
        server = serve("--mqtt-port", str(port))
        camera = device(name, port=server.mqtt_port)
        camera.publish_burst(400)
        boots[name] = camera.boot
        server.end(signal.SIGKILL)
    last = serve("--mqtt-port", str(port))
    last.wait_for_records(800)
    last.end()
    for boot in boots.values():
        assert stored(tmp_path / "fleet.db", boot) == list(range(1, 401))


def test_repeats_late_and_unreadable_messages_are_told_apart(
    serve: Serve, device: MakeDevice, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    server = serve("--broker", mosquitto.url)
    camera = device("camera", port=mosquitto.port)
    early = camera.telemetry({"board.temperature_c": 40.0}, ts_ms=now_ms() - 3_600_000)
    live = camera.telemetry({"board.temperature_c": 60.0})
    camera.publish(live)
    camera.publish(early, live)
    camera.publish_raw(Channel.TELEMETRY, b"rubbish")
    camera.publish_raw(Channel.STATUS, b"")
    camera.publish_raw(Channel.TELEMETRY, encode_records([live])[:-9])
    fleet = wait_until(lambda: (now := server.fleet())["malformed"] == 3 and now, "three are in quarantine")
    assert (fleet["records"], fleet["duplicates"]) == (2, 1)
    assert only_device(server)["temperature_c"] == 60.0
    server.end()
    connection = sqlite3.connect(tmp_path / "fleet.db")
    kept = connection.execute("SELECT topic, reason, payload FROM quarantine ORDER BY id").fetchall()
    connection.close()
    assert kept[0][2] == b"rubbish"
    assert all(reason for _, reason, _ in kept)


def test_the_last_will_and_a_deliberate_stop_are_shown(
    serve: Serve, device: MakeDevice, mosquitto: Mosquitto
) -> None:
    server = serve("--broker", mosquitto.url)
    lost, stopped = device("lost", port=mosquitto.port), device("stopped", port=mosquitto.port)
    for one in (lost, stopped):
        one.introduce()
    stopped.introduce(state=DeviceState.STOPPED)
    lost.vanish()

    def conditions() -> dict[str, str]:
        return {one["device"]: one["condition"] for one in server.fleet()["devices"]}

    wait_until(lambda: conditions() == {"lost": "offline", "stopped": "stopped"}, "both states are shown")


def test_without_a_broker_for_a_while_it_serves_on_and_catches_up(
    serve: Serve, device: MakeDevice, mosquitto: Mosquitto
) -> None:
    server = serve("--broker", mosquitto.url)
    camera = device("camera", port=mosquitto.port)
    camera.publish(camera.telemetry(plausible(1)))
    server.wait_for_records(1)
    mosquitto.stop()
    fleet = wait_until(lambda: (now := server.fleet())["trouble"] and now, "the loss is told")
    assert fleet["broker_connected"] is False
    assert f"broker {mosquitto.url}: connection lost" in fleet["trouble"][0]
    assert json.loads(server.get("/healthz"))["status"] == "trouble"
    assert "edgewise_fleet_broker_connected 0.0" in server.get("/metrics")
    mosquitto.start()
    wait_until(lambda: server.fleet()["broker_connected"], "the broker is connected again")
    again = device("again", port=mosquitto.port)
    again.publish(again.telemetry(plausible(2)))
    assert server.wait_for_records(2)["trouble"] == []


def test_a_broker_that_refuses_is_one_clear_line(fleet_command: FleetCommand) -> None:
    port = unused_port()
    done = fleet_command("serve", "--port", "0", "--broker", f"mqtt://127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"error: broker mqtt://127.0.0.1:{port}: Connection refused;"
        " start the broker, or leave out --broker to have one started"
    )
    assert done.stdout == ""


def test_a_taken_page_port_is_one_clear_line(fleet_command: FleetCommand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = fleet_command("serve", "--port", str(port), "--mqtt-port", "0")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: fleet page: port {port} on 127.0.0.1: address already in use;"
        " stop what uses it, or choose another with --port"
    )


def test_a_taken_broker_port_is_one_clear_line_that_names_the_likely_broker(
    fleet_command: FleetCommand, mosquitto: Mosquitto
) -> None:
    done = fleet_command("serve", "--port", "0", "--mqtt-port", str(mosquitto.port))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: embedded broker: port {mosquitto.port} on 127.0.0.1: address already in use;"
        f" if that is a broker, use it with --broker {mosquitto.url}, or choose another port with --mqtt-port"
    )


def test_an_unusable_store_is_one_clear_line(fleet_command: FleetCommand, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a store " * 100)
    done = fleet_command("serve", "--store", "notes.txt", "--port", "0", "--mqtt-port", "0")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: store notes.txt: not an SQLite file; name another with --store, or move this one away"
    )


def test_an_unusable_broker_address_is_one_clear_line(fleet_command: FleetCommand) -> None:
    done = fleet_command("serve", "--broker", "localhost:1883")
    assert done.returncode == 1
    assert done.stderr.startswith("error: broker: got 'localhost:1883', expected mqtt://host:port")
    assert len(done.stderr.strip().splitlines()) == 1
