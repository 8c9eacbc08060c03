"""Connections to real brokers: both versions of MQTT, several brokers, and what they refuse."""

import contextlib
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS, Broker
from fleet.real_parts import unused_port, wait_until

from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.connector import Callbacks, ChosenConnection, Connector, Pace
from edgewise_agent.connection.courier import Courier
from edgewise_agent.connection.deliveries import Refusal
from edgewise_agent.errors import BrokerError, MessageUnsendable
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_messages import Channel, Event, Meta, encode_record

WILL = Message("will", b"")


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Starts a mosquitto with more lines in its configuration."""
    started: list[Broker] = []

    def start(*more: str) -> Broker:
        folder = tmp_path / f"mosquitto-{len(started)}"
        folder.mkdir()
        started.append(Broker(folder))
        started[-1].start(*more)
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


def connector_to(*urls: str, protocol: str = "auto", pace: Pace | None = None) -> Connector:
    settings = BrokerSettings(
        url=tuple(map(BrokerUrl, urls)),
        protocol=protocol,  # type: ignore[arg-type]
    )
    return Connector(settings, client_id="test", pace=pace)


class Answers:
    """What a connection calls back."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.refused: list[tuple[int, Refusal]] = []

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.acknowledged.append, lambda *answer: self.refused.append(answer))

    def count(self) -> int:
        return len(self.acknowledged) + len(self.refused)


def run_until(connection: BrokerConnection, holds: Callable[[], bool], what: str) -> None:
    wait_until(lambda: connection.run(0.05) or holds(), what)


# Versions of MQTT


@pytest.mark.parametrize(("protocol", "said"), [("auto", "p5"), ("5", "p5"), ("3.1.1", "p2")])
def test_the_version_of_mqtt_is_that_of_the_settings_and_5_by_default(
    start_broker: Callable[..., Broker], protocol: str, said: str
) -> None:
    broker = start_broker()
    answers = Answers()
    connection = connector_to(broker.url, protocol=protocol).open(None, answers.callbacks)
    number = connection.publish(Message("a", b"x"))
    run_until(connection, lambda: answers.acknowledged == [number], "it is acknowledged")
    connection.close()
    assert f"as test ({said}," in (broker.folder / "mosquitto.log").read_text()


