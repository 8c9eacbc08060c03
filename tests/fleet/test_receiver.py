"""The collector's connection to a broker, against real sockets and a real mosquitto."""

import logging
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fleet.real_parts import Mosquitto, unused_port, wait_until
from fleet.simulated import SimulatedDevice, plausible

from edgewise_fleet.broker_embedded import find_mosquitto
from edgewise_fleet.broker_url import parse_broker_url
from edgewise_fleet.collector import FILTERS
from edgewise_fleet.enrolment.authority import Authority, Pair
from edgewise_fleet.errors import BrokerRefused
from edgewise_fleet.message import Message
from edgewise_fleet.mqtt import CommandLink
from edgewise_fleet.ports import answers
from edgewise_fleet.receiving import Receiver


class Listener:
    """A receiver whose messages can be taken one by one."""

    def __init__(self, url: str, *, client_id: str = "listener") -> None:
        self.heard: queue.Queue[Message] = queue.Queue()
        self.full = False
        self.receiver = Receiver(
            parse_broker_url(url),
            client_id=client_id,
            filters=FILTERS,
            on_messages=self.put,
            has_room=lambda: not self.full,
        )

    def put(self, messages: list[Message]) -> None:
        for message in messages:
            self.heard.put(message)

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
        listener.receiver.start()
        camera.publish(camera.telemetry(plausible(number)))
        (message,) = listener.take(1)
        listener.receiver.acknowledge([message])
        listener.receiver.stop()
    camera.stop()


def test_what_was_not_acknowledged_comes_again(mosquitto: Mosquitto) -> None:
    first = Listener(mosquitto.url)
    first.receiver.start()
    camera = SimulatedDevice("camera", port=mosquitto.port)
    for step in range(3):
        camera.publish(camera.telemetry(plausible(step)))
    heard = first.take(3)
    first.receiver.acknowledge([heard[1]])
    first.receiver.stop()
    camera.publish(camera.telemetry(plausible(9)))
    camera.stop()

    second = Listener(mosquitto.url)
    second.receiver.start()
    again = [message.payload for message in second.take(3)]
    assert again[:2] == [heard[0].payload, heard[2].payload]
    assert again[2] not in [message.payload for message in heard]
    second.receiver.stop()


def test_an_acknowledgement_of_an_earlier_connection_is_not_sent(mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto.url)
    listener.receiver.start()
    camera = SimulatedDevice("camera", port=mosquitto.port)
    camera.publish(camera.telemetry(plausible(1)))
    (before,) = listener.take(1)
    camera.stop()
    mosquitto.stop()
    wait_until(lambda: not listener.receiver.connected, "the loss is noticed")
    mosquitto.start()
    wait_until(lambda: listener.receiver.connected, "it is connected again")
    listener.receiver.acknowledge([before])
    (after,) = listener.take(1)
    assert (after.payload, after.connection) == (before.payload, before.connection + 1)
    listener.receiver.stop()


def listen(url: str) -> None:
    Listener(url).receiver.start(timeout_s=1)


def command(url: str) -> None:
    CommandLink(parse_broker_url(url), answers="a", on_message=lambda _: None).start(timeout_s=1)


both_kinds = pytest.mark.parametrize("connect", [listen, command])


@both_kinds
def test_a_refusal_says_what_to_check_and_hides_the_password(
    guarded_broker: str, connect: Callable[[str], None]
) -> None:
    with pytest.raises(BrokerRefused, match=r"refused us: .*check user and password") as caught:
        connect(guarded_broker)
    assert "wrong" not in str(caught.value)


@both_kinds
def test_a_server_that_does_not_speak_mqtt_is_told_so(connect: Callable[[str], None]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BrokerRefused, match="no answer within 1 s; is this an MQTT broker"),
    ):
        connect(f"mqtt://127.0.0.1:{silent.getsockname()[1]}")


@both_kinds
def test_a_host_that_does_not_exist_is_one_line(connect: Callable[[str], None]) -> None:
    with pytest.raises(
        BrokerRefused, match=r"broker mqtt://no-such-host\.invalid:1883: .+; start the broker"
    ):
        connect("mqtt://no-such-host.invalid")


