"""A stream that keeps every Sparkplug rule, and ways to break it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgewise_agent.wire.message import Message
from edgewise_agent.wire.sparkplug.payload import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)
from edgewise_agent.wire.sparkplug.trace import Connected, Disconnected, Published, Seen, Subscribed

GROUP, NODE, HOST, DEVICE = "g", "n", "scada", "front"
T_MS = 1_800_000_000_000
TEMPERATURE, EVENT, UNUSED, ERRORS = 1, 2, 3, 4
"""Aliases."""


def topic(kind: str, device: str = "") -> str:
    levels = ["spBv1.0", GROUP, kind, NODE]
    return "/".join([*levels, device] if device else levels)


def bd_seq(number: int) -> Metric:
    return Metric(name="bdSeq", timestamp_ms=T_MS, datatype=DataType.INT64, value=number)


def death(number: int) -> Payload:
    return Payload((bd_seq(number),), timestamp_ms=T_MS)


def born(name: str, alias: int, datatype: DataType, value: Any = None) -> Metric:
    return Metric(
        name=name, alias=alias, timestamp_ms=T_MS, datatype=datatype, value=value, is_null=value is None
    )


def value(alias: int, what: Any, at_ms: int, *, historical: bool = False) -> Metric:
    return Metric(alias=alias, timestamp_ms=T_MS + at_ms, value=what, is_historical=historical)


class Stream:
    """Makes what is seen of one node, numbering its messages."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.at_s = 0.0
        self._seq = 0

    def connect(self, number: int) -> None:
        will = Message(topic("NDEATH"), encode_payload(death(number)))
        self.seen += [
            Connected(True, will),
            Subscribed(topic("NCMD"), 1),
            Subscribed(f"spBv1.0/STATE/{HOST}", 1),
        ]

    def publish(self, where: str, payload: bytes, qos: int = 0) -> None:
        self.seen.append(Published(where, payload, self.at_s, T_MS + 10_000, qos, retain=False))

    def host(self, online: bool, at_ms: int) -> None:
        state = json.dumps({"online": online, "timestamp": T_MS + at_ms})
        self.publish(f"spBv1.0/STATE/{HOST}", state.encode(), qos=1)

    def say(self, kind: str, *metrics: Metric, device: str = "") -> None:
        self._seq = 0 if kind == "NBIRTH" else self._seq + 1
        payload = Payload(metrics, timestamp_ms=T_MS, seq=self._seq)
        self.publish(topic(kind, device), encode_payload(payload))

    def births(self, number: int, temperature: float | None, errors: int | None) -> None:
        rebirth = Metric(
            name="Node Control/Rebirth", timestamp_ms=T_MS, datatype=DataType.BOOLEAN, value=False
        )
        self.say(
            "NBIRTH",
            bd_seq(number),
            rebirth,
            born("board.temperature_c", TEMPERATURE, DataType.DOUBLE, temperature),
            born("event", EVENT, DataType.STRING),
            born("unused", UNUSED, DataType.DOUBLE),
        )
        self.say("DBIRTH", born("model.errors", ERRORS, DataType.INT64, errors), device=DEVICE)

    def ask_rebirth(self) -> None:
        rebirth = Metric(name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=True)
        self.publish(topic("NCMD"), encode_payload(Payload((rebirth,), timestamp_ms=T_MS)))

    def die(self, number: int) -> None:
        self.publish(topic("NDEATH"), encode_payload(death(number)), qos=1)
        self.seen.append(Disconnected(deliberate=True))


def good_stream() -> list[Seen]:
    """Two connections: history, data, a rebirth, a primary host that leaves; every rule is judged on it."""
    stream = Stream()
    stream.connect(7)
    stream.host(True, 0)
    stream.births(7, None, None)
    stream.say("NDATA", value(TEMPERATURE, 40.0, -5000, historical=True))
    stream.say("NDATA", value(TEMPERATURE, 61.5, 100))
    stream.say("DDATA", value(ERRORS, 3, 100), device=DEVICE)
    stream.say("NDATA", value(EVENT, "x", 110))
    stream.say("NDATA", value(EVENT, "x", 120))
    stream.at_s = 10.0
    stream.ask_rebirth()
    stream.at_s = 10.1
    stream.ask_rebirth()
    stream.at_s = 10.2
    stream.births(7, 61.5, 3)
    stream.at_s = 20.0
    stream.say("NDATA", value(TEMPERATURE, 62.0, 200))
    stream.host(False, 300)
    stream.die(7)
    stream.connect(8)
    stream.host(True, 400)
    stream.births(8, 62.0, 3)
    stream.say("NDATA", value(TEMPERATURE, 63.0, 500))
    stream.say("DDATA", value(ERRORS, 4, 500), device=DEVICE)
    stream.say("NDATA", value(TEMPERATURE, 64.0, 600))
    stream.die(8)
    return stream.seen


def places(seen: list[Seen], kind: str) -> list[int]:
    """Where the publishes of this kind stand."""
    return [at for at, one in enumerate(seen) if isinstance(one, Published) and one.kind == kind]


def edit(
    seen: list[Seen], at: int, change: Callable[[Payload], Payload] | None = None, **fields: Any
) -> None:
    """Change the publish at this place: its payload, or fields of it."""
    publish = seen[at]
    assert isinstance(publish, Published)
    if change is not None:
        fields["payload"] = encode_payload(change(decode_payload(publish.payload)))
    seen[at] = replace(publish, **fields)


def edit_metric(seen: list[Seen], at: int, place: int, **fields: Any) -> None:
    """Change one metric of the publish at this place."""

    def change(payload: Payload) -> Payload:
        metrics = list(payload.metrics)
        metrics[place] = replace(metrics[place], **fields)
        return replace(payload, metrics=tuple(metrics))

    edit(seen, at, change)


def add_metric(seen: list[Seen], at: int, metric: Metric) -> None:
    """One more metric in the publish at this place."""
    edit(seen, at, lambda payload: replace(payload, metrics=(*payload.metrics, metric)))
