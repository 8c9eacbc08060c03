"""The tap reads what a real client sends to a real broker, in both versions of MQTT."""

import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from device_agent.agent_parts import Broker
from fleet.real_parts import wait_until
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.errors import BrokerError, MalformedPacket
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.sparkplug.packets import Packet, PacketReader, read_connect, read_publish
from edgewise_agent.wire.sparkplug.tap import Tap
from edgewise_agent.wire.sparkplug.trace import Connected, Disconnected, Published, Seen, Subscribed


@pytest.fixture
def seen() -> list[Seen]:
    return []


@pytest.fixture
def tap(broker: Broker, seen: list[Seen]) -> Iterator[Tap]:
    made = Tap(BrokerUrl(broker.url), host="127.0.0.1", port=0, see=seen.append)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            made.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield made
    stop.set()
    thread.join()
    made.close()


@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_every_packet_is_noted_and_passed_on(version: int, tap: Tap, seen: list[Seen]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="c", protocol=version)
    heard: list[bytes] = []
    client.on_message = lambda *args: heard.append(args[2].payload)
    properties = None
    if version == mqtt.MQTTv5:
        properties = Properties(mqtt.PacketTypes.PUBLISH)  # type: ignore[attr-defined]
        properties.UserProperty = ("a", "b" * 200)
    client.username_pw_set("name", "secret")
    client.will_set("will/topic", b"\x00will", qos=1, retain=True)
    client.connect("127.0.0.1", tap.port)
    client.loop_start()
    client.subscribe([("a/b", 1), ("c/d", 0)])
    large = b"x" * 300_000
    client.publish("a/b", large, qos=1, retain=True, properties=properties)
    wait_until(lambda: heard == [large], "it came back through the tap")
    client.disconnect()
    client.loop_stop()
    wait_until(lambda: any(isinstance(one, Disconnected) for one in seen), "the end")
    assert seen[0] == Connected(True, Message("will/topic", b"\x00will", retain=True, qos=1))
    assert seen[1:3] == [Subscribed("a/b", 1), Subscribed("c/d", 0)]
    published = [one for one in seen if isinstance(one, Published)]
    assert [(one.topic, one.payload, one.qos) for one in published] == [("a/b", large, 1)] * 2
    assert published[0].retain
    assert seen[-1] == Disconnected(deliberate=True)


def test_a_lost_connection_is_noted_as_one(tap: Tap, seen: list[Seen], broker: Broker) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="c", reconnect_on_failure=False)
    client.connect("127.0.0.1", tap.port)
    client.loop_start()
    wait_until(client.is_connected, "connected")
    broker.stop()
    wait_until(lambda: seen[-1] == Disconnected(deliberate=False), "noted")
    client.loop_stop()


def test_without_a_broker_the_node_is_refused(tap: Tap, seen: list[Seen], broker: Broker) -> None:
    broker.stop()
    with socket.create_connection(("127.0.0.1", tap.port), timeout=10) as node:
        assert node.recv(1) == b""
    assert seen == []


def test_a_port_in_use_is_said(tap: Tap, broker: Broker) -> None:
    with pytest.raises(BrokerError, match="name another port"):
        Tap(BrokerUrl(broker.url), host="127.0.0.1", port=tap.port, see=lambda one: None)


def test_packets_are_whole_whatever_pieces_they_come_in() -> None:
    data = b"\x30\x07\x00\x03a/bhi" + b"\xc0\x00" + b"\x30\x80\x01" + b"\x00\x01t" + b"p" * 125
    for size in (1, 2, 7, 500):
        reader = PacketReader()
        packets = [packet for at in range(0, len(data), size) for packet in reader.feed(data[at : at + size])]
        assert [packet.kind for packet in packets] == [3, 12, 3]
        assert read_publish(packets[0], 4) == Message("a/b", b"hi", qos=0)
        assert len(packets[2].body) == 128


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x09ab", b"\x00\x04MQTT\x04"])
def test_a_packet_that_ends_early_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedPacket):
        read_connect(Packet(1, 0, body))
    with pytest.raises(MalformedPacket):
        PacketReader().feed(b"\x30\xff\xff\xff\xff\xff")