class ScriptedBroker:
    """A socket that answers each connection as the test says, in place of a broker that misbehaves."""

    def __init__(self, *scripts: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, args=[scripts], daemon=True)
        self._thread.start()

    def _run(self, scripts: tuple[Callable[[socket.socket], None], ...]) -> None:
        for script in scripts:
            connection, _ = self._server.accept()
            connection.settimeout(30)
            with connection, suppress(OSError):
                script(connection)

    def close(self) -> None:
        self._server.close()
        self._thread.join(30)


WELCOME, SUBSCRIBED = b"\x20\x03\x00\x00\x00", b"\x90\x08\x00\x01\x00" + b"\x01" * len(FILTERS)


def take_in(connection: socket.socket) -> None:
    """The greeting and the subscriptions, answered."""
    assert connection.recv(4096)[:1] == b"\x10"
    connection.sendall(WELCOME)
    assert connection.recv(4096)[:1] == b"\x82"
    connection.sendall(SUBSCRIBED)


def take_in_and_talk_nonsense(connection: socket.socket) -> None:
    take_in(connection)
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    connection.recv(4096)


def take_in_and_publish(connection: socket.socket) -> None:
    take_in(connection)
    connection.sendall(b"\x32\x08\x00\x01t\x00\x05\x00hi")
    connection.recv(4096)


def test_nonsense_ends_the_connection_in_words_and_a_new_one_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = ScriptedBroker(take_in_and_talk_nonsense, take_in_and_publish)
    listener = Listener(broker.url)
    with caplog.at_level(logging.WARNING):
        listener.receiver.start()
        (message,) = listener.take(1)
    assert (message.topic, message.payload, message.packet_id, message.connection) == ("t", b"hi", 5, 2)
    assert (
        "it sent a packet of the kind 0x48, which is not for a subscriber; is this an MQTT broker?"
        in caplog.text
    )
    assert (listener.receiver.connected, listener.receiver.trouble) == (True, "")
    listener.receiver.acknowledge([message])
    listener.receiver.stop()
    broker.close()


def test_a_broker_that_falls_silent_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    def fall_silent(connection: socket.socket) -> None:
        assert connection.recv(4096)[:1] == b"\x10"
        # Property 0x13: the broker wants to hear from us every second.
        connection.sendall(b"\x20\x06\x00\x00\x03\x13\x00\x01")
        connection.recv(4096)
        connection.sendall(SUBSCRIBED)
        while data := connection.recv(4096):
            heard.append(data)

    broker = ScriptedBroker(fall_silent, take_in_and_publish)
    listener = Listener(broker.url)
    with caplog.at_level(logging.WARNING):
        listener.receiver.start()
        listener.take(1)
    assert set(b"".join(heard)) == set(b"\xc0\x00")
    assert "connection lost (no answer for 1 s), trying again" in caplog.text
    listener.receiver.stop()
    broker.close()


def hang_up_on_version_5(connection: socket.socket) -> None:
    assert connection.recv(4096)[8] == 5


def welcome_version_4(connection: socket.socket) -> None:
    assert connection.recv(4096)[8] == 4
    connection.sendall(b"\x20\x02\x00\x00")
    connection.recv(4096)
    connection.sendall(b"\x90\x07\x00\x01" + b"\x01" * len(FILTERS))
    connection.sendall(b"\x32\x07\x00\x01t\x00\x05hi")
    assert connection.recv(4) == b"\x40\x02\x00\x05"


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1_but_shares_nothing() -> None:
    broker = ScriptedBroker(hang_up_on_version_5, welcome_version_4, hang_up_on_version_5)
    listener = Listener(broker.url)
    listener.receiver.start()
    (message,) = listener.take(1)
    assert message.payload == b"hi"
    listener.receiver.acknowledge([message])
    listener.receiver.stop()
    sharing = Receiver(
        parse_broker_url(broker.url), client_id="x", filters=["$share/s/a"], on_messages=listener.put
    )
    with pytest.raises(BrokerRefused, match="speaks no MQTT 5, which --share needs"):
        sharing.start()
    broker.close()


