"""The Home Assistant overlay: payloads as documented, values its templates can read, and nothing left behind."""

import json
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from device_agent.home_assistant_schema import DISCOVERY_TOPIC, Discovery, Sensor, check_discovery
from jinja2 import Environment, StrictUndefined

from edgewise_agent.outbox.batches import Batch
from edgewise_agent.wire.home_assistant import Memory, Overlay, without_overlay
from edgewise_agent.wire.home_assistant_payload import Place
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.profile import Session
from edgewise_messages import (
    Clock,
    DeviceAddress,
    DeviceState,
    Event,
    Meta,
    Response,
    Telemetry,
    encode_record,
)
from edgewise_messages.metrics import STANDARD

ADDRESS = DeviceAddress("greenhouse", "cam-1")
STATUS = "edgewise/v1/greenhouse/cam-1/status"
STATE = "edgewise/v1/greenhouse/cam-1/state"
META = Meta(ts_ms=1, boot="b", board="Raspberry Pi 4", agent_version="0.1.0")
SECOND_NS = 10**9


class HandClock:
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.mono = 1000 * SECOND_NS

    def now_ms(self) -> int:
        return self.mono // 10**6

    def mono_ns(self) -> int:
        return self.mono

    def state(self) -> Clock:
        return Clock.NTP


