"""The Sparkplug host: what it makes of edge nodes, and against a real broker with payloads of another library."""

import json
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
import pytest
from fleet.real_parts import Mosquitto, Server, wait_until
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_agent.wire.sparkplug.payload import Metric, Payload, encode_payload
from edgewise_agent.wire.sparkplug.payload import decode_payload as decode_as_agent
from edgewise_fleet.message import Message
from edgewise_fleet.sparkplug.host import REBIRTH_EVERY_MS, Heard, SparkplugHost
from edgewise_fleet.sparkplug.payload import decode_sparkplug, encode_rebirth, value_of
from edgewise_fleet.store import RecordsArrival, RejectedArrival, StatusArrival
from edgewise_messages import DeviceState, Telemetry

NOW_MS = 1_790_000_000_000
DOUBLE, INT64 = 10, 4


def metric(name: str | None, value: Any, *, alias: int | None = None, at_ms: int = NOW_MS) -> Metric:
    datatype = None if name is None else INT64 if isinstance(value, int) else DOUBLE
    return Metric(name=name, alias=alias, timestamp_ms=at_ms, datatype=datatype, value=value)


class Node:
    """Publishes to a host as an edge node would, with the agent's encoder."""

    def __init__(self) -> None:
        self.host = SparkplugHost()
        self.seq = 0

    def send(
        self, kind: str, *metrics: Metric, seq: int | None = None, device: str = "", now_ms: int = NOW_MS
    ) -> Heard:
        if kind == "NBIRTH":
            self.seq = 0
        used = self.seq if seq is None else seq
        payload = Payload(metrics, timestamp_ms=now_ms, seq=None if kind == "NDEATH" else used)
        if kind != "NDEATH":
            self.seq = (used + 1) % 256
        topic = f"spBv1.0/shop/{kind}/node" + (f"/{device}" if device else "")
        return self.host.hear(Message(topic, encode_payload(payload), False, now_ms, 0, 0, 1))

    def born(self, bd_seq: int = 0) -> Heard:
        return self.send(
            "NBIRTH",
            metric("bdSeq", bd_seq),
            metric("temperature", 20.5, alias=1),
            metric("count", -3, alias=2),
        )


def values(heard: Heard) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for arrival in heard.arrivals:
        if isinstance(arrival, RecordsArrival):
            found += [(one.ts_ms, dict(one.metrics)) for one in arrival.records if isinstance(one, Telemetry)]
    return found


def states(heard: Heard) -> list[DeviceState]:
    return [one.status.state for one in heard.arrivals if isinstance(one, StatusArrival)]


def test_a_birth_says_online_and_names_the_aliases_of_data() -> None:
    node = Node()
    born = node.born()
    assert states(born) == [DeviceState.ONLINE]
    assert values(born) == [(NOW_MS, {"temperature": 20.5, "count": -3})]
    data = node.send("NDATA", metric(None, 21.0, alias=1, at_ms=NOW_MS + 5))
    assert (values(data), data.requests) == ([(NOW_MS + 5, {"temperature": 21.0})], ())


def test_data_before_a_birth_asks_for_one_and_is_not_asked_again_at_once() -> None:
    node = Node()
    first = node.send("NDATA", metric(None, 21.0, alias=1), seq=5)
    (request,) = first.requests
    assert request.topic == "spBv1.0/shop/NCMD/node"
    (asked,) = decode_as_agent(request.payload).metrics
    assert (asked.name, asked.value) == ("Node Control/Rebirth", True)
    assert node.send("NDATA", metric("named", 1.0), now_ms=NOW_MS + 1).requests == ()
    assert node.send("NDATA", metric("named", 1.0), now_ms=NOW_MS + REBIRTH_EVERY_MS).requests != ()
    assert node.born().requests == ()


def test_a_gap_in_the_sequence_asks_for_a_birth_and_keeps_the_data() -> None:
    node = Node()
    node.born()
    gap = node.send("NDATA", metric(None, 21.0, alias=1), seq=7)
    assert len(gap.requests) == 1
    assert values(gap) == [(NOW_MS, {"temperature": 21.0})]


def test_the_sequence_wraps_after_255() -> None:
    node = Node()
    node.born()
    for _ in range(600):
        assert node.send("NDATA", metric(None, 21.0, alias=1)).requests == ()


def test_an_unknown_alias_asks_for_a_birth() -> None:
    node = Node()
    node.born()
    assert len(node.send("NDATA", metric(None, 21.0, alias=77)).requests) == 1


