"""Implements the Sparkplug 3.0 edge node profile on the agent's records.

DATA travels at QoS 0, which nobody acknowledges. So a record stays in the outbox for UNSURE_KEEPALIVES after it was
sent, while the connection stands; when that ends before, it is sent again, flagged `is_historical`.
"""

import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from edgewise_agent.clock import TimeSource
from edgewise_agent.errors import MalformedPayload
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.wire.message import AT_MOST_ONCE, Message
from edgewise_agent.wire.profile import Opening, Turn
from edgewise_agent.wire.readable import readable_records
from edgewise_agent.wire.settings import SparkplugSettings
from edgewise_agent.wire.sparkplug.bd_seq import BdSeq
from edgewise_agent.wire.sparkplug.catalogue import EVENT, NODE, Catalogue, Entry, fitting
from edgewise_agent.wire.sparkplug.payload import (
    DataType,
    Metric,
    MetricValue,
    Payload,
    decode_payload,
    encode_payload,
)
from edgewise_agent.wire.sparkplug.primary_host import PrimaryHost
from edgewise_messages import AnyRecord, Clock, DeviceAddress, Drift, Event, Meta, Telemetry

NAMESPACE = "spBv1.0"
BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
SEQ_MODULUS = 256
UNSURE_KEEPALIVES = 2.5
"""A dead connection is noticed after at most two keep-alives: one until the ping, one until its answer is missed.
The half is for a slow turn. The specification's host notices a dead node after one and a half."""

log = logging.getLogger("edgewise.agent.broker")


