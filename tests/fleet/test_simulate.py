"""Simulated devices: the wire against the specification's examples, and a small fleet on a real broker."""

import json
import subprocess
from pathlib import Path

import pytest
from fleet.real_parts import EDGEWISE, Mosquitto, Servers, wait_until

from edgewise_fleet.simulate import wire
from edgewise_fleet.simulate.board import THROTTLE_C, World, chance, read_board
from edgewise_fleet.simulate.updating import FACTORY_SHA256, Habits, Updating, nature_of

SHA = "c" * 64


def test_packets_are_those_of_the_specification() -> None:
    assert wire.connect("a", keepalive_s=60) == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"
    assert wire.subscribe("t/x", 10) == b"\x82\x08\x00\x0a\x00\x03t/x\x01"
    assert wire.publish("t", b"hi", 7, retain=True) == b"\x33\x07\x00\x01t\x00\x07hi"
    assert wire.puback(258) == b"\x40\x02\x01\x02"
    assert wire.publish("t", b"x" * 200, 1)[:3] == b"\x32\xcd\x01", "lengths above 127 take two bytes (2.2.3)"


def test_packets_are_split_wherever_the_network_cut_them() -> None:
    stream = b"\x20\x02\x00\x00" + wire.publish("a/b", b"y" * 300, 5) + wire.puback(9)
    for size in (1, 2, 3, 7, 1000):
        buffer, found = bytearray(), []
        for begin in range(0, len(stream), size):
            buffer += stream[begin : begin + size]
            found += list(wire.split(buffer))
        assert [kind for kind, _, _ in found] == [wire.CONNACK, wire.PUBLISH, wire.PUBACK]
        assert wire.read_publish(*found[1][1:]) == ("a/b", 5, b"y" * 300)


@pytest.mark.parametrize("data", [b"\x30\xff\xff\xff\xff\xff\x01", b"\x30\xff\xff\xff\x7f"])
def test_what_is_no_mqtt_is_said(data: bytes) -> None:
    with pytest.raises(wire.BadPacket):
        list(wire.split(bytearray(data)))


def test_the_same_seed_is_the_same_fleet_and_days_are_warm_at_noon() -> None:
    world = World(seed=3)
    assert read_board(world, 5, 100.0) == read_board(World(seed=3), 5, 100.0)
    assert read_board(world, 5, 100.0) != read_board(World(seed=4), 5, 100.0)
    day = [[read_board(world, one, hour * 3600.0).temperature_c for one in range(200)] for hour in range(24)]
    means = [sum(hour) / len(hour) for hour in day]
    assert max(range(24), key=means.__getitem__) in range(13, 18)
    hot = [one for hour in day for one in hour if one >= THROTTLE_C]
    assert 0 < len(hot) < 0.05 * 24 * 200
    assert 0.4 < sum(chance(0, one, 0, "x") for one in range(1000)) / 1000 < 0.6


@pytest.mark.parametrize(
    ("name", "judges", "events", "runs_it"),
    [
        ("good", True, ["fetched", "switched", "confirmed"], True),
        ("slow", True, ["fetched", "rejected"], False),
        ("slow", False, ["fetched", "switched", "confirmed"], True),
        ("wrong", False, ["fetched", "rejected"], False),
        ("drift", True, ["fetched", "switched", "rolled-back"], False),
        ("drift", False, ["fetched", "switched", "confirmed"], True),
    ],
)
def test_a_stand_in_takes_a_model_as_an_agent_does(
    name: str, judges: bool, events: list[str], runs_it: bool
) -> None:
    updating = Updating(Habits(fetch_s=1.0, watch_s=1.0, judges=judges))
    assert updating.want(f"models/{name}.tflite", SHA, again=False, now_s=0.0)[0]
    told = [event.name for now_s in range(6) for event in updating.step(float(now_s))]
    assert told == [f"update.{event}" for event in events]
    assert (updating.current.sha256 == SHA) is runs_it
    if not runs_it:
        updating.want(f"models/{name}.tflite", SHA, again=False, now_s=10.0)
        assert [event.name for event in updating.step(12.0)] == ["update.refused"]


def test_a_crashing_model_is_taken_back_at_the_next_start_and_a_rollback_goes_one_back() -> None:
    updating = Updating(Habits(fetch_s=0.0, watch_s=5.0))
    updating.want("models/crash.tflite", SHA, again=False, now_s=0.0)
    updating.step(1.0)
    assert updating.must_crash and updating.current.sha256 == SHA
    assert [event.name for event in updating.died()] == ["update.recovered"]
    assert updating.current.sha256 == FACTORY_SHA256 and not updating.must_crash
    assert updating.roll_back()[0] is False
    assert nature_of("models/my-slow-one.tflite") == "slow"


def test_a_simulated_fleet_reports_over_a_real_broker(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    try:
        server = servers.start()
        done = subprocess.run(
            [
                EDGEWISE, "fleet", "simulate", "--devices", "100", "--rate", "100", "--seconds", "5",
                "--broker", server.broker_url, "--outages", "0", "--kills", "0",
            ],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        totals = json.loads(done.stdout)
        assert totals["connected_most"] == 100 and totals["given_up"] == 0
        assert totals["published"] == totals["acknowledged"] > 300
        fleet = wait_until(
            lambda: (
                (found := server.fleet())
                and len(found["devices"]) == 100
                and all(one["condition"] == "stopped" for one in found["devices"])
                and found
            ),
            "all hundred said goodbye",
        )
        assert fleet["malformed"] == 0
        assert all(one["board"].startswith("Raspberry Pi") for one in fleet["devices"])
    finally:
        servers.end()


def test_a_broker_that_is_not_there_and_too_many_devices_are_said(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EDGEWISE, "fleet", "simulate", *arguments], capture_output=True, text=True, timeout=60
        )

    absent = run("--devices", "1", "--broker", "mqtt://127.0.0.1:1")
    assert (absent.returncode, "127.0.0.1:1" in absent.stderr, "Traceback" in absent.stderr) == (
        1,
        True,
        False,
    )
    too_many = run("--devices", "1000000", "--broker", "mqtt://127.0.0.1:1")
    assert (too_many.returncode, "open files" in too_many.stderr) == (1, True)


def test_whom_the_broker_refuses_says_so(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    config = mosquitto.folder / "mosquitto.conf"
    text = config.read_text().replace("allow_anonymous true", "allow_anonymous false")
    config.write_text(text)
    from edgewise_fleet.broker_embedded import find_mosquitto

    process = subprocess.Popen([str(find_mosquitto()), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(mosquitto._answers, "it answers")
        done = subprocess.run(
            [EDGEWISE, "fleet", "simulate", "--devices", "1", "--broker", mosquitto.url],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, "refused by the broker: code 5" in done.stderr) == (1, True)
    finally:
        process.terminate()
        process.wait(10)