def test_a_device_of_a_node_has_metrics_under_its_name() -> None:
    node = Node()
    node.born()
    node.send("DBIRTH", metric("speed", 1.0, alias=9), device="front")
    assert values(node.send("DDATA", metric(None, 2.0, alias=9), device="front")) == [
        (NOW_MS, {"front/speed": 2.0})
    ]
    assert len(node.send("DDATA", metric("speed", 2.0), device="unborn").requests) == 1


def test_a_death_counts_only_for_the_session_that_it_belongs_to() -> None:
    node = Node()
    node.born(bd_seq=4)
    assert node.send("NDEATH", metric("bdSeq", 3)).arrivals == ()
    assert states(node.send("NDEATH", metric("bdSeq", 4))) == [DeviceState.OFFLINE]


def test_the_same_historical_value_sent_twice_is_the_same_record() -> None:
    node = Node()
    node.born()
    once = node.send("NDATA", metric("a", 1.0, at_ms=NOW_MS - 9), metric("b", 2.0, at_ms=NOW_MS - 5))
    again = node.send("NDATA", metric("a", 1.0, at_ms=NOW_MS - 9), now_ms=NOW_MS + 1000)
    (first,), (second,) = once.arrivals, again.arrivals
    assert isinstance(first, RecordsArrival)
    assert isinstance(second, RecordsArrival)
    assert first.records[0].seq == second.records[0].seq
    assert first.records[0].seq < first.records[1].seq < 2**63


def test_after_a_lost_connection_every_node_is_asked_anew() -> None:
    node = Node()
    node.born()
    node.host.forget()
    assert len(node.send("NDATA", metric(None, 1.0, alias=1)).requests) == 1


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("spBv1.0/shop/NDATA/node", b"\xff\xff"),
        ("spBv1.0/a shop/NDATA/node", b""),
        ("spBv1.0/shop/NBIRTH/node", b""),
    ],
)
def test_what_cannot_be_read_is_set_aside(topic: str, payload: bytes) -> None:
    heard = SparkplugHost().hear(Message(topic, payload, False, NOW_MS, 0, 0, 1))
    assert isinstance(heard.arrivals[0], RejectedArrival)


def test_integers_are_read_by_their_datatype() -> None:
    assert value_of(2**64 - 3, INT64) == -3
    assert value_of(2**32 - 3, 3) == -3
    assert value_of(2**32 - 3, 7) == 2**32 - 3
    assert value_of(2**64 - 1, 8) == float(2**64 - 1)
    assert value_of(float("nan"), DOUBLE) is None
    assert value_of(b"x", 17) is None
    assert decode_sparkplug(encode_rebirth(5)).timestamp_ms == 5


def test_nodes_report_through_a_real_broker_and_hear_whether_the_host_is_there(
    serve: Callable[..., Server], mosquitto: Mosquitto
) -> None:
    heard: list[tuple[str, bytes]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="node")
    client.on_message = lambda _c, _u, message: heard.append((message.topic, message.payload))
    client.connect("127.0.0.1", mosquitto.port)
    client.subscribe([("spBv1.0/STATE/fleet", 1), ("spBv1.0/shop/NCMD/node", 1)])
    client.loop_start()
    server = serve("--broker", mosquitto.url, "--sparkplug-host", "fleet")
    wait_until(lambda: heard, "the host says that it is there")
    state = json.loads(heard[0][1])
    assert state["online"] is True
    client.publish(
        "spBv1.0/shop/NDATA/node", encode_payload(Payload((metric(None, 1.0, alias=1),), NOW_MS, 3))
    )
    wait_until(lambda: heard[-1][0].endswith("NCMD/node"), "a birth is asked for")
    births = (metric("bdSeq", 0), metric("board.temperature_c", 48.5, alias=1))
    client.publish("spBv1.0/shop/NBIRTH/node", encode_payload(Payload(births, NOW_MS, 0)))
    client.publish(
        "spBv1.0/shop/NDATA/node",
        encode_payload(Payload((metric(None, 49.5, alias=1, at_ms=NOW_MS + 1),), NOW_MS, 1)),
    )
    fleet = server.wait_for_records(2)
    (shown,) = fleet["devices"]
    assert (shown["group"], shown["device"], shown["temperature_c"]) == ("shop", "node", 49.5)
    server.end()
    wait_until(lambda: json.loads(heard[-1][1]) == {**state, "online": False}, "the host says that it goes")
    client.disconnect()
    client.loop_stop()