def old_broker(server: socket.socket, levels: list[int]) -> None:
    """Knows MQTT 3.1.1 alone: answers as its specification says (3.1.2.2), and nothing after that."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            level = connection.recv(1000)[8]
            levels.append(level)
            connection.sendall(b"\x20\x02\x00" + (b"\x00" if level == 4 else b"\x01"))
            if level == 4:
                connection.recv(1000)


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1_and_that_is_remembered() -> None:
    levels: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=old_broker, args=(server, levels))
        thread.start()
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        connector = connector_to(url)
        for _ in range(2):
            connector.open(None, Callbacks()).close()
        assert levels == [5, 4, 4]
        with pytest.raises(BrokerError, match="does not speak this version of MQTT"):
            connector_to(url, protocol="5").open(None, Callbacks())
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_with_mqtt_5_what_is_not_authorised_is_kept_and_the_rest_goes_on(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    """This mosquitto answers "Not authorized" and then ends the connection; later ones only answer."""
    rules = tmp_path / "acl"
    open_topics = [ADDRESS.topic(channel) for channel in (Channel.TELEMETRY, Channel.STATUS, Channel.META)]
    rules.write_text("".join(f"topic readwrite {topic}\n" for topic in [*open_topics, "test"]))
    broker = start_broker(f"acl_file {rules}")
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=2**24)
    for channel in (Channel.EVENT, Channel.TELEMETRY) * 30:
        outbox.append(
            channel, lambda seq: encode_record(Event(ts_ms=1, mono_ns=1, boot="b", seq=seq, name="n"))
        )
    assert outbox.commit()
    with courier_of(outbox, connector_to(broker.url)):
        wait_until(lambda: outbox.commit() and outbox.state().records == 30, "all telemetry is sent")
    assert outbox.state().quarantined == 0
    outbox.release()
    assert {batch.channel for batch in outbox.lease()} == {"event"}
    outbox.close()


@contextlib.contextmanager
def courier_of(outbox: Outbox, connector: Connector) -> Iterator[None]:
    courier = Courier(
        outbox,
        connector,
        JsonProfile(
            ADDRESS,
            boot="b",
            meta=lambda: Meta(ts_ms=1, boot="b"),
            now_ms=lambda: 1,
            responses=queue.SimpleQueue(),
            on_command=lambda payload, retained: None,
        ),
        Backoff("x", longest_s=0.1),
    )
    courier.start()
    yield
    courier.stop(reason="test", drain_s=1.0)


def test_no_more_is_under_way_than_the_broker_takes_at_once(start_broker: Callable[..., Broker]) -> None:
    """A broker ends the connection of who exceeds its receive maximum (MQTT 5, 3.3.4)."""
    broker = start_broker("max_inflight_messages 2")
    answers = Answers()
    connection = connector_to(broker.url).open(None, answers.callbacks)
    numbers = [connection.publish(Message("a", b"x")) for _ in range(20)]
    assert len(connection._numbers) == 2
    run_until(connection, lambda: len(answers.acknowledged) == 20, "all are acknowledged")
    assert answers.acknowledged == numbers
    connection.close()


def test_what_is_larger_than_the_broker_takes_is_not_sent(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("max_packet_size 2000")
    answers = Answers()
    connection = connector_to(broker.url).open(None, answers.callbacks)
    with pytest.raises(MessageUnsendable, match="the broker takes at most 2000"):
        connection.publish(Message("a", b"x" * 2000))
    connection.publish(Message("a", b"x" * 1900))
    run_until(connection, lambda: len(answers.acknowledged) == 1, "the smaller one is taken")
    connection.close()


# A poison record, from the outbox to the broker


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_record_that_the_broker_never_takes_blocks_nothing(
    start_broker: Callable[..., Broker], tmp_path: Path, protocol: str
) -> None:
    """In 3.1.1 this mosquitto ends the connection each time; in 5 it says its limit beforehand."""
    broker = start_broker("max_packet_size 20000")
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=2**24)
    for number in range(60):
        size = 22 if number == 30 else 0
        outbox.append(
            "event",
            lambda seq, size=size: encode_record(
                Event(
                    ts_ms=1,
                    mono_ns=1,
                    boot="b",
                    seq=seq,
                    name="n",
                    data={f"d{n}": "x" * 1000 for n in range(size)},
                )
            ),
        )
    assert outbox.commit()
    with courier_of(outbox, connector_to(broker.url, protocol=protocol)):
        wait_until(lambda: outbox.commit() and outbox.state().records == 0, "everything is sent or put aside")
    assert outbox.state().quarantined == 1
    (notice,) = outbox.take_notices()
    assert notice.message.startswith("record 31 (event, 2")
    outbox.close()


# Several brokers


class SlowProxy:
    """Passes bytes on to a broker, each way after a delay that can be changed."""

    def __init__(self, port: int, delay_s: float) -> None:
        self.delay_s = delay_s
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", self._port)) as broker:
                while True:
                    for source in select.select([client, broker], [], [])[0]:
                        data = source.recv(4096)
                        if not data:
                            return
                        time.sleep(self.delay_s)
                        (broker if source is client else client).sendall(data)
        except OSError:
            return


@pytest.fixture
def slow(start_broker: Callable[..., Broker]) -> Iterator[SlowProxy]:
    proxy = SlowProxy(start_broker().port, 0.15)
    yield proxy
    proxy.close()


def url_of(connection: ChosenConnection) -> str:
    return str(connection._opened._url)


def connect(connector: Connector) -> ChosenConnection:
    made = connector(
        will=WILL, on_acknowledged=lambda _: None, on_refused=lambda *_: None, on_message=lambda _: None
    )
    made.connect()
    return made


def test_the_nearest_of_several_brokers_is_used_and_the_next_when_it_is_gone(
    start_broker: Callable[..., Broker], slow: SlowProxy
) -> None:
    near = start_broker()
    nobody = f"mqtt://127.0.0.1:{unused_port()}"
    connector = connector_to(nobody, slow.url, near.url)
    first = connect(connector)
    assert url_of(first) == near.url
    near.stop()
    with pytest.raises(BrokerError):
        wait_until(lambda: first.run(0.05), "the loss is noticed")
    first.close()
    second = connect(connector)
    assert url_of(second) == slow.url
    second.close()


def test_a_connection_moves_to_a_broker_that_stays_clearly_nearer_and_not_back_and_forth(
    start_broker: Callable[..., Broker], slow: SlowProxy
) -> None:
    near = start_broker()
    slow.delay_s = 0.0
    connector = connector_to(slow.url, near.url, pace=Pace(look_every_s=0.0, renew_within_s=0.0))
    connector._choice.leave_for(BrokerUrl(slow.url))
    connection = connect(connector)
    assert url_of(connection) == slow.url, "as near as the other one"
    slow.delay_s = 0.15

    def measured_nearer() -> str:
        connector._measure()
        return connector.outdated()

    assert wait_until(measured_nearer, "it is seen to be nearer") == f"{near.url} is nearer"
    connection.close()
    moved = connect(connector)
    assert url_of(moved) == near.url
    assert [measured_nearer() for _ in range(4)] == [""] * 4
    moved.close()
