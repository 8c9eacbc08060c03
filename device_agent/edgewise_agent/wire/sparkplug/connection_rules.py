"""Rules of the connection: CONNECT, will, subscription, death (docs/agent/wire.md lists them)."""

import itertools

from edgewise_agent.wire.message import Message
from edgewise_agent.wire.sparkplug.findings import Findings, unless
from edgewise_agent.wire.sparkplug.payload import DataType, Payload, decode_payload
from edgewise_agent.wire.sparkplug.trace import (
    DATA,
    DEATH,
    NAMESPACE,
    Disconnected,
    Life,
    Published,
    Subscribed,
    Trace,
)

BD_SEQ = "bdSeq"


def clean_session(trace: Trace) -> Findings:
    """1. CONNECT has Clean Session true."""
    for life in trace.lives:
        if life.connect is not None:
            yield unless(life.connect.clean, "CONNECT with Clean Session false")


def will_is_ndeath(trace: Trace) -> Findings:
    """2. The will is on the node's NDEATH topic."""
    wanted = f"{NAMESPACE}/{trace.group}/{DEATH}/{trace.node}"
    for life in trace.lives:
        if life.connect is not None:
            topic = life.connect.will.topic if life.connect.will else "no will"
            yield unless(topic == wanted, f"will: got {topic}, expected {wanted}")


def will_qos_1(trace: Trace) -> Findings:
    """2. The will has QoS 1."""
    for will in _wills(trace):
        yield unless(will.qos == 1, f"will: got QoS {will.qos}, expected 1")


def will_not_retained(trace: Trace) -> Findings:
    """2. The will is not retained."""
    for will in _wills(trace):
        yield unless(not will.retain, "the will is retained")


def ndeath_bd_seq(trace: Trace) -> Findings:
    """2. NDEATH, as a will or published, has a metric bdSeq of type INT64 with a value of 0 to 255."""
    for death in _deaths(trace):
        metric = death.find(BD_SEQ)
        value = None if metric is None else metric.value
        is_right = type(value) is int and 0 <= value <= 255
        has_type = metric is not None and metric.datatype == DataType.INT64
        yield unless(is_right and has_type, f"NDEATH: bdSeq is {metric}")


def ndeath_without_seq(trace: Trace) -> Findings:
    """2. NDEATH has no sequence number."""
    for death in _deaths(trace):
        yield unless(death.seq is None, f"NDEATH has seq {death.seq}")


def bd_seq_advances(trace: Trace) -> Findings:
    """2. bdSeq is one more with every CONNECT, and 0 after 255; without a view of CONNECT, with every new life."""
    numbers = [number for life in trace.lives if (number := bd_seq_of(life)) is not None]
    for before, after in itertools.pairwise(numbers):
        wanted = (before + 1) % 256
        is_right = after == wanted if trace.is_tapped else after != before
        yield unless(is_right, f"bdSeq {after} after {before}")


def ncmd_subscribed_first(trace: Trace) -> Findings:
    """3. NCMD is subscribed to at QoS 1 before the NBIRTH."""
    wanted = f"{NAMESPACE}/{trace.group}/NCMD/{trace.node}"
    for life in trace.lives:
        if life.connect is None or not life.of("NBIRTH"):
            continue
        born = life.seen.index(life.of("NBIRTH")[0].publish)
        granted = [one.qos for one in life.seen[:born] if isinstance(one, Subscribed) and one.topic == wanted]
        yield unless(granted[-1:] == [1], f"{wanted}: QoS {granted or 'none'} before the NBIRTH, expected 1")


def ndeath_before_disconnect(trace: Trace) -> Findings:
    """8. A deliberate DISCONNECT comes right after a published NDEATH."""
    for life in trace.lives:
        for place, one in enumerate(life.seen):
            if isinstance(one, Disconnected) and one.deliberate:
                own = [seen for seen in life.seen[:place] if any(said.publish is seen for said in life.said)]
                last = own[-1] if own else None
                is_right = isinstance(last, Published) and last.kind == DEATH
                yield unless(is_right, "DISCONNECT without an NDEATH before it")


def ndeath_matches_birth(trace: Trace) -> Findings:
    """Pitfall. An NDEATH has the bdSeq of the NBIRTH it ends: one of an old session must not end a new one."""
    for life in trace.lives:
        births = [_bd_seq(birth.payload) for birth in life.of("NBIRTH")]
        deaths = [_bd_seq(death.payload) for death in life.of(DEATH)]
        if life.connect is not None and life.connect.will is not None:
            deaths.append(_bd_seq(_payload(life.connect.will)))
        for birth in births[-1:]:
            for death in deaths:
                yield unless(birth == death, f"NDEATH with bdSeq {death}, NBIRTH with {birth}")


def bd_seq_nowhere_else(trace: Trace) -> Findings:
    """Pitfall. bdSeq stands in NBIRTH and NDEATH only."""
    for life in trace.lives:
        for said in life.of("DBIRTH", *DATA):
            yield unless(said.payload.find(BD_SEQ) is None, f"{said.kind} has a metric bdSeq")


def bd_seq_of(life: Life) -> int | None:
    """Of this life's will, or of its births and deaths."""
    if life.connect is not None and life.connect.will is not None:
        return _bd_seq(_payload(life.connect.will))
    numbers = [_bd_seq(said.payload) for said in life.of("NBIRTH", DEATH)]
    return numbers[0] if numbers else None


def _wills(trace: Trace) -> list[Message]:
    found = [life.connect.will for life in trace.lives if life.connect is not None]
    return [will for will in found if will is not None]


def _deaths(trace: Trace) -> list[Payload]:
    wills = [_payload(will) for will in _wills(trace)]
    return [*wills, *(said.payload for life in trace.lives for said in life.of(DEATH))]


def _payload(message: Message) -> Payload:
    """Empty when it cannot be read: then every rule about its content fails."""
    try:
        return decode_payload(message.payload)
    except ValueError:
        return Payload()


def _bd_seq(payload: Payload) -> int | None:
    metric = payload.find(BD_SEQ)
    return metric.value if metric is not None and type(metric.value) is int else None
