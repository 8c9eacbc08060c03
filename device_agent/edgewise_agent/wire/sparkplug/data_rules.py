"""Rules of data, rebirth and the primary host (docs/agent/wire.md lists them)."""

import itertools
from collections.abc import Iterator

from edgewise_agent.errors import MalformedPayload
from edgewise_agent.wire.sparkplug.findings import Findings, unless
from edgewise_agent.wire.sparkplug.payload import Metric, MetricValue, decode_payload
from edgewise_agent.wire.sparkplug.primary_host import parse_state, state_topic
from edgewise_agent.wire.sparkplug.trace import (
    BIRTHS,
    DATA,
    DEATH,
    Disconnected,
    Life,
    Published,
    Said,
    Trace,
)

REBIRTH = "Node Control/Rebirth"
EVENT = "event"
REBIRTH_WITHIN_S = 60.0
REBIRTH_AT_MOST_EVERY_S = 1.0
"""Two births, asked for within this time of each other, closer than this: no rate limit."""


def seq_continuous(trace: Trace) -> Findings:
    """5. seq of a node's messages is one more than before, 255 wraps to 0; NBIRTH begins it anew."""
    for life in trace.lives:
        last: int | None = None
        for said in life.of(*BIRTHS, *DATA, "DDEATH"):
            seq = said.payload.seq
            if said.kind != "NBIRTH" and last is not None:
                yield unless(seq == (last + 1) % 256, f"{said.kind} with seq {seq} after {last}")
            last = seq


def data_qos_0(trace: Trace) -> Findings:
    """5. Data has QoS 0 and is not retained."""
    for said in _data(trace):
        if said.publish.qos is not None:
            is_right = said.publish.qos == 0 and not said.publish.retain
            yield unless(is_right, f"{said.kind}: QoS {said.publish.qos}, retained {said.publish.retain}")


def data_has_values(trace: Trace) -> Findings:
    """5. Each metric of data has a timestamp, and a value or is_null."""
    for said in _data(trace):
        for metric in said.payload.metrics:
            has_value = (metric.value is not None) != metric.is_null
            yield unless(has_value and metric.timestamp_ms is not None, f"{said.kind}: {metric}")


def data_chronological(trace: Trace) -> Findings:
    """5. Values of a metric that are not historical come in the order of their time; a birth begins it anew."""
    for life in trace.lives:
        latest_ms: dict[int, int] = {}
        for said in life.of("NBIRTH", *DATA):
            if said.kind == "NBIRTH":
                latest_ms.clear()
                continue
            for metric in _live(said):
                before_ms = latest_ms.get(metric.alias or 0, 0)
                stamp_ms = metric.timestamp_ms or before_ms
                wrong = f"alias {metric.alias}: {stamp_ms} after {before_ms}"
                yield unless(stamp_ms >= before_ms, wrong)
                latest_ms[metric.alias or 0] = stamp_ms


def history_flagged(trace: Trace) -> Findings:
    """5. What is older than the birth is flagged is_historical: it must not pass for the present value."""
    for life in trace.lives:
        born_ms: int | None = None
        for said in life.of("NBIRTH", *DATA):
            if said.kind == "NBIRTH":
                # A rebirth takes nothing from what was live before it; a clock set back is the one that counts.
                stamp_ms = said.payload.timestamp_ms or 0
                born_ms = stamp_ms if born_ms is None else min(born_ms, stamp_ms)
                continue
            if born_ms is None:
                continue
            for metric in _live(said):
                wrong = f"alias {metric.alias}: {metric.timestamp_ms} is before the birth at {born_ms}"
                yield unless((metric.timestamp_ms or born_ms) >= born_ms, wrong)


def only_changes(trace: Trace) -> Findings:
    """5. Data has only metrics whose value changed; events are not values, and may repeat."""
    for life in trace.lives:
        values: dict[int, tuple[MetricValue, bool]] = {}
        events: set[int] = set()
        for said in life.of(*BIRTHS, *DATA):
            for metric in _live(said):
                alias, now = metric.alias or 0, (metric.value, metric.is_null)
                if said.kind in BIRTHS and metric.name == EVENT:
                    events.add(alias)
                if said.kind in DATA and alias not in events:
                    yield unless(values.get(alias) != now, f"alias {alias}: again {metric.value}")
                values[alias] = now


