"""Each rule of the checker: kept by a good stream, and broken alone by one that breaks it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from device_agent.sparkplug_parts import (
    DEVICE,
    ERRORS,
    GROUP,
    HOST,
    NODE,
    T_MS,
    TEMPERATURE,
    UNUSED,
    Stream,
    add_metric,
    bd_seq,
    born,
    death,
    edit,
    edit_metric,
    good_stream,
    places,
    topic,
    value,
)

from edgewise_agent.wire.message import Message
from edgewise_agent.wire.sparkplug.findings import Outcome
from edgewise_agent.wire.sparkplug.payload import DataType, Payload, encode_payload
from edgewise_agent.wire.sparkplug.rules import RULES, judge_all
from edgewise_agent.wire.sparkplug.trace import (
    Connected,
    Disconnected,
    Published,
    Seen,
    Subscribed,
    read_trace,
)

Break = Callable[[list[Seen]], None]


def verdicts(seen: list[Seen]) -> dict[str, Outcome]:
    judged = judge_all(read_trace(seen, group=GROUP, node=NODE, host=HOST))
    return {verdict.rule: verdict.outcome for verdict in judged}


def change_connect(number: int, **fields: object) -> Break:
    def change(seen: list[Seen]) -> None:
        at = [place for place, one in enumerate(seen) if isinstance(one, Connected)][number]
        seen[at] = replace(seen[at], **fields)  # type: ignore[type-var]  # keywords by name, checked when called

    return change


def change_metric(kind: str, number: int, place: int, **fields: object) -> Break:
    return lambda seen: edit_metric(seen, places(seen, kind)[number], place, **fields)


def change_publish(kind: str, number: int, **fields: object) -> Break:
    return lambda seen: edit(seen, places(seen, kind)[number], **fields)


def add_to(kind: str, number: int, metric: object) -> Break:
    return lambda seen: add_metric(seen, places(seen, kind)[number], metric)  # type: ignore[arg-type]  # mypy types no lambda with a default


def garbage(seen: list[Seen]) -> None:
    seen.append(Published(topic("NDATA"), b"\xff\xff", 30.0, T_MS, 0, retain=False))


def seq_in_the_death(seen: list[Seen]) -> None:
    edit(seen, places(seen, "NDEATH")[0], lambda payload: replace(payload, seq=3))


def leap_of_bd_seq(seen: list[Seen]) -> None:
    change_connect(1, will=Message(topic("NDEATH"), encode_payload(death(9))))(seen)
    edit_metric(seen, places(seen, "NBIRTH")[-1], 0, value=9)
    edit_metric(seen, places(seen, "NDEATH")[-1], 0, value=9)


def ncmd_at_qos_0(seen: list[Seen]) -> None:
    seen[seen.index(Subscribed(topic("NCMD"), 1))] = Subscribed(topic("NCMD"), 0)


def data_before_birth(seen: list[Seen]) -> None:
    payload = Payload((value(TEMPERATURE, 1.0, -9000, historical=True),), timestamp_ms=T_MS, seq=0)
    early = Published(topic("NDATA"), encode_payload(payload), 20.0, T_MS, 0, retain=False)
    seen.insert(places(seen, "NBIRTH")[-1], early)


def seq_begins_at_5(seen: list[Seen]) -> None:
    for at in range(places(seen, "NBIRTH")[-1], len(seen) - 2):
        edit(seen, at, lambda payload: replace(payload, seq=(payload.seq or 0) + 5))


def seq_skips(seen: list[Seen]) -> None:
    edit(seen, places(seen, "NDATA")[-1], lambda payload: replace(payload, seq=(payload.seq or 0) + 1))


def timestamp_in_seconds(seen: list[Seen]) -> None:
    edit(seen, places(seen, "NDATA")[1], lambda payload: replace(payload, timestamp_ms=T_MS // 1000))


def rename_the_device(seen: list[Seen]) -> None:
    for kind in ("DBIRTH", "DDATA"):
        for at in places(seen, kind):
            edit(seen, at, topic=topic(kind, "fr#nt"))


def no_answer_to_rebirth(seen: list[Seen]) -> None:
    at = places(seen, "NBIRTH")[1]
    del seen[at : at + 2]
    edit(seen, at, lambda payload: replace(payload, seq=7))


def births_twice(seen: list[Seen]) -> None:
    at = places(seen, "NBIRTH")[1]
    seen[at:at] = seen[at : at + 2]


def silent_disconnect(seen: list[Seen]) -> None:
    del seen[places(seen, "NDEATH")[-1]]


def birth_before_the_host(seen: list[Seen]) -> None:
    at = places(seen, "NBIRTH")[-1]
    seen[at - 1], seen[at] = seen[at], seen[at - 1]


def stays_without_host(seen: list[Seen]) -> None:
    at = places(seen, "NDEATH")[0]
    del seen[at : at + 2]


BROKEN: dict[str, Break] = {
    "payloads-decode": garbage,
    "clean-session": change_connect(0, clean=False),
    "will-is-ndeath": change_connect(0, will=Message("spBv1.0/g/NDEATH/other", encode_payload(death(7)))),
    "will-qos-1": change_connect(0, will=Message(topic("NDEATH"), encode_payload(death(7)), qos=0)),
    "will-not-retained": change_connect(
        0, will=Message(topic("NDEATH"), encode_payload(death(7)), retain=True)
    ),
    "ndeath-bd-seq": change_metric("NDEATH", 0, 0, datatype=DataType.DOUBLE),
    "ndeath-without-seq": seq_in_the_death,
    "bd-seq-advances": leap_of_bd_seq,
    "ncmd-subscribed-first": ncmd_at_qos_0,
    "birth-first": data_before_birth,
    "birth-qos-0": change_publish("NBIRTH", 0, qos=1),
    "birth-not-retained": change_publish("DBIRTH", 0, retain=True),
    "nbirth-seq-0": seq_begins_at_5,
    "timestamps-utc-ms": timestamp_in_seconds,
    "birth-metrics-whole": change_metric("NBIRTH", 0, 4, datatype=None),
    "birth-has-rebirth": change_metric("NBIRTH", 0, 1, value=True),
    "birth-has-bd-seq": change_metric("NBIRTH", 0, 0, datatype=DataType.STRING),
    "dbirths-before-ddata": change_publish("DDATA", 0, topic=topic("DDATA", "other")),
    "every-metric-born": add_to("NDATA", 1, value(99, 1.0, 100)),
    "seq-continuous": seq_skips,
    "data-qos-0": change_publish("NDATA", 1, qos=1),
    "data-has-values": change_metric("NDATA", 1, 0, value=None),
    "data-chronological": change_metric("NDATA", -1, 0, timestamp_ms=T_MS + 450),
    "history-flagged": change_metric("NDATA", 0, 0, is_historical=False),
    "only-changes": change_metric("NDATA", -1, 0, value=63.0),
    "aliases-in-births": change_metric("NBIRTH", 0, 4, alias=None),
    "data-alias-only": change_metric("NDATA", 1, 0, name="board.temperature_c"),
    "aliases-unique": add_to("DBIRTH", 0, born("c", UNUSED, DataType.DOUBLE)),
    "rebirth-without-alias": change_metric("NBIRTH", 0, 1, alias=77),
    "rebirth-answered": no_answer_to_rebirth,
    "rebirth-rate-limited": births_twice,
    "ndeath-before-disconnect": silent_disconnect,
    "ids-valid": rename_the_device,
    "primary-host-awaited": birth_before_the_host,
    "primary-host-offline-leaves": stays_without_host,
    "ndeath-matches-birth": change_metric("NDEATH", 0, 0, value=6),
    "bd-seq-nowhere-else": add_to("DBIRTH", 0, bd_seq(7)),
}


def test_every_rule_has_a_name_of_its_own_says_what_it_asks_for_and_is_broken_here() -> None:
    assert {rule.name for rule in RULES} == set(BROKEN)
    assert len(RULES) == len(BROKEN)
    assert all(rule.says for rule in RULES)


def test_a_good_stream_keeps_every_rule() -> None:
    assert set(verdicts(good_stream()).values()) == {Outcome.PASS}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_stream_fails_exactly_the_rule_it_breaks(rule: str) -> None:
    seen = good_stream()
    BROKEN[rule](seen)
    assert [name for name, outcome in verdicts(seen).items() if outcome is Outcome.FAIL] == [rule]


def test_nothing_seen_is_never_a_pass() -> None:
    assert set(verdicts([]).values()) == {Outcome.NOT_SEEN}


def test_a_subscriber_judges_all_that_publishes_show() -> None:
    """Without CONNECT, SUBSCRIBE and DISCONNECT, and without the sender's QoS."""
    publishes = [replace(one, qos=None, retain=None) for one in good_stream() if isinstance(one, Published)]
    judged = verdicts(list(publishes))
    assert {rule for rule, outcome in judged.items() if outcome is not Outcome.PASS} == {
        "clean-session", "will-is-ndeath", "will-qos-1", "will-not-retained", "ncmd-subscribed-first",
        "birth-qos-0", "birth-not-retained", "data-qos-0", "ndeath-before-disconnect",
    }  # fmt: skip
    assert Outcome.FAIL not in judged.values()


def test_seq_and_bd_seq_wrap_from_255_to_0() -> None:
    stream = Stream()
    stream.connect(255)
    stream.host(True, 0)
    stream.births(255, None, None)
    for count in range(300):
        payload = Payload((value(ERRORS, count, count),), timestamp_ms=T_MS, seq=(2 + count) % 256)
        stream.publish(topic("DDATA", DEVICE), encode_payload(payload))
    stream.die(255)
    stream.connect(0)
    stream.host(True, 1)
    stream.births(0, None, None)
    stream.die(0)
    assert Outcome.FAIL not in verdicts(stream.seen).values()


def test_a_lost_connection_is_no_deliberate_one() -> None:
    seen = good_stream()
    silent_disconnect(seen)
    seen[-1] = Disconnected(deliberate=False)
    assert Outcome.FAIL not in verdicts(seen).values()
