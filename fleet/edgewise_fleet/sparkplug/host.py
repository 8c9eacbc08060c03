"""What a Sparkplug host application knows of its edge nodes; no network here.

Specification 3.0, chapters 5 (operational behaviour of hosts) and 6. A node that cannot be followed (data before its
birth, a gap in its sequence, an unknown alias) is asked for a rebirth; until then its named metrics still count.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from edgewise_fleet.message import Message
from edgewise_fleet.sparkplug.payload import (
    SparkplugMetric,
    SparkplugPayload,
    Value,
    decode_sparkplug,
    encode_rebirth,
    value_of,
)
from edgewise_fleet.store import Arrival, RecordsArrival, RejectedArrival, StatusArrival
from edgewise_messages import (
    Clock,
    DeviceAddress,
    DeviceState,
    MalformedMessage,
    MessageError,
    Status,
    Telemetry,
)

NAMESPACE = "spBv1.0"
BOOT = "sparkplug"
"""Sparkplug has no boot ids. One for all, since records are told apart by their content (`_record_seq`)."""
BD_SEQ, REBIRTH = "bdSeq", "Node Control/Rebirth"
SEQ_MODULUS = 256
REBIRTH_EVERY_MS = 10_000
"""At most so often is one node asked."""
_MOST_MS = 2**41
"""2039: a time and 22 bits of content fill a sequence number."""


@dataclass(frozen=True)
class Request:
    """A message that the host publishes."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class Heard:
    """What one message means."""

    arrivals: tuple[Arrival, ...] = ()
    requests: tuple[Request, ...] = ()


@dataclass
class _Named:
    """A metric by its alias."""

    name: str
    datatype: int


@dataclass
class _Node:
    """One edge node."""

    is_born: bool = False
    bd_seq: int | None = None
    next_seq: int = 0
    asked_ms: int = -REBIRTH_EVERY_MS
    aliases: dict[int, _Named] = field(default_factory=dict)
    datatypes: dict[str, int] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)