def test_without_room_nothing_is_read_and_the_connection_stays(mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto.url)
    listener.receiver.start()
    listener.full = True
    time.sleep(1.5)  # until it looks again
    camera = SimulatedDevice("camera", port=mosquitto.port)
    camera.publish_burst(300)
    time.sleep(0.5)
    assert listener.heard.empty()
    listener.full = False
    heard = listener.take(300)
    assert [one.connection for one in heard] == [1] * 300
    listener.receiver.acknowledge(heard)
    listener.receiver.stop()
    camera.stop()


def test_over_tls_it_hears_and_acknowledges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, pair = Authority(tmp_path / "ca"), Pair(tmp_path / "broker.crt", tmp_path / "broker.key")
    authority.create()
    authority.sign_broker(["127.0.0.1"], pair)
    plain, tls = unused_port(), unused_port()
    config = tmp_path / "tls.conf"
    config.write_text(
        f"listener {plain} 127.0.0.1\nlistener {tls} 127.0.0.1\ncertfile {pair.certificate}\nkeyfile {pair.key}\n"
        "allow_anonymous true\nmax_queued_messages 0\n" + "user root\n" * (os.geteuid() == 0)
    )
    with pytest.raises(BrokerRefused, match="start the broker"):
        Listener(f"mqtts://127.0.0.1:{tls}").receiver.start()
    process = subprocess.Popen([str(find_mosquitto()), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers("127.0.0.1", tls), "mosquitto answers")
        with pytest.raises(BrokerRefused, match="certificate verify failed"):
            Listener(f"mqtts://127.0.0.1:{tls}").receiver.start()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.pair.certificate))
        listener = Listener(f"mqtts://127.0.0.1:{tls}")
        listener.receiver.start()
        camera = SimulatedDevice("camera", port=plain)
        camera.publish(*[camera.telemetry({f"m{i}": float(i) for i in range(100)}) for _ in range(60)])
        camera.publish_burst(3000)
        heard = listener.take(3001)
        listener.receiver.acknowledge(heard)
        camera.stop()
        listener.receiver.stop()
        # Nothing comes again to the same session: every acknowledgement had arrived.
        again = Listener(f"mqtts://127.0.0.1:{tls}")
        again.receiver.start()
        time.sleep(0.5)
        assert again.heard.empty()
        again.receiver.stop()
    finally:
        process.terminate()
        process.wait(30)


def test_the_next_node_is_taken_when_one_is_away(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Two brokers that are no cluster: what goes on is the connection, with its subscriptions."""
    other = Mosquitto(tmp_path / "other")
    listener = Listener(f"{other.url},{mosquitto.url}")
    listener.receiver.start()  # the first is not there yet
    other.start()
    mosquitto.stop()
    wait_until(lambda: not listener.receiver.connected, "the loss is noticed")
    wait_until(lambda: listener.receiver.connected, "the other is taken")
    camera = SimulatedDevice("camera", port=other.port)
    camera.publish(camera.telemetry(plausible(1)))
    (message,) = listener.take(1)
    listener.receiver.acknowledge([message])
    camera.stop()
    listener.receiver.stop()
    other.stop()


def test_when_no_node_answers_the_last_one_is_named() -> None:
    ports = [unused_port(), unused_port()]
    with pytest.raises(BrokerRefused, match=rf"broker mqtt://127\.0\.0\.1:{ports[1]}: Connection refused"):
        Listener(",".join(f"mqtt://127.0.0.1:{port}" for port in ports)).receiver.start()


def test_commands_go_by_the_next_node_too(mosquitto: Mosquitto, tmp_path: Path) -> None:
    other = Mosquitto(tmp_path / "other")
    link = CommandLink(
        parse_broker_url(f"{other.url},{mosquitto.url}"), answers=["answers/#"], on_message=lambda _: None
    )
    link.start()
    other.start()
    mosquitto.stop()
    wait_until(lambda: not link.connected, "the loss is noticed")
    wait_until(lambda: link.connected, "the other is taken")
    link.stop()
    other.stop()
