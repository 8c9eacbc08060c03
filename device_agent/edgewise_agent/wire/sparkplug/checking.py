"""Watches an edge node for a while and judges it by every rule: `edgewise agent sparkplug-check`."""

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.message import AT_MOST_ONCE, Message
from edgewise_agent.wire.sparkplug.findings import Verdict
from edgewise_agent.wire.sparkplug.payload import DataType, Metric, Payload, encode_payload
from edgewise_agent.wire.sparkplug.primary_host import state_topic
from edgewise_agent.wire.sparkplug.rules import judge_all
from edgewise_agent.wire.sparkplug.tap import Tap
from edgewise_agent.wire.sparkplug.trace import NAMESPACE, Published, Seen, read_trace

_TURN_S = 0.1
_ASK_AFTER_S = 2.0
"""Births are asked for so long after the first one seen, so that there is data before and after."""


@dataclass(frozen=True)
class Watch:
    """Which node, and for how long."""

    group: str
    node: str
    host: str
    seconds: float
    asks_rebirth: bool = False


def check_node(broker: BrokerSettings, watch: Watch) -> tuple[Verdict, ...]:
    """As a subscriber: what only the node's own packets show is `not seen`. Raises BrokerError."""
    seen: list[Seen] = []
    with closing(_connection(broker, seen)) as connection:
        connection.connect()
        for topic in _topics(watch):
            connection.subscribe(topic)
        _run(lambda: connection.run(_TURN_S), watch, seen, lambda: _ask(connection, watch))
    return _judged(seen, watch)


def check_through_tap(
    broker: BrokerSettings, watch: Watch, *, host: str, port: int, on_listening: Callable[[int], None]
) -> tuple[Verdict, ...]:
    """Between node and broker; the node must connect to the tap. Raises BrokerError."""
    seen: list[Seen] = []
    with (
        closing(Tap(broker.url[0], host=host, port=port, see=seen.append)) as tap,
        closing(_connection(broker, [])) as connection,
    ):
        connection.connect()
        on_listening(tap.port)

        def turn() -> None:
            tap.run()
            connection.run(0.0)

        _run(turn, watch, seen, lambda: _ask(connection, watch))
    return _judged(seen, watch)


def _judged(seen: list[Seen], watch: Watch) -> tuple[Verdict, ...]:
    return judge_all(read_trace(seen, group=watch.group, node=watch.node, host=watch.host))


def _run(turn: Callable[[], None], watch: Watch, seen: list[Seen], ask: Callable[[], None]) -> None:
    """For the time of the watch, or until Ctrl-C, which ends it early."""
    end_s = time.monotonic() + watch.seconds
    wants_to_ask = watch.asks_rebirth
    with suppress(KeyboardInterrupt):
        while time.monotonic() < end_s:
            if wants_to_ask and _was_born(seen, time.monotonic() - _ASK_AFTER_S):
                wants_to_ask = False
                ask()
            turn()


def _was_born(seen: list[Seen], before_s: float) -> bool:
    return any(isinstance(one, Published) and one.kind == "NBIRTH" and one.at_s < before_s for one in seen)


def _ask(connection: BrokerConnection, watch: Watch) -> None:
    """Twice, as a rate limit shows only then."""
    rebirth = Metric(name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=True)
    payload = encode_payload(Payload((rebirth,), timestamp_ms=time.time_ns() // 1_000_000))
    for _ in range(2):
        topic = f"{NAMESPACE}/{watch.group}/NCMD/{watch.node}"
        connection.publish(Message(topic, payload, qos=AT_MOST_ONCE))


def _topics(watch: Watch) -> list[str]:
    own = f"{NAMESPACE}/{watch.group}/+/{watch.node}"
    return [own, f"{own}/+", *([state_topic(watch.host)] if watch.host else [])]


def _connection(broker: BrokerSettings, seen: list[Seen]) -> BrokerConnection:
    def hear(message: Message) -> None:
        now_ms = time.time_ns() // 1_000_000
        seen.append(Published(message.topic, message.payload, time.monotonic(), now_ms))

    return BrokerConnection(broker, client_id=f"edgewise-sparkplug-check:{os.getpid()}", on_message=hear)
