"""The agent's device in a real Home Assistant: it appears, shows what it reports, goes offline, comes back, goes."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker
from device_agent.home_assistant_parts import HomeAssistant
from fleet.real_parts import wait_until
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_agent.wire.home_assistant_payload import DEVICE_CLASSES, Place, component_id, standard_metric
from edgewise_messages import Channel
from edgewise_messages.metrics import Kind

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not os.environ.get("EDGEWISE_HOME_ASSISTANT"),
        reason="EDGEWISE_HOME_ASSISTANT=1 runs it: it installs Home Assistant and takes minutes",
    ),
]
OBJECT_ID = Place(ADDRESS, "homeassistant", 15, None).object_id
UNAVAILABLE = "unavailable"


@pytest.fixture
def home(broker: Broker, tmp_path: Path) -> Iterator[HomeAssistant]:
    folder = tmp_path / "home-assistant"
    folder.mkdir()
    made = HomeAssistant(folder, broker.port)
    made.start()
    yield made
    made.stop()


class Latest:
    """The latest values that the agent published for Home Assistant, and whether that said that it is online."""

    def __init__(self, port: int) -> None:
        self.values: dict[str, Any] = {}
        self.home_is_online = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        topics = [(ADDRESS.topic(Channel.STATE), 0), ("homeassistant/status", 0)]
        self._client.on_connect = lambda client, *_: client.subscribe(topics)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == ADDRESS.topic(Channel.STATE):
            self.values.update(json.loads(message.payload))
        else:
            self.home_is_online = message.payload == b"online"


@pytest.fixture
def latest(broker: Broker) -> Iterator[Latest]:
    made = Latest(broker.port)
    yield made
    made.close()


def is_available(home: HomeAssistant) -> bool:
    states = [one["state"] for one in home.entities().values()]
    return bool(states) and UNAVAILABLE not in states


def differences(home: HomeAssistant, values: dict[str, Any]) -> list[str]:
    """Where its sensors do not show these values, or not as what the table of metrics says."""
    found, entities = [], home.entities()
    for name, value in values.items():
        metric = standard_metric(name)
        if metric is None:
            continue
        shown = entities.get(f"{OBJECT_ID}-{component_id(name)}")
        if shown is None:
            found.append(f"{name} is missing")
            continue
        if shown["state"] in (UNAVAILABLE, "unknown") or float(shown["state"]) != pytest.approx(value):
            found.append(f"{name}: {value} is shown as {shown['state']}")
        if shown.get("device_class") != DEVICE_CLASSES.get(metric.unit):
            found.append(f"{name}: device class {shown.get('device_class')}")
        if metric.kind is Kind.COUNTER and shown.get("state_class") != "total_increasing":
            found.append(f"{name}: state class {shown.get('state_class')}")
    return found


def assert_all_shown(home: HomeAssistant, latest: Latest, agent: AgentProcess) -> None:
    """Each metric has its value, whether the last report had it or not; compared while the agent is held still."""
    found: list[str] = []
    for _ in range(10):
        agent.process.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 5
        while (found := differences(home, latest.values)) and time.monotonic() < until:
            time.sleep(0.2)
        agent.process.send_signal(signal.SIGCONT)
        if not found:
            return
        time.sleep(2)
    assert not found


def test_a_device_appears_shows_its_values_goes_offline_comes_back_and_is_removed(
    home: HomeAssistant,
    latest: Latest,
    broker: Broker,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
    photos: Path,
    tiny_model: Path,
) -> None:
    second = {"pipelines.door": {"model": str(tiny_model), "source": str(photos), "interval_s": 0.1}}
    shown = {"home_assistant": {"enabled": True}}
    agent = start_agent(write_config(broker.url, **shown, **second))
    wait_until(lambda: "door/model.latency_p95_ms" in latest.values and is_available(home), "it has appeared")
    wait_until(lambda: len(home.entities()) >= len(latest.values) >= 30, "all sensors have appeared")
    assert_all_shown(home, latest, agent)
    (device,) = home.devices()
    assert device["name"] == ADDRESS.device and device["version"]

    agent.kill()
    wait_until(
        lambda: {one["state"] for one in home.entities().values()} == {UNAVAILABLE}, "it is shown as gone"
    )
    agent = start_agent(write_config(broker.url, **shown))
    wait_until(lambda: not any("door" in one for one in home.entities()), "the other pipeline's have gone")
    wait_until(lambda: is_available(home), "it is back")

    home.stop()
    home.start()
    wait_until(lambda: is_available(home), "Home Assistant knows it again after a start of its own")
    assert agent.end() == 0

    agent = start_agent(write_config(broker.url))
    wait_until(lambda: not home.devices() and not home.entities(), "it is removed")
    assert agent.end() == 0
    assert home.complaints() == []


def test_a_sparkplug_device_appears_as_well(
    home: HomeAssistant,
    latest: Latest,
    broker: Broker,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
) -> None:
    report = {"profile": "sparkplug", "interval_s": 0.5}
    agent = start_agent(write_config(broker.url, home_assistant={"enabled": True}, report=report))
    wait_until(lambda: len(home.entities()) >= len(latest.values) >= 20, "its sensors have appeared")
    assert_all_shown(home, latest, agent)
    assert agent.end() == 0
    assert home.complaints() == []


def test_metrics_that_home_assistant_drops_because_it_is_busy_are_announced_again(
    latest: Latest,  # before Home Assistant, which says once that it is online
    home: HomeAssistant,
    broker: Broker,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
    photos: Path,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    late = tmp_path / "late"
    late.mkdir()
    second = {"pipelines.door": {"model": str(tiny_model), "source": str(late), "interval_s": 0.1}}
    # Its coming online would be answered by another announcement.
    wait_until(lambda: latest.home_is_online, "Home Assistant is online")
    with home.held_still():
        agent = start_agent(write_config(broker.url, home_assistant={"enabled": True}, **second))
        wait_until(lambda: latest.values, "it is announced")
        shutil.copy(photos / "a.png", late)
        wait_until(lambda: "door/model.latency_p95_ms" in latest.values, "more is announced")
    wait_until(lambda: len(home.entities()) >= len(latest.values), "all sensors have appeared")
    assert_all_shown(home, latest, agent)
    assert agent.end() == 0
    assert home.complaints() == []