class Setup:
    """An overlay on the json profile, with a clock in the test's hand."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = HandClock()
        self.memory = Memory(folder / "home-assistant.json")
        self.json = JsonProfile(
            ADDRESS,
            boot="b",
            meta=lambda: META,
            now_ms=self.clock.now_ms,
            responses=queue.SimpleQueue[Response](),
            on_command=lambda payload, retained: None,
        )
        prefix = options.pop("prefix", "homeassistant")
        status_topic = options.pop("status_topic", STATUS)
        place = Place(ADDRESS, prefix=prefix, expire_after_s=30, status_topic=status_topic)
        self.overlay = Overlay(
            self.json,
            place,
            self.memory,
            boot="b",
            clock=self.clock,
            meta=lambda: META,
            monotonic_s=lambda: self.clock.mono / SECOND_NS,
            **options,
        )
        self.session = self.overlay.begin()
        self.session.due()

    def tell(self, metrics: dict[str, Any], *, age_s: float = 0.0, boot: str = "b") -> list[dict[str, Any]]:
        """What the state topic says after this telemetry."""
        mono_ns = self.clock.mono - round(age_s * SECOND_NS)
        record = Telemetry(ts_ms=1, mono_ns=mono_ns, boot=boot, seq=1, metrics=metrics)
        messages = self.session.records(Batch("telemetry", (encode_record(record),), (1,)))
        return [json.loads(message.payload) for message in messages if message.topic == STATE]

    def discovery(self, session: Session | None = None) -> Discovery:
        """The discovery payload that is due, checked against what Home Assistant documents, and delivered."""
        message = self.announcement(session)
        assert message is not None
        return message

    def announcement(self, session: Session | None = None) -> Discovery | None:
        found = [message for message in (session or self.session).due().messages if is_config(message)]
        if not found:
            return None
        (message,) = found
        assert message.retain
        assert message.qos == 1
        payload = msgspec.json.decode(message.payload, type=Discovery)
        check_discovery(payload)
        deliver(message)
        return payload


def is_config(message: Message) -> bool:
    return DISCOVERY_TOPIC.fullmatch(message.topic) is not None


def deliver(message: Message) -> None:
    if message.on_delivered is not None:
        message.on_delivered()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Setup]:
    return lambda **options: Setup(tmp_path, **options)


def test_every_standard_metric_becomes_a_sensor_as_documented(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.tell({metric.name: 1 for metric in STANDARD})
    payload = setup.discovery()
    assert len(payload.components) == len(STANDARD)
    assert payload.device.identifiers == ["edgewise-cam-1-" + payload.device.identifiers[0][-8:]]
    assert payload.state_topic == STATE
    assert payload.components["board_temperature_c"] == Sensor(
        platform="sensor",
        unique_id=payload.device.identifiers[0] + "-board_temperature_c",
        name="board.temperature_c",
        value_template='{{ value_json.get("board.temperature_c") }}',
        device_class="temperature",
        state_class="measurement",
        unit_of_measurement="°C",
        entity_category="diagnostic",
        expire_after=30,
    )
    assert payload.components["model_inferences"].state_class == "total_increasing"


def test_its_templates_read_the_values_and_the_availability(make: Callable[..., Setup]) -> None:
    """Rendered as Home Assistant does: `value_json` is the payload; "None" makes a sensor unknown."""
    setup = make()
    (state,) = setup.tell({"board.temperature_c": 61.8, "front/model.errors": 2})
    payload = setup.discovery()
    templates = Environment(undefined=StrictUndefined)
    read = {
        str(one.name): templates.from_string(str(one.value_template)).render(value_json=state)
        for one in payload.components.values()
    }
    assert read == {"board.temperature_c": "61.8", "front/model.errors": "2"}
    empty = {
        templates.from_string(str(one.value_template)).render(value_json={})
        for one in payload.components.values()
    }
    assert empty == {"None"}
    (availability,) = payload.availability  # type: ignore[misc]
    assert availability.topic == STATUS
    for told in DeviceState:
        status = json.loads(setup.json.status(told).payload)
        read_state = templates.from_string(str(availability.value_template)).render(value_json=status)
        assert (read_state == availability.payload_available) == (told is DeviceState.ONLINE)
        assert read_state in (availability.payload_available, availability.payload_not_available)


def test_without_a_json_status_values_only_expire(make: Callable[..., Setup]) -> None:
    setup = make(status_topic=None)
    setup.tell({"board.temperature_c": 61.8})
    payload = setup.discovery()
    assert payload.availability is msgspec.UNSET
    assert payload.components["board_temperature_c"].expire_after == 30


def test_what_waited_in_the_outbox_is_not_shown_as_of_now(make: Callable[..., Setup]) -> None:
    setup = make()
    assert setup.tell({"model.errors": 1}, age_s=31) == []
    assert setup.tell({"model.errors": 2}, boot="earlier") == []
    assert setup.tell({"model.errors": 3}, age_s=1) == [{"model.errors": 3}]
    assert setup.tell({"model.errors": 2}, age_s=2) == []


def test_a_metric_that_is_not_in_every_record_is_shown_until_it_expires(make: Callable[..., Setup]) -> None:
    """At `report.interval_s = 0.5` the size of inputs is in every other record: in Home Assistant it blinked."""
    setup = make()
    setup.tell({"model.input_pixels": 1024.0, "model.errors": 0})
    setup.clock.mono += 30 * SECOND_NS
    assert setup.tell({"model.errors": 1}) == [{"model.input_pixels": 1024.0, "model.errors": 1}]
    setup.clock.mono += SECOND_NS
    assert setup.tell({"model.errors": 2}) == [{"model.errors": 2}]
    assert setup.tell({"model.input_pixels": 64.0}) == [{"model.input_pixels": 64.0, "model.errors": 2}]


def test_the_profiles_own_messages_stay_as_they_are(make: Callable[..., Setup]) -> None:
    setup = make()
    body = encode_record(Event(ts_ms=1, mono_ns=1, boot="b", seq=1, name="n"))
    batch = Batch("event", (body,), (1,))
    assert setup.session.records(batch) == setup.json.begin().records(batch)
    assert setup.session.opening.will == setup.json.begin().opening.will
    assert setup.session.farewell("x", returns=False) == setup.json.begin().farewell("x", returns=False)
    heard = setup.session.opening.subscriptions
    assert heard == (*setup.json.begin().opening.subscriptions, "homeassistant/status")


def test_names_that_are_not_standard_make_no_sensor(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.tell({"my.own": 1})
    assert setup.announcement() is None


def test_a_new_metric_is_announced_and_then_no_more(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.tell({"model.errors": 1})
    assert set(setup.discovery().components) == {"model_errors"}
    setup.tell({"model.errors": 2})
    assert setup.announcement() is None
    setup.tell({"board.temperature_c": 1.0})
    assert set(setup.discovery().components) == {"model_errors", "board_temperature_c"}


def test_a_new_metric_is_announced_once_more_as_home_assistant_may_have_been_busy(
    make: Callable[..., Setup],
) -> None:
    setup = make()
    setup.tell({"model.errors": 1})
    setup.discovery()
    setup.clock.mono += SECOND_NS // 2
    setup.tell({"board.temperature_c": 1.0})
    grown = setup.discovery()
    setup.clock.mono += 9 * SECOND_NS
    assert setup.announcement() is None
    setup.clock.mono += SECOND_NS
    assert setup.discovery() == grown
    setup.clock.mono += 60 * SECOND_NS
    assert setup.announcement() is None


def test_home_assistant_coming_online_is_answered_after_a_random_time(make: Callable[..., Setup]) -> None:
    setup = make(resend_within_s=10.0)
    setup.tell({"model.errors": 1})
    setup.discovery()
    waits = set()
    for _ in range(20):
        setup.session.heard(Message("homeassistant/status", b"online"))
        began = setup.clock.mono
        while setup.announcement() is None:
            setup.clock.mono += SECOND_NS // 10
        waits.add(setup.clock.mono - began)
    assert max(waits) <= 10.1 * SECOND_NS
    assert len(waits) > 5
    setup.session.heard(Message("homeassistant/status", b"offline"))
    setup.session.heard(Message("homeassistant/status", b"online", retain=True))
    setup.clock.mono += 60 * SECOND_NS
    assert setup.announcement() is None


def test_the_next_start_announces_what_the_last_one_had(make: Callable[..., Setup]) -> None:
    first = make()
    first.tell({"model.errors": 1})
    first.discovery()
    again = make()
    assert set(again.discovery(again.overlay.begin()).components) == {"model_errors"}


def test_a_component_that_is_gone_is_removed_and_then_left_out(make: Callable[..., Setup]) -> None:
    first = make(pipelines=("front", "back"))
    first.tell({"front/model.errors": 1, "back/model.errors": 1})
    assert len(first.discovery().components) == 2
    second = make(pipelines=("front",))
    session = second.overlay.begin()
    removing = second.discovery(session)
    assert sorted(one.is_removal for one in removing.components.values()) == [False, True]
    without = second.discovery(session)
    assert [one.name for one in without.components.values()] == ["front/model.errors"]
    assert second.announcement(session) is None
    third = make(pipelines=("front",))
    assert len(third.discovery(third.overlay.begin()).components) == 1


def test_a_removal_that_was_not_delivered_is_sent_again(make: Callable[..., Setup]) -> None:
    first = make()
    first.tell({"back/model.errors": 1, "model.errors": 1})
    first.discovery()
    second = make(pipelines=())
    assert any(is_config(message) for message in second.overlay.begin().due().messages)
    third = make(pipelines=())
    assert len(third.discovery(third.overlay.begin()).components) == 2


def test_another_prefix_removes_what_stands_under_the_old_one(make: Callable[..., Setup]) -> None:
    first = make()
    first.tell({"model.errors": 1})
    first.discovery()
    second = make(prefix="ha")
    removals = [message for message in second.overlay.begin().due().messages if not message.payload]
    assert [message.topic for message in removals] == [first.overlay.place.config_topic]
    assert all(message.retain for message in removals)
    for message in removals:
        deliver(message)
    assert make(prefix="ha").overlay.begin().due().messages[2:] == ()


def test_switched_off_the_device_is_removed_once(make: Callable[..., Setup], tmp_path: Path) -> None:
    setup = make()
    setup.tell({"model.errors": 1})
    setup.discovery()
    file = tmp_path / "home-assistant.json"
    profile = without_overlay(setup.json, Memory(file))
    (removal,) = profile.begin().due().messages[2:]
    assert (removal.topic, removal.payload, removal.retain) == (setup.overlay.place.config_topic, b"", True)
    assert without_overlay(setup.json, Memory(file)) is not setup.json, "not delivered: remembered"
    deliver(removal)
    assert not file.exists()
    assert without_overlay(setup.json, Memory(file)) is setup.json


def test_it_is_remembered_before_it_is_announced(make: Callable[..., Setup], tmp_path: Path) -> None:
    setup = make()
    setup.tell({"model.errors": 1})
    (message,) = setup.session.due().messages
    assert Memory(tmp_path / "home-assistant.json").announced[0].topic == message.topic


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"topic": "t"}]'])
def test_a_damaged_memory_is_told_and_begun_anew(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "home-assistant.json"
    file.write_bytes(content)
    assert Memory(file).announced == ()
    assert "not readable" in caplog.text


def test_two_devices_never_share_an_object_id() -> None:
    places = [
        Place(DeviceAddress(group, device), prefix="p", expire_after_s=1, status_topic=None).object_id
        for group, device in (("a", "b"), ("b", "b"), ("a-b", "c"), ("a", "b-c"))
    ]
    assert len(set(places)) == len(places)
