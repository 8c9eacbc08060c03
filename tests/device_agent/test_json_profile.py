from pathlib import Path

import pytest

from edgewise_agent.clock import SystemClock
from edgewise_agent.config import parse_settings
from edgewise_agent.description import describe
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_messages import (
    DeviceAddress,
    DeviceState,
    Event,
    MessageError,
    Meta,
    ModelInfo,
    Outcome,
    Response,
    Status,
    decode_notice,
    decode_records,
    encode_record,
)

PROFILE = JsonProfile(DeviceAddress("g", "d"), boot="b")


def test_records_of_one_channel_travel_in_one_publish_that_is_not_retained() -> None:
    records = [Event(ts_ms=1, mono_ns=1, boot="b", seq=seq, name="n") for seq in (1, 2)]
    message = PROFILE.records("event", [encode_record(record) for record in records])
    assert (message.topic, message.retain) == ("edgewise/v1/g/d/event", False)
    assert decode_records(message.payload).records == tuple(records)


def test_status_and_meta_are_retained() -> None:
    status = PROFILE.status(DeviceState.STOPPED, ts_ms=7, reason="why")
    assert (status.topic, status.retain) == ("edgewise/v1/g/d/status", True)
    expected = Status(state=DeviceState.STOPPED, ts_ms=7, boot="b", reason="why")
    assert decode_notice(status.payload, Status) == expected
    meta = PROFILE.meta(Meta(ts_ms=1, boot="b"))
    assert (meta.topic, meta.retain) == ("edgewise/v1/g/d/meta", True)


def test_commands_come_in_and_answers_go_out_on_topics_of_their_own() -> None:
    assert PROFILE.command_topic == "edgewise/v1/g/d/command"
    assert PROFILE.parse_command(b'{"id":"c","name":"stop","issued_ms":1}').name == "stop"
    with pytest.raises(MessageError):
        PROFILE.parse_command(b"{}")
    answer = PROFILE.response(Response(id="c", outcome=Outcome.DONE, ts_ms=1))
    assert (answer.topic, answer.retain) == ("edgewise/v1/g/d/response", False)


def test_a_device_describes_itself_within_the_schema() -> None:
    text = b"""
    device = {id = "d", state_dir = "s"}
    pipelines.main = {model = "m", source = "p"}
    broker = {url = "mqtt://h"}
    """
    settings, _ = parse_settings(text, base=Path("/"))
    assert settings is not None
    meta = describe(
        settings,
        models={"main": ModelInfo(name="m")},
        boot="b",
        clock=SystemClock(),
        drift="off: no baseline",
    )
    assert decode_notice(PROFILE.meta(meta).payload, Meta) == meta
    assert meta.settings_sha256 == settings.sha256
    assert not meta.raw_data_leaves_device
    assert meta.drift == "off: no baseline"
    assert set(meta.versions) == {"python", "kernel", "machine"}