class SparkplugProfile:
    """One edge node. Its group and id are those of the device; each pipeline but `main` is a Sparkplug device."""

    def __init__(
        self,
        address: DeviceAddress,
        settings: SparkplugSettings,
        *,
        boot: str,
        clock: TimeSource,
        meta: Callable[[], Meta],
        bd_seq_file: Path,
        keepalive_s: float,
        pipelines: Iterable[str] = (),
        models: Callable[[], object] = tuple,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """There are births again when ``models`` gives another value."""
        self.address = address
        self.models = models
        self.settings = settings
        self.boot = boot
        self.clock = clock
        self.catalogue = Catalogue(pipelines)
        self.monotonic_s = monotonic_s
        self.unsure_for_s = UNSURE_KEEPALIVES * keepalive_s
        self._meta = meta
        self._bd_seq = BdSeq(bd_seq_file)

    def begin(self) -> "SparkplugSession":
        """For the next connection, with the next bdSeq."""
        return SparkplugSession(self, self._bd_seq.next())

    def topic(self, kind: str, device: str = NODE) -> str:
        """`kind` such as NBIRTH."""
        levels = [NAMESPACE, self.address.group, kind, self.address.device]
        return "/".join([*levels, device] if device else levels)

    def describe(self) -> dict[str, MetricValue]:
        """The device's meta notice as metrics `meta/<field>`."""
        return dict(_flattened("meta", msgspec.to_builtins(self._meta())))


class SparkplugSession:
    """One connection: births, then data, until the death."""

    def __init__(self, profile: SparkplugProfile, bd_seq: int) -> None:
        self._profile = profile
        self._bd_seq = bd_seq
        self._host = PrimaryHost(profile.settings.primary_host)
        self._seq = 0
        self._is_born = False
        self._models: object = None
        self._rebirth_asked = False
        self._reborn_s = -math.inf
        self._born_mono_ns = self._born_ms = 0
        """When this connection's first births were made: what was recorded earlier is history."""

    @property
    def opening(self) -> Opening:
        """The will is the NDEATH."""
        return Opening(self._death(), (self._profile.topic("NCMD"), *self._host.topics))

    def due(self) -> Turn:
        """Births when the primary host is there; again with other models, after the wall clock was set back behind
        them, or when a host asked and the last are old."""
        if self._host.has_left:
            return Turn(
                (), takes_records=False, leaves_because=f"primary host {self._host.host_id} is offline"
            )
        if not self._host.is_online:
            return Turn((), takes_records=False)
        if not self._is_born or self._models != self._profile.models() or self._now_ms() < self._born_ms:
            return Turn(self._births())
        if self._rebirth_asked:
            now_s = self._profile.monotonic_s()
            if now_s - self._reborn_s < self._profile.settings.rebirth_min_s:
                return Turn((), takes_records=False)
            self._reborn_s = now_s
            return Turn(self._births())
        return Turn()

    def records(self, batch: Batch) -> tuple[Message, ...]:
        """One NDATA or DDATA for each place the metrics belong to; births before them if any metric is new."""
        catalogue = self._profile.catalogue
        readings = [
            (record, name, value)
            for record in readable_records(batch.bodies)
            for name, value in _readings(record)
        ]
        changes = [catalogue.admit(name, value) for _, name, value in readings]
        births = self._births() if any(changes) else ()
        places: defaultdict[str, list[Metric]] = defaultdict(list)
        for record, name, value in readings:
            entry = catalogue.find(name)
            metric = None if entry is None else self._measured(record, entry, value)
            if entry is not None and metric is not None:
                places[entry.device].append(metric)
        return (*births, *(self._data(device, metrics) for device, metrics in places.items()))

    def heard(self, message: Message) -> None:
        """STATE of the primary host, and NCMD."""
        if message.topic in self._host.topics:
            self._host.hear(message.payload)
            return
        if message.topic != self._profile.topic("NCMD"):
            log.debug("ignored a message on %s", message.topic)
            return
        try:
            command = decode_payload(message.payload)
        except MalformedPayload as error:
            log.warning("a command that cannot be read: %s", error)
            return
        for metric in command.metrics:
            if metric.name == REBIRTH and metric.value is True:
                self._rebirth_asked = True
            else:
                log.warning("command %s = %r: this node knows %s only", metric.name, metric.value, REBIRTH)

    def farewell(self, reason: str, *, returns: bool) -> tuple[Message, ...]:
        """The death, said by ourselves: a deliberate disconnect keeps the will from being published."""
        log.debug("NDEATH: %s", reason)
        return (self._death(),)

    def _death(self) -> Message:
        bd_seq = Metric(name=BD_SEQ, timestamp_ms=self._now_ms(), datatype=DataType.INT64, value=self._bd_seq)
        payload = Payload((bd_seq,), timestamp_ms=self._now_ms())
        return Message(self._profile.topic("NDEATH"), encode_payload(payload))

    def _births(self) -> tuple[Message, ...]:
        born_ms = self._now_ms()
        if not self._is_born or born_ms < self._born_ms:
            # In this order, and a record's the other way round: what is not before one is not before the other.
            self._born_ms, self._born_mono_ns = born_ms, self._profile.clock.mono_ns()
        self._is_born, self._rebirth_asked, self._models = True, False, self._profile.models()
        self._seq = 0
        node = [*self._controls(), *map(self._birth_of, self._profile.catalogue.of(NODE))]
        messages = [self._publish("NBIRTH", NODE, node, born_ms)]
        for device in self._profile.catalogue.devices:
            metrics = [self._birth_of(entry) for entry in self._profile.catalogue.of(device)]
            messages.append(self._publish("DBIRTH", device, metrics, born_ms))
        return tuple(messages)

    def _controls(self) -> list[Metric]:
        """bdSeq and Rebirth go without an alias, as a host must know them before any birth."""
        now_ms = self._now_ms()
        bd_seq = Metric(name=BD_SEQ, timestamp_ms=now_ms, datatype=DataType.INT64, value=self._bd_seq)
        rebirth = Metric(name=REBIRTH, timestamp_ms=now_ms, datatype=DataType.BOOLEAN, value=False)
        for name, value in self._profile.describe().items():
            self._profile.catalogue.describe(name, value, now_ms)
        return [bd_seq, rebirth]

    def _birth_of(self, entry: Entry) -> Metric:
        return Metric(
            name=entry.name,
            alias=entry.alias,
            timestamp_ms=self._born_ms if entry.timestamp_ms is None else entry.timestamp_ms,
            datatype=entry.datatype,
            value=entry.value,
            is_null=entry.value is None,
        )

    def _measured(self, record: AnyRecord, entry: Entry, value: MetricValue) -> Metric | None:
        """The metric for DATA; None for a live value that has not changed, which Sparkplug leaves out."""
        value = fitting(value, entry.datatype)
        timestamp_ms = self._stamp_ms(record)
        is_own = record.boot == self._profile.boot
        is_live = is_own and record.mono_ns >= max(self._born_mono_ns, entry.mono_ns)
        if is_live:
            if value == entry.value and entry.timestamp_ms is not None and entry.name != EVENT:
                return None
            entry.value, entry.timestamp_ms, entry.mono_ns = value, timestamp_ms, record.mono_ns
        return Metric(
            alias=entry.alias,
            timestamp_ms=timestamp_ms,
            value=value,
            is_null=value is None,
            is_historical=not is_live,
        )

    def _stamp_ms(self, record: AnyRecord) -> int:
        """When it happened; taken before the clock was set, it is stamped anew by the monotonic clock."""
        clock = self._profile.clock
        if record.clock is not Clock.UNSYNCED or record.boot != self._profile.boot:
            return record.ts_ms
        if clock.state() is Clock.UNSYNCED:
            return record.ts_ms
        return clock.now_ms() - (clock.mono_ns() - record.mono_ns) // 1_000_000

    def _data(self, device: str, metrics: list[Metric]) -> Message:
        return self._publish("DDATA" if device else "NDATA", device, metrics, self._now_ms())

    def _publish(self, kind: str, device: str, metrics: Iterable[Metric], timestamp_ms: int) -> Message:
        payload = Payload(tuple(metrics), timestamp_ms=timestamp_ms, seq=self._seq)
        self._seq = (self._seq + 1) % SEQ_MODULUS
        return Message(self._profile.topic(kind, device), encode_payload(payload), qos=AT_MOST_ONCE)

    def _now_ms(self) -> int:
        return self._profile.clock.now_ms()


def _readings(record: AnyRecord) -> list[tuple[str, MetricValue]]:
    """What a record says, as metrics by name."""
    match record:
        case Telemetry():
            return list(record.metrics.items())
        case Event():
            return [(EVENT, _event_text(record))]
        case Drift():
            scores = [(f"drift.score.{name}", value) for name, value in record.scores.items()]
            return [*scores, ("drift.window", record.window)]


def _event_text(event: Event) -> str:
    """JSON; boot and seq tell a host that hears an event twice that it is the same one."""
    said = {
        "name": event.name,
        "severity": event.severity.value,
        "message": event.message,
        "data": event.data,
    }
    return json.dumps({**said, "boot": event.boot, "seq": event.seq}, ensure_ascii=False)


def _flattened(name: str, value: object) -> Iterable[tuple[str, MetricValue]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flattened(f"{name}/{key}", inner)
    elif value is None or isinstance(value, bool | int | float | str):
        yield name, value
    else:
        yield name, json.dumps(value, ensure_ascii=False)
