import queue
from pathlib import Path

import pytest

from edgewise_agent.clock import SystemClock
from edgewise_agent.description import describe
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.settings.config import parse_settings
from edgewise_agent.wire.json_profile import JsonProfile, parse_command
from edgewise_agent.wire.message import Message
from edgewise_messages import (
    DeviceAddress,
    DeviceState,
    Event,
    Format,
    MessageError,
    Meta,
    ModelInfo,
    Outcome,
    Response,
    Status,
    decode_notice,
    decode_records,
    encode_notice,
    encode_record,
)

ADDRESS = DeviceAddress("g", "d")
META = Meta(ts_ms=1, boot="b")


class Setup:
    """A profile, and what it hands on."""

    def __init__(self, form: Format = Format.JSON) -> None:
        self.commands: list[tuple[bytes, bool]] = []
        self.responses: queue.SimpleQueue[Response] = queue.SimpleQueue()
        self.models = ["one"]
        self.profile = JsonProfile(
            ADDRESS,
            boot="b",
            meta=lambda: META,
            now_ms=lambda: 7,
            responses=self.responses,
            on_command=lambda payload, retained: self.commands.append((payload, retained)),
            form=form,
            models=lambda: list(self.models),
        )
        self.session = self.profile.begin()


@pytest.mark.parametrize("form", Format)
def test_records_of_one_channel_travel_in_one_publish_that_is_not_retained(form: Format) -> None:
    records = [Event(ts_ms=1, mono_ns=1, boot="b", seq=seq, name="n") for seq in (1, 2)]
    batch = Batch("event", tuple(encode_record(record) for record in records), (1, 2))
    (message,) = Setup(form).session.records(batch)
    assert (message.topic, message.retain, message.qos) == ("edgewise/v1/g/d/event", False, 1)
    assert decode_records(message.payload).records == tuple(records)
    assert (message.payload[:1] == b"{") == (form is Format.JSON)


def test_what_cannot_be_read_goes_as_the_json_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """A later version of edgewise wrote it, and the fleet may know it."""
    (message,) = Setup(Format.COMPACT).session.records(Batch("event", (b'{"type":"later"}',), (1,)))
    assert message.payload == b'{"version":1,"records":[{"type":"later"}]}'
    assert "goes as JSON" in caplog.text


def test_the_will_says_offline_and_is_retained() -> None:
    will = Setup().session.opening.will
    assert (will.topic, will.retain, will.qos) == ("edgewise/v1/g/d/status", True, 1)
    assert decode_notice(will.payload, Status).state is DeviceState.OFFLINE


def test_meta_and_status_go_out_once_and_retained() -> None:
    session = Setup().session
    meta, status = session.due().messages
    assert (meta.topic, meta.retain) == ("edgewise/v1/g/d/meta", True)
    assert decode_notice(meta.payload, Meta) == META
    assert (status.topic, status.retain) == ("edgewise/v1/g/d/status", True)
    assert decode_notice(status.payload, Status).state is DeviceState.ONLINE
    assert session.due().messages == ()


def test_meta_goes_out_again_when_another_model_runs() -> None:
    setup = Setup()
    assert len(setup.session.due().messages) == 2 and not setup.session.due().messages
    setup.models[:] = ["two"]
    (meta,) = setup.session.due().messages
    assert (meta.topic, meta.retain) == ("edgewise/v1/g/d/meta", True)
    assert not setup.session.due().messages


def test_the_last_word_is_stopped_with_the_reason() -> None:
    (status,) = Setup().session.farewell("why", returns=False)
    assert status.retain
    expected = Status(state=DeviceState.STOPPED, ts_ms=7, boot="b", reason="why")
    assert decode_notice(status.payload, Status) == expected


def test_a_change_of_connections_is_no_stop() -> None:
    assert Setup().session.farewell("why", returns=True) == ()


def test_commands_come_in_and_answers_go_out_on_topics_of_their_own() -> None:
    setup = Setup()
    assert setup.session.opening.subscriptions == ("edgewise/v1/g/d/command",)
    setup.session.heard(Message("edgewise/v1/g/d/status", b"no command"))
    setup.session.heard(Message("edgewise/v1/g/d/command", b"c", retain=True))
    assert setup.commands == [(b"c", True)]
    setup.session.due()
    setup.responses.put(Response(id="c", outcome=Outcome.DONE, ts_ms=1))
    (answer,) = setup.session.due().messages
    assert (answer.topic, answer.retain) == ("edgewise/v1/g/d/response", False)


def test_a_command_is_read_or_refused() -> None:
    assert parse_command(b'{"id":"c","name":"stop","issued_ms":1}').name == "stop"
    with pytest.raises(MessageError):
        parse_command(b"{}")


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
    assert decode_notice(encode_notice(meta), Meta) == meta
    assert meta.settings_sha256 == settings.sha256
    assert not meta.raw_data_leaves_device
    assert meta.drift == "off: no baseline"
    assert set(meta.versions) == {"python", "kernel", "machine"}
