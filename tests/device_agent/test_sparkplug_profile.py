"""The Sparkplug profile's own logic, with a clock in the test's hand; test_sparkplug_real.py has real brokers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise_agent.outbox.batches import Batch
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.settings import SparkplugSettings
from edgewise_agent.wire.sparkplug.bd_seq import BdSeq
from edgewise_agent.wire.sparkplug.catalogue import MOST_METRICS, Catalogue
from edgewise_agent.wire.sparkplug.payload import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)
from edgewise_agent.wire.sparkplug.primary_host import PrimaryHost, parse_state
from edgewise_agent.wire.sparkplug.profile import REBIRTH, SparkplugProfile, SparkplugSession
from edgewise_messages import AnyRecord, Clock, DeviceAddress, Drift, Event, Meta, Telemetry, encode_record
from edgewise_messages.metrics import STANDARD

SECOND_NS = 10**9
T_MS = 1_800_000_000_000


class HandClock:
    """Stands where the test puts it; the wall clock may be wrong."""

    def __init__(self) -> None:
        self.mono = 1000 * SECOND_NS
        self.behind_ms = 0
        self.synced = Clock.NTP

    def now_ms(self) -> int:
        return T_MS + self.mono // 10**6 - self.behind_ms

    def mono_ns(self) -> int:
        return self.mono

    def state(self) -> Clock:
        return self.synced


class Setup:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = HandClock()
        self.models = ["one"]
        self.profile = SparkplugProfile(
            DeviceAddress("g", "n"),
            SparkplugSettings(**settings),
            boot="b",
            clock=self.clock,
            meta=lambda: Meta(ts_ms=1, boot="b", board="Pi"),
            bd_seq_file=folder / "bdseq.json",
            keepalive_s=30,
            models=lambda: list(self.models),
            monotonic_s=lambda: self.clock.mono / SECOND_NS,
        )
        self.session: SparkplugSession = self.profile.begin()

    def telemetry(self, metrics: dict[str, Any], *, age_s: float = 0.0, boot: str = "b") -> Telemetry:
        mono_ns = self.clock.mono - round(age_s * SECOND_NS)
        ts_ms = self.clock.now_ms() - round(age_s * 1000)
        return Telemetry(
            ts_ms=ts_ms, mono_ns=mono_ns, boot=boot, seq=1, clock=self.clock.synced, metrics=metrics
        )

    def say(self, *records: AnyRecord) -> list[tuple[str, Payload]]:
        """(message type, payload) of what these records become."""
        self.clock.mono += SECOND_NS
        batch = Batch("telemetry", tuple(map(encode_record, records)), (1,))
        return [kind_and_payload(message) for message in self.session.records(batch)]

    def ask_rebirth(self) -> None:
        rebirth = Metric(name=REBIRTH, datatype=DataType.BOOLEAN, value=True)
        self.session.heard(Message("spBv1.0/g/NCMD/n", encode_payload(Payload((rebirth,)))))


def kind_and_payload(message: Message) -> tuple[str, Payload]:
    return message.topic.split("/")[2], decode_payload(message.payload)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Setup]:
    return lambda **settings: Setup(tmp_path, **settings)


@pytest.fixture
def born(make: Callable[..., Setup]) -> Setup:
    setup = make()
    setup.session.due()
    return setup


def test_the_first_birth_names_every_standard_metric_as_null(make: Callable[..., Setup]) -> None:
    ((kind, payload),) = map(kind_and_payload, make().session.due().messages)
    assert (kind, payload.seq) == ("NBIRTH", 0)
    for metric in STANDARD:
        found = payload.find(metric.name)
        assert found is not None
        assert found.is_null
    board = payload.find("meta/board")
    assert board is not None
    assert board.value == "Pi"


def test_there_are_births_again_when_another_model_runs(born: Setup) -> None:
    assert not born.session.due().messages
    born.models[:] = ["two"]
    assert [kind_and_payload(message)[0] for message in born.session.due().messages] == ["NBIRTH"]
    assert not born.session.due().messages


def test_a_pipeline_of_the_settings_is_a_device_from_the_first_birth_on(tmp_path: Path) -> None:
    catalogue = Catalogue(("main", "door"))
    assert catalogue.devices == ["door"]
    assert "model.errors" in [entry.name for entry in catalogue.of("door")]
    assert "board.temperature_c" not in [entry.name for entry in catalogue.of("door")]
    aliases = [entry.alias for device in ("", "door") for entry in catalogue.of(device)]
    assert len(set(aliases)) == len(aliases)
    assert not catalogue.admit("door/model.errors", 3)


def test_a_birth_repeats_the_latest_values(born: Setup) -> None:
    born.say(born.telemetry({"board.temperature_c": 61.5}))
    born.ask_rebirth()
    ((_, payload),) = map(kind_and_payload, born.session.due().messages)
    found = payload.find("board.temperature_c")
    assert found is not None
    assert (found.value, found.timestamp_ms) == (61.5, T_MS + 1_000_000)


def test_a_new_metric_or_device_makes_births_before_its_data(born: Setup) -> None:
    said = born.say(born.telemetry({"my.own": 1.5, "front/model.errors": 1}))
    assert [kind for kind, _ in said] == ["NBIRTH", "DBIRTH", "NDATA", "DDATA"]
    assert [payload.seq for _, payload in said] == [0, 1, 2, 3]
    assert not any(metric.is_historical for _, payload in said[2:] for metric in payload.metrics)
    assert [kind for kind, _ in born.say(born.telemetry({"my.own": 2.5}))] == ["NDATA"]


@pytest.mark.parametrize(
    ("first", "then", "datatype", "value"),
    [
        (1, 1.5, DataType.DOUBLE, 1.5),
        (1, 2.0, DataType.INT64, 2),
        (1.5, 2, DataType.DOUBLE, 2.0),
        (1.5, 2**53 + 1, DataType.STRING, str(2**53 + 1)),
        (True, 3, DataType.STRING, "3"),
        (1.5, "x", DataType.STRING, "x"),
        (1, 1e300, DataType.DOUBLE, 1e300),
    ],
)
def test_a_value_that_does_not_fit_its_datatype_is_born_again_with_one_it_fits(
    first: Any, then: Any, datatype: DataType, value: Any, born: Setup
) -> None:
    born.say(born.telemetry({"m": first}))
    said = born.say(born.telemetry({"m": then}))
    kind, data = said[-1]
    assert (kind, data.metrics[0].value) == ("NDATA", value)
    births = [payload for kind, payload in said if kind == "NBIRTH"]
    assert len(births) == (0 if datatype is DataType.INT64 else datatype is not type_of(first))
    for birth in births:
        metric = birth.find("m")
        assert metric is not None
        assert (metric.datatype, metric.is_null) == (datatype, True)


def type_of(value: Any) -> DataType:
    return {bool: DataType.BOOLEAN, int: DataType.INT64, float: DataType.DOUBLE}[type(value)]


def test_only_changes_are_sent_and_history_is_whole(born: Setup) -> None:
    born.say(born.telemetry({"board.temperature_c": 61.5, "model.errors": 0}))
    ((_, payload),) = born.say(born.telemetry({"board.temperature_c": 61.5, "model.errors": 1}))
    assert [metric.value for metric in payload.metrics] == [1]
    assert born.say(born.telemetry({"board.temperature_c": 61.5, "model.errors": 1})) == []
    old = {"board.temperature_c": 61.5, "model.errors": 1}
    ((_, payload),) = born.say(born.telemetry(old, boot="earlier"))
    assert [(metric.value, metric.is_historical) for metric in payload.metrics] == [(61.5, True), (1, True)]


def test_history_does_not_become_the_present_value(born: Setup) -> None:
    born.say(born.telemetry({"board.temperature_c": 61.5}))
    born.say(born.telemetry({"board.temperature_c": 20.0}, age_s=500))
    born.say(born.telemetry({"board.temperature_c": 30.0}, boot="earlier"))
    born.ask_rebirth()
    ((_, payload),) = map(kind_and_payload, born.session.due().messages)
    assert payload.find("board.temperature_c").value == 61.5  # type: ignore[union-attr]


def test_what_is_overtaken_is_history(born: Setup) -> None:
    """Live records go before replayed ones, so an older one of this connection may come late."""
    born.clock.mono += 100 * SECOND_NS
    born.say(born.telemetry({"board.temperature_c": 61.5}))
    ((_, payload),) = born.say(born.telemetry({"board.temperature_c": 60.0}, age_s=50))
    assert [(metric.value, metric.is_historical) for metric in payload.metrics] == [(60.0, True)]


def test_events_travel_as_json_also_when_they_repeat(born: Setup) -> None:
    def event(seq: int) -> Event:
        mono_ns = born.clock.mono + SECOND_NS
        return Event(ts_ms=T_MS, mono_ns=mono_ns, boot="b", seq=seq, name="n", data={"ä": 1.5})

    ((kind, payload),) = born.say(event(1), event(2))
    assert kind == "NDATA"
    told = [json.loads(str(metric.value)) for metric in payload.metrics]
    assert [one["seq"] for one in told] == [1, 2]
    assert told[0] == {
        "name": "n", "severity": "info", "message": "", "data": {"ä": 1.5}, "boot": "b", "seq": 1,
    }  # fmt: skip


def test_a_drift_record_becomes_metrics(born: Setup) -> None:
    drift = Drift(ts_ms=T_MS, mono_ns=1, boot="b", seq=1, model="m", scores={"psi": 0.5}, window=50)
    *_, (_, payload) = born.say(drift)
    assert [metric.value for metric in payload.metrics] == [0.5, 50]


def test_what_was_recorded_before_the_clock_was_set_is_stamped_anew(make: Callable[..., Setup]) -> None:
    setup = make()
    setup.clock.synced, setup.clock.behind_ms = Clock.UNSYNCED, T_MS
    setup.session.due()
    record = setup.telemetry({"board.temperature_c": 61.5})
    assert record.ts_ms == 1_000_000
    setup.clock.mono += 60 * SECOND_NS
    setup.clock.synced, setup.clock.behind_ms = Clock.NTP, 0
    ((_, payload),) = setup.say(record)
    assert payload.metrics[0].timestamp_ms == T_MS + 1_000_000


def test_a_wall_clock_set_back_makes_births_again_and_what_follows_is_live(born: Setup) -> None:
    born.clock.behind_ms = 3_600_000
    ((kind, payload),) = map(kind_and_payload, born.session.due().messages)
    assert (kind, payload.timestamp_ms) == ("NBIRTH", born.clock.now_ms())
    assert born.session.due().messages == ()
    record = born.telemetry({"board.temperature_c": 61.5})
    ((_, payload),) = born.say(record)
    assert [(metric.timestamp_ms, metric.is_historical) for metric in payload.metrics] == [
        (record.ts_ms, False)
    ]


def test_a_birth_has_one_time_however_long_it_takes(make: Callable[..., Setup]) -> None:
    """A record made while the births are written is after them for a host, too."""
    setup = make()

    class Ticking(HandClock):
        def now_ms(self) -> int:
            self.mono += SECOND_NS
            return super().now_ms()

    setup.profile.clock = ticking = Ticking()
    (birth,) = (decode_payload(message.payload) for message in setup.session.due().messages)
    assert birth.timestamp_ms == T_MS + 1001 * 1000 < ticking.now_ms()


def test_a_rebirth_is_at_once_and_the_next_one_waits_without_data_in_between(born: Setup) -> None:
    born.ask_rebirth()
    assert len(born.session.due().messages) == 1
    born.ask_rebirth()
    turn = born.session.due()
    assert (turn.messages, turn.takes_records) == ((), False)
    born.clock.mono += 5 * SECOND_NS
    turn = born.session.due()
    assert (len(turn.messages), turn.takes_records) == (1, True)
    assert born.session.due().messages == ()


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("spBv1.0/g/NCMD/n", b"\xff\xff"),
        ("spBv1.0/g/NCMD/n", encode_payload(Payload((Metric(name=REBIRTH, value=False),)))),
        ("spBv1.0/g/NCMD/n", encode_payload(Payload((Metric(name="other", value=True),)))),
        ("spBv1.0/g/NCMD/m", encode_payload(Payload((Metric(name=REBIRTH, value=True),)))),
    ],
)
def test_other_commands_do_nothing(topic: str, payload: bytes, born: Setup) -> None:
    born.session.heard(Message(topic, payload))
    assert born.session.due().messages == ()


def test_bd_seq_is_on_disk_before_it_is_used_and_wraps(tmp_path: Path) -> None:
    file = tmp_path / "bdseq.json"
    file.write_text('{"bd_seq": 254}')
    counter = BdSeq(file)
    assert [counter.next(), counter.next()] == [255, 0]
    assert json.loads(file.read_text()) == {"bd_seq": 0}
    assert BdSeq(file).next() == 1


@pytest.mark.parametrize("content", ["", "[]", '{"bd_seq": "3"}', '{"bd_seq": 256}', '{"bd_seq": true}'])
def test_a_damaged_bd_seq_is_told_and_begins_at_0(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "bdseq.json"
    file.write_text(content)
    assert BdSeq(file).next() == 0
    assert "bdSeq begins at 0 again" in caplog.text


def test_a_disk_that_refuses_does_not_stop_the_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counter = BdSeq(tmp_path / "gone" / "bdseq.json")
    assert [counter.next(), counter.next()] == [0, 1]
    assert "may come again" in caplog.text


def test_every_connection_has_the_next_bd_seq_in_will_birth_and_death(make: Callable[..., Setup]) -> None:
    setup = make()
    for number in range(3):
        session = setup.session if number == 0 else setup.profile.begin()
        messages = (session.opening.will, *session.due().messages, *session.farewell("x", returns=False))
        found = [decode_payload(message.payload).find("bdSeq") for message in messages]
        assert [metric.value for metric in found if metric] == [number] * 3


def test_more_metrics_than_a_birth_holds_are_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    catalogue = Catalogue()
    for number in range(MOST_METRICS + 5):
        catalogue.admit(f"m{number}", 1)
    assert catalogue.find(f"m{MOST_METRICS + 4}") is None
    assert caplog.text.count("are not sent") == 1


@pytest.mark.parametrize(
    "payload", [b"", b"ONLINE", b"[]", b'{"online": 1, "timestamp": 1}', b'{"online": true}']
)
def test_a_state_that_cannot_be_read_changes_nothing(payload: bytes) -> None:
    assert parse_state(payload) is None
    host = PrimaryHost("h")
    host.hear(payload)
    assert not host.is_online


def test_a_record_that_cannot_be_read_is_told_and_the_others_go(
    born: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    born.clock.mono += SECOND_NS
    good = encode_record(born.telemetry({"model.errors": 1}))
    (message,) = born.session.records(Batch("telemetry", (b'{"type":"later"}', good), (1, 2)))
    assert [metric.value for metric in decode_payload(message.payload).metrics] == [1]
    assert "left out" in caplog.text
