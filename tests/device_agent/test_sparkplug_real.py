"""The agent's own Sparkplug traffic over a real mosquitto: judged by every rule, read by a host's library."""

import contextlib
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pysparkplug
import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker
from fleet.real_parts import EDGEWISE, unused_port, wait_until
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_agent.clock import SystemClock
from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.courier import Courier
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.settings import SparkplugSettings
from edgewise_agent.wire.sparkplug.findings import Outcome
from edgewise_agent.wire.sparkplug.payload import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)
from edgewise_agent.wire.sparkplug.profile import SparkplugProfile
from edgewise_agent.wire.sparkplug.rules import judge_all
from edgewise_agent.wire.sparkplug.tap import Tap
from edgewise_agent.wire.sparkplug.trace import Connected, Disconnected, Published, Seen, read_trace
from edgewise_messages import DeviceAddress, Meta

GROUP, NODE = ADDRESS.group, ADDRESS.device
HOST_ID = "scada"


class Host:
    """A host application: hears everything, states its presence, asks for births."""

    def __init__(self, port: int) -> None:
        self.states_itself = False
        """Say that it is online whenever it has connected and subscribed, as a primary host does."""
        self.heard: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="host")
        self._client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        self._client.on_connect = self._connected
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def state(self, online: bool, timestamp_ms: int | None = None) -> None:
        stamp_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        payload = json.dumps({"online": online, "timestamp": stamp_ms})
        self._client.publish(f"spBv1.0/STATE/{HOST_ID}", payload, qos=1, retain=True).wait_for_publish(30)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("spBv1.0/#", qos=1)
        if self.states_itself:
            payload = json.dumps({"online": True, "timestamp": time.time_ns() // 1_000_000})
            client.publish(f"spBv1.0/STATE/{HOST_ID}", payload, qos=1, retain=True)

    def ask_rebirth(self) -> None:
        rebirth = Metric(name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=True)
        payload = encode_payload(Payload((rebirth,), timestamp_ms=1))
        self._client.publish(f"spBv1.0/{GROUP}/NCMD/{NODE}", payload, qos=1).wait_for_publish(30)

    def of(self, kind: str) -> list[bytes]:
        return [payload for topic, payload in list(self.heard) if f"/{kind}/" in topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Node:
    """An edge node on a real outbox, its records made by the test, behind a tap."""

    def __init__(self, folder: Path, broker: Broker, settings: SparkplugSettings, *, boot: str = "b") -> None:
        self.seen: list[Seen] = []
        self.tap = Tap(BrokerUrl(broker.url), host="127.0.0.1", port=0, see=self.seen.append)
        self.outbox = Outbox(folder / "outbox.db", max_bytes=2**24)
        self.recorder = Recorder(self.outbox, SystemClock(), boot=boot)
        self._broker = BrokerSettings(url=(BrokerUrl(f"mqtt://127.0.0.1:{self.tap.port}"),), keepalive_s=5)
        profile = SparkplugProfile(
            DeviceAddress(GROUP, NODE),
            settings,
            boot=boot,
            clock=SystemClock(),
            meta=lambda: Meta(ts_ms=1, boot=boot, board="Pi", versions={"python": "3"}),
            bd_seq_file=folder / "bdseq.json",
            keepalive_s=self._broker.keepalive_s,
        )
        backoff = Backoff("node", longest_s=1.0)
        self.courier = Courier(self.outbox, self._connect, profile, backoff)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tap, daemon=True)
        self._thread.start()

    def measure(self, temperature: float, errors: int) -> None:
        self.recorder.telemetry({"board.temperature_c": temperature, "front/model.errors": errors})
        self.outbox.commit()

    def of(self, kind: str) -> list[Published]:
        return [one for one in list(self.seen) if isinstance(one, Published) and one.kind == kind]

    def verdicts(self, host: str = "") -> dict[str, Outcome]:
        trace = read_trace(self.seen, group=GROUP, node=NODE, host=host)
        return {verdict.rule: verdict.outcome for verdict in judge_all(trace)}

    def close(self) -> None:
        self.courier.stop(reason="test", drain_s=5.0)
        self._stop.set()
        self._thread.join()
        self.tap.close()
        self.outbox.close()

    def _connect(self, **options: Any) -> BrokerConnection:
        return BrokerConnection(self._broker, client_id="node", **options)

    def _tap(self) -> None:
        while not self._stop.is_set():
            self.tap.run()


@pytest.fixture
def host(broker: Broker) -> Iterator[Host]:
    made = Host(broker.port)
    yield made
    made.close()


@pytest.fixture
def make_node(tmp_path: Path, broker: Broker) -> Iterator[Callable[..., Node]]:
    with contextlib.ExitStack() as stack:

        def make(settings: SparkplugSettings | None = None, **options: Any) -> Node:
            made = Node(tmp_path, broker, settings or SparkplugSettings(rebirth_min_s=1.5), **options)
            stack.callback(made.close)
            return made

        yield make


def test_every_rule_is_kept_over_rebirth_a_restarted_broker_and_the_stop(
    make_node: Callable[..., Node], host: Host, broker: Broker
) -> None:
    node = make_node()
    node.measure(40.0, 1)
    node.courier.start()
    wait_until(lambda: len(node.of("NBIRTH")) == 2, "the device of the pipeline is born too")
    node.recorder.event("agent.started")
    node.measure(41.0, 1)
    wait_until(lambda: len(node.of("NDATA")) >= 3, "live data")
    host.ask_rebirth()
    wait_until(lambda: len(node.of("NBIRTH")) == 3, "a rebirth at once")
    host.ask_rebirth()
    host.ask_rebirth()
    wait_until(lambda: len(node.of("NBIRTH")) == 4, "one rebirth for both, later")
    node.measure(42.0, 2)
    wait_until(lambda: len(node.of("DDATA")) >= 2, "data after the rebirth")
    broker.stop()
    node.measure(43.0, 2)
    broker.start()
    wait_until(lambda: len(node.of("NBIRTH")) == 5, "born again")
    node.measure(44.0, 2)
    wait_until(lambda: values(node, "NDATA")[-1:] == [(44.0, False)], "live data after the restart")
    assert (43.0, True) in values(node, "NDATA"), "what was measured in between is history"
    assert node.outbox.state().records > 0, "nobody has acknowledged anything yet"
    node.courier.stop(reason="test", drain_s=5.0)
    wait_until(
        lambda: any(isinstance(one, Disconnected) and one.deliberate for one in node.seen), "a goodbye"
    )
    assert node.outbox.state().records == 0, "the acknowledged death vouches for all before it"
    judged = node.verdicts()
    assert {rule: outcome for rule, outcome in judged.items() if outcome is not Outcome.PASS} == {
        "primary-host-awaited": Outcome.NOT_SEEN,
        "primary-host-offline-leaves": Outcome.NOT_SEEN,
    }


def values(node: Node, kind: str) -> list[tuple[Any, bool]]:
    """(value, is it history) of what a data message said, without events."""
    payloads = [decode_payload(one.payload) for one in node.of(kind)]
    metrics = [metric for payload in payloads for metric in payload.metrics]
    return [(metric.value, metric.is_historical) for metric in metrics if not isinstance(metric.value, str)]


def test_a_primary_host_is_awaited_and_its_leaving_loses_nothing(
    make_node: Callable[..., Node], host: Host
) -> None:
    node = make_node(SparkplugSettings(primary_host=HOST_ID))
    node.courier.start()
    wait_until(lambda: len(node.seen) >= 3, "it subscribed")
    host.state(online=False)
    time.sleep(0.5)
    assert node.of("NBIRTH") == []
    host.state(online=True)
    wait_until(lambda: node.of("NBIRTH"), "born")
    node.measure(40.0, 1)
    wait_until(lambda: node.of("DDATA"), "data")
    host.state(online=False, timestamp_ms=1)
    node.measure(41.0, 1)
    wait_until(lambda: (41.0, False) in values(node, "NDATA"), "an offline of an old session is nothing")
    host.state(online=False)
    wait_until(lambda: node.of("NDEATH"), "it leaves")
    node.measure(42.0, 1)
    assert node.outbox.state().records == 3, "what the host may not have heard is kept"
    births = len(node.of("NBIRTH"))
    host.state(online=True)
    wait_until(lambda: len(node.of("NBIRTH")) > births, "it comes back")
    wait_until(lambda: (42.0, True) in values(node, "NDATA"), "history")
    assert {(40.0, True), (41.0, True)} <= set(values(node, "NDATA"))
    node.courier.stop(reason="test", drain_s=5.0)
    judged = node.verdicts(HOST_ID)
    assert Outcome.FAIL not in judged.values()
    assert judged["primary-host-awaited"] is judged["primary-host-offline-leaves"] is Outcome.PASS


def test_nothing_is_lost_to_the_primary_host_over_killed_brokers(
    make_node: Callable[..., Node], host: Host, broker: Broker
) -> None:
    """QoS 0 acknowledges nothing, and a killed broker takes along what it had not passed on yet."""
    host.states_itself = True
    host.state(online=True)
    node = make_node(SparkplugSettings(primary_host=HOST_ID))
    node.courier.start()
    count = 0
    for _ in range(3):
        born = len(host.of("NBIRTH"))
        wait_until(lambda born=born: node.of("NBIRTH") and len(host.of("NBIRTH")) >= max(born, 1), "born")
        for _ in range(150):
            count += 1
            node.recorder.telemetry({"model.inferences": count})
            time.sleep(0.002)
        node.outbox.commit()
        wait_until(lambda wanted=count - 40: highest(host) >= wanted, "most of it is heard")
        assert broker.process
        broker.process.send_signal(signal.SIGSTOP)
        count += 1
        node.recorder.telemetry({"model.inferences": count})
        node.outbox.commit()
        wait_until(lambda wanted=count: (wanted, False) in values(node, "NDATA"), "sent, and no further")
        broker.process.kill()
        broker.stop()
        count += 1
        node.recorder.telemetry({"model.inferences": count})
        node.outbox.commit()
        broker.start()
    wait_until(lambda: inferences(host) >= set(range(1, count + 1)), "every record is heard")
    node.courier.stop(reason="test", drain_s=5.0)
    assert node.outbox.state().records == 0
    assert Outcome.FAIL not in node.verdicts(HOST_ID).values()


def inferences(host: Host) -> set[int]:
    """The distinct values of the one metric that this test counts with."""
    births = [decode_payload(payload).find("model.inferences") for payload in host.of("NBIRTH")]
    aliases = {metric.alias for metric in births if metric is not None}
    metrics = [metric for payload in host.of("NDATA") for metric in decode_payload(payload).metrics]
    return {int(metric.value or 0) for metric in metrics if metric.alias in aliases}


def highest(host: Host) -> int:
    return max(inferences(host), default=0)


def test_what_a_dead_process_had_sent_is_sent_again_as_history(
    make_node: Callable[..., Node], broker: Broker
) -> None:
    first = make_node()
    first.courier.start()
    wait_until(lambda: first.of("NBIRTH"), "born")
    first.measure(41.0, 1)
    wait_until(lambda: (41.0, False) in values(first, "NDATA"), "sent")
    broker.stop()
    first.courier.stop(reason="test", drain_s=0.0)
    first.outbox.close()
    broker.start()
    second = make_node(boot="c")
    second.courier.start()
    wait_until(lambda: (41.0, True) in values(second, "NDATA"), "history")
    will = next(one.will for one in second.seen if isinstance(one, Connected))
    assert will is not None
    assert decode_payload(will.payload).find("bdSeq").value > 0  # type: ignore[union-attr,operator]


def test_a_hosts_library_reads_births_and_data(make_node: Callable[..., Node], host: Host) -> None:
    node = make_node(boot="0123456789abcdef")
    node.courier.start()
    wait_until(lambda: host.of("NBIRTH"), "born")
    node.measure(61.5, 3)
    node.recorder.event("input.failed", "x.jpg: not a picture", data={"input": "x.jpg"})
    node.outbox.commit()
    wait_until(lambda: host.of("DDATA") and len(host.of("NDATA")) >= 2, "data")
    node.courier.stop(reason="test", drain_s=5.0)
    wait_until(lambda: host.of("NDEATH"), "death")

    births: dict[str, Any] = {}
    read: dict[str, Any] = {}
    for topic, payload in host.heard:
        kind, place = topic.split("/")[2], topic.split("/", 3)[3]
        if kind in ("NBIRTH", "DBIRTH"):
            make = pysparkplug.NBirth if kind == "NBIRTH" else pysparkplug.DBirth
            births[place] = make.decode(payload)
        elif kind in ("NDATA", "DDATA"):
            make = pysparkplug.NData if kind == "NDATA" else pysparkplug.DData
            data = make.decode(payload, birth=births[place])
            read |= {f"{place}/{metric.name}": metric.value for metric in data.metrics}
    born = {metric.name: metric for metric in births[NODE].metrics}
    assert born["meta/board"].value == "Pi"
    assert born["meta/versions/python"].value == "3"
    assert born["board.throttled_now"].is_null
    assert read[f"{NODE}/board.temperature_c"] == 61.5
    assert read[f"{NODE}/front/model.errors"] == 3
    event = json.loads(read[f"{NODE}/event"])
    assert (event["name"], event["message"]) == ("input.failed", "x.jpg: not a picture")
    assert event["boot"] == "0123456789abcdef"
    assert event["seq"] == 2
    death = pysparkplug.NDeath.decode(host.of("NDEATH")[-1])
    bd_seq = death.bd_seq_metric
    assert (bd_seq.name, bd_seq.value) == ("bdSeq", born["bdSeq"].value)


def test_the_check_command_judges_a_running_agent_through_a_tap(
    broker: Broker,
    host: Host,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
) -> None:
    port = unused_port()
    command = [EDGEWISE, "agent", "sparkplug-check", "--broker", broker.url, "--group", GROUP, "--node", NODE]
    command += ["--tap", str(port), "--for", "120", "--rebirth", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as check:
        assert check.stdout and check.stderr
        assert "listening" in check.stderr.readline()
        config = write_config(
            f"mqtt://127.0.0.1:{port}", report={"profile": "sparkplug"}, sparkplug={"rebirth_min_s": 1.0}
        )
        agent = start_agent(config)
        wait_until(lambda: len(host.of("NBIRTH")) >= 2, "the rebirth that the check asked for")
        before = len(host.of("NDATA"))
        wait_until(lambda: len(host.of("NDATA")) > before + 1, "data after it")
        assert agent.end() == 0
        wait_until(lambda: host.of("NDEATH"), "its death")
        check.send_signal(signal.SIGINT)
        said, _ = check.communicate(timeout=60)
        assert check.returncode == 0, said
    judged = {one["rule"]: one["outcome"] for one in json.loads(said)["rules"]}
    unseen = {rule for rule, outcome in judged.items() if outcome != "pass"}
    # One connection, no pipelines and no primary host.
    assert unseen == {
        "bd-seq-advances", "dbirths-before-ddata", "primary-host-awaited", "primary-host-offline-leaves",
    }  # fmt: skip


def test_the_check_command_as_a_subscriber_fails_a_node_that_breaks_a_rule(broker: Broker) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bad")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    command = [EDGEWISE, "agent", "sparkplug-check", "--broker", broker.url, "--group", "g", "--node", "bad"]
    with subprocess.Popen([*command, "--for", "3"], stdout=subprocess.PIPE, text=True) as check:
        while check.poll() is None:
            payload = encode_payload(Payload((), timestamp_ms=time.time_ns() // 1_000_000, seq=7))
            client.publish("spBv1.0/g/NBIRTH/bad", payload)
            time.sleep(0.2)
        assert check.stdout
        said = check.stdout.read()
    client.disconnect()
    client.loop_stop()
    assert check.returncode == 1
    assert "nbirth-seq-0: NBIRTH with seq 7" in said
    assert "clean-session" in said
