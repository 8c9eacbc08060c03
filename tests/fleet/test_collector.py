"""What the collector makes of messages, and when it acknowledges them."""

import gc
import sqlite3
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from fleet.backlog import publish
from fleet.real_parts import Mosquitto, wait_until

from edgewise_fleet.broker_url import parse_broker_url
from edgewise_fleet.collector import FILTERS, Collector, read_message
from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.inbox import MOST_BYTES
from edgewise_fleet.message import Message
from edgewise_fleet.receiving import Receiver
from edgewise_fleet.store import Arrival, Counter, RecordsArrival, RejectedArrival, SqliteStore
from edgewise_fleet.store.base import Added
from edgewise_messages import (
    Channel,
    DeviceAddress,
    DeviceState,
    Event,
    Format,
    Meta,
    Status,
    Telemetry,
    encode_notice,
    encode_records,
)

TOPIC = "edgewise/v1/lab/camera/telemetry"


def message(payload: bytes, *, topic: str = TOPIC, packet_id: int = 1) -> Message:
    return Message(topic, payload, retained=False, received_ms=1, packet_id=packet_id, qos=1, connection=1)


def record(seq: int) -> bytes:
    return encode_records([Telemetry(ts_ms=1, mono_ns=1, boot="b", seq=seq, metrics={"x": 1.0})])


class Acknowledged:
    def __init__(self) -> None:
        self.packet_ids: list[int] = []

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.packet_ids += [message.packet_id for message in messages]


