"""The subscriber's connection to a broker, against real sockets and a real mosquitto."""

import os
import queue
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.real_parts import Mosquitto, unused_port, wait_until
from fleet.simulated import SimulatedDevice, plausible

from edgewise_fleet.broker_embedded import find_mosquitto
from edgewise_fleet.broker_url import parse_broker_url
from edgewise_fleet.collector import FILTERS
from edgewise_fleet.errors import BrokerRefused
from edgewise_fleet.mqtt import Message, Subscriber
from edgewise_fleet.ports import answers


class Listener:
    """A subscriber whose messages can be taken one by one."""

    def __init__(self, url: str, *, client_id: str = "listener") -> None:
        self.heard: queue.Queue[Message] = queue.Queue()
        self.subscriber = Subscriber(
            parse_broker_url(url), client_id=client_id, filters=FILTERS, on_message=self.heard.put
        )

    def take(self, count: int) -> list[Message]:
        return [self.heard.get(timeout=30) for _ in range(count)]


@pytest.fixture
def guarded_broker(tmp_path: Path) -> Iterator[str]:
    """A mosquitto that lets nobody in."""
    port = unused_port()
    config = tmp_path / "guarded.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\n" + "user root\n" * (os.geteuid() == 0)
    )
    process = subprocess.Popen([str(find_mosquitto()), "-c", str(config)], stderr=subprocess.DEVNULL)
    wait_until(lambda: answers("127.0.0.1", port), "mosquitto answers")
    yield f"mqtt://ann:wrong@127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def test_the_subscription_stands_when_start_returns(mosquitto: Mosquitto) -> None:
    camera = SimulatedDevice("camera", port=mosquitto.port)
    for number in range(20):  # each time a session that the broker does not know yet
        listener = Listener(mosquitto.url, client_id=f"listener-{number}")
        listener.subscriber.start()
        camera.publish(camera.telemetry(plausible(number)))
        (message,) = listener.take(1)
        listener.subscriber.acknowledge(message)
        listener.subscriber.stop()
    camera.stop()


def test_what_was_not_acknowledged_comes_again(mosquitto: Mosquitto) -> None:
    first = Listener(mosquitto.url)
    first.subscriber.start()
    camera = SimulatedDevice("camera", port=mosquitto.port)
    for step in range(3):
        camera.publish(camera.telemetry(plausible(step)))
    heard = first.take(3)
    first.subscriber.acknowledge(heard[1])
    first.subscriber.stop()
    camera.publish(camera.telemetry(plausible(9)))
    camera.stop()

    second = Listener(mosquitto.url)
    second.subscriber.start()
    again = [message.payload for message in second.take(3)]
    assert again[:2] == [heard[0].payload, heard[2].payload]
    assert again[2] not in [message.payload for message in heard]
    second.subscriber.stop()


def test_an_acknowledgement_of_an_earlier_connection_is_not_sent(mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto.url)
    listener.subscriber.start()
    camera = SimulatedDevice("camera", port=mosquitto.port)
    camera.publish(camera.telemetry(plausible(1)))
    (before,) = listener.take(1)
    camera.stop()
    mosquitto.stop()
    wait_until(lambda: not listener.subscriber.connected, "the loss is noticed")
    mosquitto.start()
    wait_until(lambda: listener.subscriber.connected, "it is connected again")
    listener.subscriber.acknowledge(before)
    (after,) = listener.take(1)
    assert (after.payload, after.connection) == (before.payload, before.connection + 1)
    listener.subscriber.stop()


def test_a_refusal_says_what_to_check_and_hides_the_password(guarded_broker: str) -> None:
    with pytest.raises(BrokerRefused, match=r"refused us: .*check user and password") as caught:
        Listener(guarded_broker).subscriber.start()
    assert "wrong" not in str(caught.value)


def test_a_server_that_does_not_speak_mqtt_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        listener = Listener(f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(BrokerRefused, match="no answer within 1 s; is this an MQTT broker"):
            listener.subscriber.start(timeout_s=1)


def test_a_host_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(
        BrokerRefused, match=r"broker mqtt://no-such-host\.invalid:1883: .+; start the broker"
    ):
        Listener("mqtt://no-such-host.invalid").subscriber.start()


def test_the_next_node_is_taken_when_one_is_away(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Two brokers that are no cluster: what goes on is the connection, with its subscriptions."""
    other = Mosquitto(tmp_path / "other")
    listener = Listener(f"{other.url},{mosquitto.url}")
    listener.subscriber.start()  # the first is not there yet
    other.start()
    mosquitto.stop()
    wait_until(lambda: not listener.subscriber.connected, "the loss is noticed")
    wait_until(lambda: listener.subscriber.connected, "the other is taken")
    camera = SimulatedDevice("camera", port=other.port)
    camera.publish(camera.telemetry(plausible(1)))
    (message,) = listener.take(1)
    listener.subscriber.acknowledge(message)
    camera.stop()
    listener.subscriber.stop()
    other.stop()


def test_when_no_node_answers_the_last_one_is_named() -> None:
    ports = [unused_port(), unused_port()]
    with pytest.raises(BrokerRefused, match=rf"broker mqtt://127\.0\.0\.1:{ports[1]}: Connection refused"):
        Listener(",".join(f"mqtt://127.0.0.1:{port}" for port in ports)).subscriber.start()
