"""The broker that a server starts itself, both kinds of it."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet.real_parts import Server, unused_port, wait_until
from fleet.simulated import SimulatedDevice, plausible

from edgewise_fleet.broker_embedded import EmbeddedBroker, find_mosquitto
from edgewise_fleet.errors import BrokerFailed, PortTaken
from edgewise_fleet.ports import answers

MakeBroker = Callable[..., EmbeddedBroker]


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    made: list[EmbeddedBroker] = []

    def make(*, mosquitto: str | None, port: int = 0) -> EmbeddedBroker:
        broker = EmbeddedBroker(host="127.0.0.1", port=port, folder=tmp_path / "held", mosquitto=mosquitto)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.stop()


@pytest.mark.parametrize("program", ["mosquitto", "amqtt"])
def test_it_answers_after_start_and_is_gone_after_stop(make_broker: MakeBroker, program: str) -> None:
    broker = make_broker(mosquitto=find_mosquitto() if program == "mosquitto" else None)
    assert broker.program == program
    broker.start()
    assert answers("127.0.0.1", broker.url.port)
    broker.stop()
    assert not answers("127.0.0.1", broker.url.port)


def test_amqtt_carries_a_device_to_the_server(
    make_broker: MakeBroker,
    serve: Callable[..., Server],
    device: Callable[..., SimulatedDevice],
) -> None:
    broker = make_broker(mosquitto=None)
    broker.start()
    server = serve("--broker", str(broker.url))
    camera = device("camera", port=broker.url.port)
    camera.introduce()
    for step in range(30):
        camera.publish(camera.telemetry(plausible(step)))
    fleet = server.wait_for_records(30)
    assert [one["model"] for one in fleet["devices"]] == ["efficientnet-lite0"]
    camera.vanish()
    wait_until(lambda: server.fleet()["devices"][0]["condition"] == "offline", "the Last Will arrives")


@pytest.mark.parametrize("program", ["mosquitto", "amqtt"])
def test_it_is_started_again_when_it_dies(make_broker: MakeBroker, program: str) -> None:
    broker = make_broker(mosquitto=find_mosquitto() if program == "mosquitto" else None)
    broker.start()
    first = broker.process_id
    wait_until(lambda: answers("127.0.0.1", broker.url.port), "it answers")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: broker.process_id not in (None, first), "another process has taken over")
    wait_until(lambda: answers("127.0.0.1", broker.url.port), "it answers again")


def test_a_taken_port_is_found_before_anything_starts(make_broker: MakeBroker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = make_broker(mosquitto=find_mosquitto(), port=taken.getsockname()[1])
        with pytest.raises(
            PortTaken, match="already in use; if that is a broker, use it with --broker mqtt://"
        ):
            broker.start()


def test_a_program_that_ends_at_once_is_told_with_its_last_words(
    make_broker: MakeBroker, tmp_path: Path
) -> None:
    broken = tmp_path / "mosquitto"
    broken.write_text("#!/bin/sh\necho 'Error: no licence to run'\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(
        BrokerFailed, match=r"did not come up: Error: no licence to run; start a broker yourself"
    ):
        make_broker(mosquitto=str(broken), port=unused_port()).start()
