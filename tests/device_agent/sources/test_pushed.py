"""What is sent to a device reaches its pipeline: by HTTP, by MQTT, and never more than it can hold."""

import http.client
import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from device_agent.agent_parts import Broker
from fleet.real_parts import WAIT_S, unused_port, wait_until
from paho.mqtt.enums import CallbackAPIVersion
from PIL import Image

from edgewise.errors import SourceError
from edgewise.streams import Frame
from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.sources.http_inputs import HttpReceiver
from edgewise_agent.sources.mqtt_inputs import MqttReceiver
from edgewise_agent.sources.payloads import MOST_BYTES
from edgewise_agent.sources.pushed import MOST_WAITING, Inbox, PushedSource

TOPIC = "cameras/door/png"


def picture(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (level, level, level)).save(out, "PNG")
    return out.getvalue()


def level_of(item: Any) -> int:
    assert isinstance(item, Frame) and isinstance(item.image, np.ndarray)
    return int(item.image[0, 0, 0])


def post(port: int, body: bytes, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_posted_pictures_come_in_order_and_what_is_none_is_refused() -> None:
    receiver = HttpReceiver("127.0.0.1", 0)
    with PushedSource("push:0", receiver) as source:
        assert [post(receiver.port, picture(level)) for level in (10, 20)] == [202, 202]
        assert post(receiver.port, b"no picture") == 202
        assert post(receiver.port, picture(30)) == 202
        assert [level_of(source.read()) for _ in range(3)] == [10, 20, 30]
        assert (source.refused, source.dropped) == (1, 0)
    assert source.read() is None


def test_when_nobody_reads_the_oldest_goes_and_the_sender_is_told() -> None:
    receiver = HttpReceiver("127.0.0.1", 0)
    with PushedSource("push:0", receiver) as source:
        answers = [post(receiver.port, picture(level)) for level in range(MOST_WAITING + 2)]
        assert answers == [202] * MOST_WAITING + [429, 429]
        assert level_of(source.read()) == 2
        assert source.dropped == 2


def test_too_much_and_no_length_are_refused_unread() -> None:
    receiver = HttpReceiver("127.0.0.1", 0)
    with PushedSource("push:0", receiver):
        assert post(receiver.port, b"", **{"Content-Length": str(MOST_BYTES + 1)}) == 413
        assert post(receiver.port, b"", **{"Content-Length": "many"}) == 411
        assert post(receiver.port, b"", **{"Content-Length": "-1"}) == 411


def test_a_port_in_use_is_told() -> None:
    first = HttpReceiver("127.0.0.1", 0)
    first.start(Inbox())
    with pytest.raises(SourceError, match="in use"):
        HttpReceiver("127.0.0.1", first.port).start(Inbox())
    first.stop()


def test_closing_ends_a_read_that_waits() -> None:
    source = PushedSource("push:0", HttpReceiver("127.0.0.1", 0))
    source.open()
    threading.Timer(0.05, source.close).start()
    assert source.read() is None


def mqtt_source(port: int) -> PushedSource:
    settings = BrokerSettings(url=(BrokerUrl(f"mqtt://127.0.0.1:{port}"),))

    def connect(on_message: Callable[[Any], None]) -> BrokerConnection:
        return BrokerConnection(settings, client_id="input", on_message=on_message)

    return PushedSource(f"mqtt:{TOPIC}", MqttReceiver(TOPIC, connect, backoff=Backoff("test", longest_s=1.0)))


def publisher(port: int) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="camera")
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def send(client: mqtt.Client, body: bytes, *, retain: bool = False) -> None:
    client.publish(TOPIC, body, qos=1, retain=retain).wait_for_publish(WAIT_S)


def test_published_pictures_come_through_a_broker_that_restarts_and_retained_ones_do_not(
    broker: Broker,
) -> None:
    camera = publisher(broker.port)
    send(camera, picture(1), retain=True)
    with mqtt_source(broker.port) as source:
        seen: list[int] = []
        reader = threading.Thread(target=lambda: seen.extend(level_of(item) for item in source))
        reader.start()
        wait_until(lambda: send(camera, picture(2)) or seen, "it is subscribed")
        broker.stop()
        broker.start()
        wait_until(lambda: camera.is_connected() and (send(camera, picture(3)) or 3 in seen), "it is back")
        source.close()
        reader.join(WAIT_S)
        assert set(seen) == {2, 3}
    camera.disconnect()
    camera.loop_stop()


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Any) -> None:
    port = unused_port()
    with mqtt_source(port) as source:
        late = Broker(tmp_path, port=port)
        late.start()
        camera = publisher(port)
        seen: list[int] = []
        reader = threading.Thread(target=lambda: seen.append(level_of(source.read())))
        reader.start()
        wait_until(lambda: send(camera, picture(9)) or seen, "it subscribes in the end")
        reader.join(WAIT_S)
        camera.disconnect()
        camera.loop_stop()
        late.stop()