def rebirth_answered(trace: Trace) -> Findings:
    """7. A command `Node Control/Rebirth` = true is followed by an NBIRTH, without data in between."""
    for life in trace.lives:
        for place, asked in _rebirth_requests(life, trace):
            after = [said for said in life.said if life.seen.index(said.publish) > place]
            if not after or after[0].kind == DEATH:
                continue
            # What was on its way when the command came may still arrive after it.
            later = [said for said in after if said.publish.at_s > asked.at_s + 1.0] or after
            birth = next((said for said in after if said.kind == "NBIRTH"), None)
            in_time = birth is not None and birth.publish.at_s - asked.at_s <= REBIRTH_WITHIN_S
            before_data = birth is not None and (
                later[0].kind not in DATA or birth.publish.at_s <= later[0].publish.at_s
            )
            yield unless(in_time and before_data, f"asked for a birth, got {later[0].kind}")


def rebirth_rate_limited(trace: Trace) -> Findings:
    """7. Commands in quick succession do not each make births."""
    for life in trace.lives:
        asked = [one.at_s for _, one in _rebirth_requests(life, trace)]
        births = [said.publish.at_s for said in life.of("NBIRTH")]
        for first_s, second_s in itertools.pairwise(asked):
            if second_s - first_s > REBIRTH_AT_MOST_EVERY_S:
                continue
            answers = [at_s for at_s in births if first_s <= at_s <= second_s + REBIRTH_AT_MOST_EVERY_S]
            close = any(b - a < REBIRTH_AT_MOST_EVERY_S for a, b in itertools.pairwise(answers))
            yield unless(not close, f"{len(answers)} births for commands within {second_s - first_s:.1f} s")


def primary_host_awaited(trace: Trace) -> Findings:
    """10. With a primary host, no birth before its STATE said online on this connection."""
    for life in _with_host(trace):
        online = False
        for one in life.seen:
            online = _host_online(one, trace, online)
            if isinstance(one, Published) and one.kind == "NBIRTH":
                yield unless(online, "NBIRTH while the primary host is not online")


def primary_host_offline_leaves(trace: Trace) -> Findings:
    """10. After a newer STATE offline the node says NDEATH and disconnects."""
    for life in _with_host(trace):
        online_ms = -1
        for place, one in enumerate(life.seen):
            state = _state(one, trace)
            if state is None:
                continue
            is_online, at_ms = state
            if is_online:
                online_ms = at_ms
            elif 0 <= online_ms <= at_ms:
                rest = life.seen[place + 1 :]
                died = any(isinstance(later, Published) and later.kind == DEATH for later in rest)
                left = any(isinstance(later, Disconnected) for later in rest) or not trace.is_tapped
                yield unless(died and left, "stayed although the primary host is offline")


def _data(trace: Trace) -> list[Said]:
    return [said for life in trace.lives for said in life.of(*DATA)]


def _live(said: Said) -> list[Metric]:
    return [
        metric for metric in said.payload.metrics if metric.alias is not None and not metric.is_historical
    ]


def _rebirth_requests(life: Life, trace: Trace) -> Iterator[tuple[int, Published]]:
    for place, one in enumerate(life.seen):
        is_command = isinstance(one, Published) and one.kind == "NCMD" and one.levels[3:4] == (trace.node,)
        if isinstance(one, Published) and is_command:
            try:
                metric = decode_payload(one.payload).find(REBIRTH)
            except MalformedPayload:
                continue
            if metric is not None and metric.value is True:
                yield place, one


def _with_host(trace: Trace) -> list[Life]:
    return trace.lives if trace.host else []


def _state(one: object, trace: Trace) -> tuple[bool, int] | None:
    if isinstance(one, Published) and one.topic == state_topic(trace.host):
        return parse_state(one.payload)
    return None


def _host_online(one: object, trace: Trace, before: bool) -> bool:
    state = _state(one, trace)
    return before if state is None else state[0]
