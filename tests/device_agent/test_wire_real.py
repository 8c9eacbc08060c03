"""Forms and overlay in a running agent, over a real broker."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker, Listener
from device_agent.home_assistant_schema import Discovery, check_discovery
from fleet.real_parts import wait_until
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_agent.wire.home_assistant_payload import Place
from edgewise_messages import Channel

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]
CONFIG = Place(ADDRESS, prefix="homeassistant", expire_after_s=1, status_topic=None).config_topic
STATE = ADDRESS.topic(Channel.STATE)


class HomeAssistant:
    """A subscriber to what Home Assistant subscribes to; keeps the latest of each topic."""

    def __init__(self, port: int) -> None:
        self.latest: dict[str, bytes] = {}
        self.payloads: dict[str, list[bytes]] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="home-assistant")
        self._client.on_message = self._hear
        self._client.on_connect = lambda client, *_: client.subscribe([("homeassistant/#", 1), (STATE, 1)])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def come_online(self) -> None:
        self._client.publish("homeassistant/status", "online", qos=1).wait_for_publish(30)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, client: object, data: object, message: mqtt.MQTTMessage) -> None:
        self.latest[message.topic] = bytes(message.payload)
        self.payloads.setdefault(message.topic, []).append(bytes(message.payload))


@pytest.fixture
def home_assistant(broker: Broker) -> Iterator[HomeAssistant]:
    made = HomeAssistant(broker.port)
    yield made
    made.close()


@pytest.mark.parametrize("profile", ["json", "sparkplug"])
def test_the_device_appears_in_home_assistant_and_goes_when_switched_off(
    profile: str,
    broker: Broker,
    home_assistant: HomeAssistant,
    write_config: WriteConfig,
    start_agent: StartAgent,
) -> None:
    report = {"profile": profile}
    config = write_config(broker.url, report=report, home_assistant={"enabled": True})
    agent = start_agent(config)
    wait_until(lambda: home_assistant.latest.get(STATE), "values arrive")
    wait_until(lambda: home_assistant.latest.get(CONFIG), "the device is announced")
    payload = msgspec.json.decode(home_assistant.latest[CONFIG], type=Discovery)
    check_discovery(payload)
    assert (payload.availability is msgspec.UNSET) == (profile == "sparkplug")
    shown = json.loads(home_assistant.latest[STATE])
    assert {one.name for one in payload.components.values()} >= {"model.inferences", "agent.memory_bytes"}
    assert shown["model.inferences"] >= 0
    before = len(home_assistant.payloads[CONFIG])
    home_assistant.come_online()
    wait_until(lambda: len(home_assistant.payloads[CONFIG]) > before, "announced again")
    assert agent.end() == 0
    agent = start_agent(write_config(broker.url, report=report))
    wait_until(lambda: home_assistant.latest[CONFIG] == b"", "the device is removed")
    assert agent.end() == 0
    late = HomeAssistant(broker.port)
    time.sleep(0.3)
    assert CONFIG not in late.latest, "nothing is retained any more"
    late.close()


@pytest.mark.parametrize("form", ["msgpack", "compact"])
def test_what_the_agent_reports_in_a_binary_form_arrives_whole(
    form: str, broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(write_config(broker.url, report={"format": form}))
    listener.wait_for_records(60)
    assert agent.end() == 0
    listener.wait_for_state("stopped")
    sequences = sorted(listener.sequences)
    assert sequences == list(range(1, len(sequences) + 1))
    assert listener.events("prediction")[0].data["input"] in ("a.png", "b.png", "c.png")
    assert listener.telemetry()[-1]["agent.memory_bytes"] > 1e6