class FailingStore(SqliteStore):
    """A store whose disk is full until it is mended."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.refused = threading.Event()
        self.mended = threading.Event()

    def add(self, arrivals: list[Arrival]) -> Added:  # type: ignore[override]
        if not self.mended.is_set():
            self.refused.set()
            raise StoreUnusable("store: database or disk is full")
        return super().add(arrivals)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[FailingStore]:
    store = FailingStore(tmp_path / "fleet.db")
    yield store
    store.close()


def test_records_of_a_publish_are_read_with_unknown_fields_and_types() -> None:
    payload = (
        b'{"version":1,"later":true,"records":['
        b'{"type":"telemetry","ts_ms":1,"mono_ns":1,"boot":"b","seq":1,"metrics":{"x":1},"new_field":[1]},'
        b'{"type":"hologram","seq":2}]}'
    )
    arrival = read_message(message(payload))
    assert isinstance(arrival, RecordsArrival)
    assert arrival.address == DeviceAddress("lab", "camera")
    assert ([one.seq for one in arrival.records], arrival.unknown) == ([1], 1)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (TOPIC, b"", "message"),
        (TOPIC, b"\xff\x00rubbish", "message"),
        (TOPIC, b'{"records":[{"type":"telemetry","ts_ms":"today"}]}', "message"),
        (TOPIC, b'{"version":99,"records":[]}', "got 99, expected at most 1"),
        (TOPIC, b"[" * 5000, "message"),
        (TOPIC, b'{"records":[]}' + b" " * 300_000, "expected at most"),
        ("edgewise/v1/lab/camera/gossip", b"{}", "unknown channel 'gossip'"),
        ("edgewise/v1/a b/camera/telemetry", b"{}", "group: got 'a b'"),
        ("edgewise/v1/lab/camera/status", b'{"state":"asleep","ts_ms":1,"boot":"b"}', "message"),
    ],
)
def test_what_cannot_be_read_is_set_aside_with_the_reason(topic: str, payload: bytes, reason: str) -> None:
    arrival = read_message(message(payload, topic=topic))
    assert isinstance(arrival, RejectedArrival)
    assert reason in arrival.reason
    assert (arrival.topic, arrival.payload) == (topic, payload)


def test_a_message_that_was_too_large_to_be_held_says_how_large_it_was() -> None:
    cut = Message(TOPIC, b'{"records":[', False, 1, 1, 1, 1, cut_bytes=5_000_000)
    arrival = read_message(cut)
    assert isinstance(arrival, RejectedArrival)
    assert "got 5000012 bytes, expected at most 262144" in arrival.reason


def test_nothing_is_acknowledged_before_it_is_stored(failing: FailingStore) -> None:
    acknowledged = Acknowledged()
    collector = Collector(failing)
    collector.start(acknowledged)
    for packet_id in (1, 2, 3):
        collector.receive([message(record(packet_id), packet_id=packet_id)])
    assert failing.refused.wait(30)
    assert wait_until(lambda: collector.trouble, "the collector says what is wrong")
    assert "disk is full" in collector.trouble
    assert acknowledged.packet_ids == []
    failing.mended.set()
    wait_until(lambda: len(acknowledged.packet_ids) == 3, "all are acknowledged")
    collector.stop()
    assert collector.trouble == ""


def test_a_stop_while_the_store_fails_acknowledges_nothing(failing: FailingStore) -> None:
    acknowledged = Acknowledged()
    collector = Collector(failing)
    collector.start(acknowledged)
    collector.receive([message(record(1))])
    assert failing.refused.wait(30)
    collector.stop()
    assert acknowledged.packet_ids == []


def test_a_stop_stores_and_acknowledges_what_was_heard(failing: FailingStore) -> None:
    failing.mended.set()
    acknowledged = Acknowledged()
    collector = Collector(failing)
    for packet_id in range(1, 2001):
        collector.receive([message(record(packet_id), packet_id=packet_id)])
    collector.start(acknowledged)
    collector.stop()
    assert acknowledged.packet_ids == list(range(1, 2001))
    (row,) = failing.devices()
    assert row.metrics == {"x": 1.0}


def test_while_the_store_fails_only_so_many_bytes_are_held_and_then_all_is_stored(
    failing: FailingStore, mosquitto: Mosquitto
) -> None:
    collector = Collector(failing)
    receiver = Receiver(
        parse_broker_url(mosquitto.url),
        client_id="bounded",
        filters=FILTERS,
        on_messages=collector.receive,
        has_room=collector.has_room,
    )
    collector.start(receiver)
    receiver.start()
    event = {
        "ts_ms": 1,
        "mono_ns": 1,
        "boot": "b",
        "name": "n",
        "data": {f"d{i}": "x" * 4000 for i in range(40)},
    }
    payloads = [encode_records([Event(**event, seq=seq)]) for seq in range(250)]  # type: ignore[arg-type]  # by name
    assert sum(map(len, payloads)) > 2 * MOST_BYTES
    publish(mosquitto.port, [("edgewise/v1/lab/camera/event", payload) for payload in payloads])
    assert failing.refused.wait(30)
    wait_until(lambda: not collector.has_room(), "it is full")
    assert (collector.pending() + 1) * len(payloads[0]) < 2 * MOST_BYTES
    failing.mended.set()
    wait_until(lambda: failing.counts()[Counter.RECORDS] == 250, "all are stored")
    assert receiver.connected
    collector.stop()
    receiver.stop()
    assert failing.counts()[Counter.DUPLICATES] == 0


def test_a_device_costs_the_collector_less_than_a_kilobyte(failing: FailingStore) -> None:
    failing.mended.set()
    acknowledged = Acknowledged()
    collector = Collector(failing)
    collector.start(acknowledged)

    def hear(group: str, devices: int) -> int:
        """What Python holds after all of these have said who they are and reported once."""
        before = len(acknowledged.packet_ids)
        for number in range(devices):
            address, boot = DeviceAddress(group, f"d{number}"), f"{number:032x}"
            said = {
                Channel.STATUS: encode_notice(Status(state=DeviceState.ONLINE, ts_ms=1, boot=boot)),
                Channel.META: encode_notice(Meta(ts_ms=1, boot=boot)),
                Channel.TELEMETRY: encode_records(
                    [Telemetry(ts_ms=1, mono_ns=1, boot=boot, seq=1, metrics={"x": 1.0})]
                ),
            }
            collector.receive([message(payload, topic=address.topic(one)) for one, payload in said.items()])
        wait_until(lambda: len(acknowledged.packet_ids) == before + 3 * devices, "all are stored")
        acknowledged.packet_ids.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        begun = hear("few", 100)
        assert hear("many", 2100) - begun < 2000 * 1024
    finally:
        tracemalloc.stop()
    collector.stop()


def test_an_unreadable_message_is_acknowledged_or_the_broker_would_send_it_for_ever(
    failing: FailingStore,
) -> None:
    failing.mended.set()
    acknowledged = Acknowledged()
    collector = Collector(failing)
    collector.start(acknowledged)
    collector.receive([message(b"rubbish", packet_id=7)])
    wait_until(lambda: acknowledged.packet_ids == [7], "the unreadable message is acknowledged")
    collector.stop()


def test_an_end_by_surprise_is_told(failing: FailingStore) -> None:
    collector = Collector(failing)
    collector.start(Acknowledged())
    failing.mended.set()
    # A payload that is no bytes stands for a mistake of ours.
    collector.receive([message(None)])  # type: ignore[arg-type]
    wait_until(lambda: collector.trouble, "the collector says that it ended")
    assert "collector: ended by TypeError" in collector.trouble
    collector.stop()


FORMS_RECORDS = [
    Telemetry(
        ts_ms=1795359272618,
        mono_ns=2155144393977,
        boot="3aa38b38dbaf4b10",
        seq=seq,
        metrics={"board.temperature_c": 61.8, "front/model.errors": seq, "my.own": 0.1 + 0.2, "text": "x"},
    )
    for seq in (1, 2)
] + [Event(ts_ms=1795359272619, mono_ns=2, boot="b-2", seq=1, name="n", message="m", data={"score": 0.25})]


def dump(path: Path, form: Format) -> list[str]:
    """All that the store holds after this one publish."""
    store = SqliteStore(path)
    store.add([read_message(message(encode_records(FORMS_RECORDS, form)))])
    store.close()
    database = sqlite3.connect(path)
    lines = [line for line in database.iterdump() if "client_id" not in line]
    database.close()
    return lines


def test_every_form_of_a_publish_is_stored_identically(tmp_path: Path) -> None:
    as_json = dump(tmp_path / "json.db", Format.JSON)
    assert sum("3aa38b38dbaf4b10" in line for line in as_json) > 0
    for form in (Format.MSGPACK, Format.COMPACT):
        assert dump(tmp_path / f"{form}.db", form) == as_json


def test_a_compact_publish_by_an_unknown_table_goes_into_quarantine_whole() -> None:
    parts = msgspec.msgpack.decode(encode_records(FORMS_RECORDS, Format.COMPACT))
    payload = msgspec.msgpack.encode([parts[0], parts[1] ^ 1, *parts[2:]])
    arrival = read_message(message(payload))
    assert isinstance(arrival, RejectedArrival)
    assert arrival.payload == payload
    assert "metric table" in arrival.reason