class SparkplugHost:
    """Hears what edge nodes publish, in the order of the connection. One host hears everything of a node."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._kinds: dict[str, Callable[[_Node, DeviceAddress, str, SparkplugPayload, int], list[Arrival]]] = {
            "NBIRTH": self._node_born, "DBIRTH": self._device_born, "NDATA": self._data, "DDATA": self._data,
            "NDEATH": self._node_died, "DDEATH": self._device_died,
        }  # fmt: skip

    def hear(self, message: Message) -> Heard:
        """One message of the namespace; what cannot be read is set aside with the reason."""
        levels = message.topic.split("/")
        if len(levels) not in (4, 5) or levels[0] != NAMESPACE or levels[2] not in self._kinds:
            return Heard()
        try:
            address = DeviceAddress(levels[1], levels[3])
            payload = decode_sparkplug(message.payload)
        except MessageError as error:
            return Heard((RejectedArrival(message.topic, message.received_ms, str(error), message.payload),))
        node = self._nodes.setdefault((address.group, address.device), _Node())
        device = levels[4] if len(levels) == 5 else ""
        try:
            arrivals = self._kinds[levels[2]](node, address, device, payload, message.received_ms)
        except MalformedMessage as error:
            rejected = RejectedArrival(message.topic, message.received_ms, str(error), message.payload)
            return Heard((rejected,), self._ask(node, address, message.received_ms))
        requests = (
            () if node.is_born or levels[2] == "NDEATH" else self._ask(node, address, message.received_ms)
        )
        return Heard(tuple(arrivals), requests)

    def forget(self) -> None:
        """After a lost connection: what was published meanwhile was missed, so every node is asked anew."""
        for node in self._nodes.values():
            node.is_born = False

    def _node_born(
        self, node: _Node, address: DeviceAddress, _device: str, payload: SparkplugPayload, now_ms: int
    ) -> list[Arrival]:
        if payload.seq is None:
            raise MalformedMessage("NBIRTH: no seq")
        node.aliases.clear()
        node.datatypes.clear()
        node.devices.clear()
        bd_seq = next((one.raw for one in payload.metrics if one.name == BD_SEQ), None)
        node.bd_seq = bd_seq if isinstance(bd_seq, int) else None
        node.is_born, node.next_seq = True, (payload.seq + 1) % SEQ_MODULUS
        self._learn(node, "", payload)
        return [
            _status(address, DeviceState.ONLINE, payload, now_ms),
            *self._records(node, address, "", payload, now_ms),
        ]

    def _device_born(
        self, node: _Node, address: DeviceAddress, device: str, payload: SparkplugPayload, now_ms: int
    ) -> list[Arrival]:
        self._follow(node, payload)
        node.devices.add(device)
        self._learn(node, device, payload)
        return self._records(node, address, device, payload, now_ms)

    def _data(
        self, node: _Node, address: DeviceAddress, device: str, payload: SparkplugPayload, now_ms: int
    ) -> list[Arrival]:
        self._follow(node, payload)
        if device and device not in node.devices:
            node.is_born = False
        return self._records(node, address, device, payload, now_ms)

    def _device_died(
        self, node: _Node, _address: DeviceAddress, device: str, payload: SparkplugPayload, _now_ms: int
    ) -> list[Arrival]:
        self._follow(node, payload)
        node.devices.discard(device)
        return []

    def _node_died(
        self, node: _Node, address: DeviceAddress, _device: str, payload: SparkplugPayload, now_ms: int
    ) -> list[Arrival]:
        bd_seq = next((one.raw for one in payload.metrics if one.name == BD_SEQ), None)
        # The death of an earlier session, which the broker noticed after the next one's birth.
        if node.bd_seq is not None and bd_seq is not None and bd_seq != node.bd_seq:
            return []
        node.is_born = False
        return [_status(address, DeviceState.OFFLINE, payload, now_ms)]

    def _follow(self, node: _Node, payload: SparkplugPayload) -> None:
        """A gap means that something was lost: births tell where the node stands."""
        if node.is_born and payload.seq != node.next_seq:
            node.is_born = False
        if payload.seq is not None:
            node.next_seq = (payload.seq + 1) % SEQ_MODULUS

    def _learn(self, node: _Node, device: str, payload: SparkplugPayload) -> None:
        for metric in payload.metrics:
            if metric.name is None:
                raise MalformedMessage("birth: a metric without a name")
            name = f"{device}/{metric.name}" if device else metric.name
            node.datatypes[name] = metric.datatype
            if metric.alias is not None:
                node.aliases[metric.alias] = _Named(name, metric.datatype)

    def _records(
        self, node: _Node, address: DeviceAddress, device: str, payload: SparkplugPayload, now_ms: int
    ) -> list[Arrival]:
        """One record for each time in the payload, oldest first."""
        by_time: dict[int, dict[str, Value]] = {}
        for metric in payload.metrics:
            named = self._name(node, device, metric)
            if named is None:
                node.is_born = False
                continue
            if named.name in (BD_SEQ, REBIRTH) or not 0 < len(named.name) <= 128:
                continue
            value = value_of(metric.raw, named.datatype)
            stamp_ms = next(
                (at for at in (metric.timestamp_ms, payload.timestamp_ms) if at is not None), now_ms
            )
            at_ms = stamp_ms if stamp_ms < _MOST_MS else now_ms
            # A null has no point, but is kept in the record; texts are cut at what a record holds.
            by_time.setdefault(at_ms, {})[named.name] = value[:4096] if isinstance(value, str) else value
        records = tuple(
            Telemetry(
                ts_ms=at_ms,
                mono_ns=0,
                boot=BOOT,
                seq=_record_seq(at_ms, metrics),
                clock=Clock.NTP,
                metrics=metrics,
            )
            for at_ms, metrics in sorted(by_time.items())
        )
        return [RecordsArrival(address, now_ms, records)]

    def _name(self, node: _Node, device: str, metric: SparkplugMetric) -> _Named | None:
        if metric.name is not None:
            name = f"{device}/{metric.name}" if device else metric.name
            return _Named(name, metric.datatype or node.datatypes.get(name, 0))
        return node.aliases.get(metric.alias) if metric.alias is not None else None

    def _ask(self, node: _Node, address: DeviceAddress, now_ms: int) -> tuple[Request, ...]:
        if now_ms - node.asked_ms < REBIRTH_EVERY_MS:
            return ()
        node.asked_ms = now_ms
        return (Request(f"{NAMESPACE}/{address.group}/NCMD/{address.device}", encode_rebirth(now_ms)),)


def _status(
    address: DeviceAddress, state: DeviceState, payload: SparkplugPayload, now_ms: int
) -> StatusArrival:
    reason = "NDEATH" if state is DeviceState.OFFLINE else ""
    return StatusArrival(
        address, now_ms, Status(state=state, ts_ms=payload.timestamp_ms or now_ms, boot=BOOT, reason=reason)
    )


def _record_seq(at_ms: int, metrics: dict[str, Value]) -> int:
    """In order of time, and the same for the same content: a resent historical value is the same record.

    22 bits of CRC-32 beside the milliseconds: two different records of one millisecond are taken for one with a
    probability of 2.4e-7.
    """
    content = repr(sorted(metrics.items())).encode("utf-8", "surrogatepass")
    return at_ms << 22 | zlib.crc32(content) & 0x3F_FFFF
