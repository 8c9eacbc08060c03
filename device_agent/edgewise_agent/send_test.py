"""One test event over the real way: outbox, connection, the broker's acknowledgement."""

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.clock import SystemClock
from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.errors import BrokerError, StateInUse
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_agent.settings.config import Settings
from edgewise_agent.state_folder import OUTBOX_NAME, StateFolder
from edgewise_agent.wire.message import Message
from edgewise_messages import DeviceAddress, join_encoded
from edgewise_messages.topics import Channel

TEST_EVENT = "agent.test"
_TURN_S = 0.05
_SMALL_OUTBOX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """How the test went."""

    broker: str
    topic: str
    boot: str
    seq: int
    connect_ms: float
    round_trip_ms: float
    """From the publish to the broker's acknowledgement."""
    agent_is_running: bool
    also_sent: int
    """Records that had been waiting in the outbox and were sent with it."""


def send_test(settings: Settings, *, timeout_s: float = 30.0) -> Sent:
    """Raises BrokerError when the broker cannot be reached, refuses, or does not acknowledge in time.

    While an agent runs, its outbox is its own: the event goes through another one, in a temporary folder; so it does
    where the device reports by Sparkplug, which this event does not. It connects under a client id of its own, so the
    agent is not thrown out, and leaves the retained status alone.
    """
    with contextlib.ExitStack() as stack:
        try:
            outbox_path, is_running = (
                stack.enter_context(StateFolder(settings.device.state_dir)).outbox,
                False,
            )
        except StateInUse:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgewise-test-"))
            outbox_path, is_running = Path(folder) / OUTBOX_NAME, True
        if settings.report.profile != "json":  # what waits there is to go another way
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgewise-test-"))
            outbox_path = Path(folder) / OUTBOX_NAME
        max_bytes = _SMALL_OUTBOX_BYTES if is_running else settings.outbox.max_mb * 1024 * 1024
        outbox = Outbox(outbox_path, max_bytes=max_bytes)
        stack.callback(outbox.close)
        return _send(settings, outbox, agent_is_running=is_running, give_up_s=time.monotonic() + timeout_s)


def _send(settings: Settings, outbox: Outbox, *, agent_is_running: bool, give_up_s: float) -> Sent:
    address, boot = DeviceAddress(settings.device.group, settings.device.id), secrets.token_hex(8)
    seq = Recorder(outbox, SystemClock(), boot=boot).event(
        TEST_EVENT, "sent by edgewise agent send-test", durable=True
    )
    acknowledged: set[int] = set()
    began_s = time.monotonic()
    with _connected(settings, acknowledged) as connection:
        connect_ms = (time.monotonic() - began_s) * 1000
        also_sent, round_trip_ms = -1, 0.0
        while time.monotonic() < give_up_s:
            for batch in outbox.lease(hurry=True):
                sent_s = time.monotonic()
                topic = address.topic(Channel(batch.channel))
                number = connection.publish(Message(topic, join_encoded(list(batch.bodies))))
                _wait_for(number, acknowledged, connection, settings, give_up_s)
                outbox.settle(batch)
                also_sent += len(batch.sequences)
                if seq in batch.sequences:
                    round_trip_ms = (time.monotonic() - sent_s) * 1000
            if not outbox.has_more and round_trip_ms:
                return Sent(
                    broker=str(connection.url),
                    topic=address.topic(Channel.EVENT),
                    boot=boot,
                    seq=seq,
                    connect_ms=connect_ms,
                    round_trip_ms=round_trip_ms,
                    agent_is_running=agent_is_running,
                    also_sent=also_sent,
                )
    raise _too_late(settings)


def _wait_for(
    number: int, acknowledged: set[int], connection: BrokerConnection, settings: Settings, give_up_s: float
) -> None:
    while number not in acknowledged:
        if time.monotonic() > give_up_s:
            raise _too_late(settings)
        connection.run(_TURN_S)


def _too_late(settings: Settings) -> BrokerError:
    names = ", ".join(settings.broker.url)
    return BrokerError(
        f"broker {names}: connected, but it did not acknowledge in time; may this user publish?"
    )


@contextlib.contextmanager
def _connected(settings: Settings, acknowledged: set[int]) -> Iterator[BrokerConnection]:
    """To the first of the brokers that answers."""
    *others, last = settings.broker.url
    for url in others:
        connection = _connection(settings, url, acknowledged)
        try:
            connection.connect()
            break
        except BrokerError:
            connection.close()
    else:
        connection = _connection(settings, last, acknowledged)
        connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def _connection(settings: Settings, url: BrokerUrl, acknowledged: set[int]) -> BrokerConnection:
    return BrokerConnection(
        settings.broker,
        client_id=f"edgewise-test:{os.getpid()}:{secrets.token_hex(4)}",
        on_acknowledged=acknowledged.add,
        url=url,
    )
