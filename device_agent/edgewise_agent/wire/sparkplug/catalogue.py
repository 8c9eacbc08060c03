"""Which metrics the node has: their place (node or device), datatype and alias.

A metric of a pipeline, `<pipeline>/<metric>`, belongs to a Sparkplug device of that name; a bare name to the node.
Births must name every metric that will ever be sent, so the standard ones are there from the start. Another name,
or a value that does not fit its metric's datatype, changes the catalogue, and then births must be sent again.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgewise_agent.wire.sparkplug.payload import DataType, MetricValue
from edgewise_messages.metrics import PIPELINE_SEPARATOR, STANDARD, Kind, Metric

NODE = ""
MAIN = "main"
EVENT = "event"
"""The metric that carries events, as JSON text."""
MOST_METRICS = 2000
"""Names are the agent's own; more than this many are a mistake somewhere, and would not fit one birth."""
_OF_A_PIPELINE = re.compile(r"([A-Za-z0-9_-]{1,64})/(.+)", re.DOTALL)
_OF_PIPELINES = ("model.", "drift.")
_INTEGER_UNITS = ("B", "bitmask")
_INT64 = range(-(2**63), 2**63)

log = logging.getLogger("edgewise.agent.broker")


@dataclass
class Entry:
    """One metric. ``alias`` is unique over the node and its devices."""

    alias: int
    device: str
    name: str
    datatype: DataType
    value: MetricValue = None
    timestamp_ms: int | None = None
    """Of the latest value that was sent as a live one; births repeat it."""
    mono_ns: int = 0
    """When that was, by this boot's monotonic clock."""


class Catalogue:
    """Grows; a metric keeps its alias as long as the process lives."""

    def __init__(self, pipelines: Iterable[str] = ()) -> None:
        """``pipelines``: those that will report; the metrics of `main` bear plain names."""
        self._entries: dict[str, Entry] = {}
        self._described: dict[str, Entry] = {}
        self._full = False
        for metric in STANDARD:
            self._add(metric.name, _standard_type(metric))
        self._add(EVENT, DataType.STRING)
        for pipeline in pipelines:
            for metric in STANDARD if pipeline != MAIN else ():
                if metric.name.startswith(_OF_PIPELINES):
                    self._add(f"{pipeline}{PIPELINE_SEPARATOR}{metric.name}", _standard_type(metric))

    @property
    def devices(self) -> list[str]:
        """The Sparkplug devices, without the node."""
        return sorted({entry.device for entry in self._entries.values()} - {NODE})

    def of(self, device: str) -> list[Entry]:
        """The metrics of one device, or of the node."""
        described = self._described.values() if device == NODE else ()
        return [*(entry for entry in self._entries.values() if entry.device == device), *described]

    def admit(self, name: str, value: MetricValue) -> bool:
        """Make the catalogue hold this value; True when that changed it, so that births are due."""
        entry = self._entries.get(name)
        if entry is None:
            return self._add(name, _type_of(value))
        wider = _widened(entry.datatype, value)
        if wider is entry.datatype:
            return False
        entry.datatype, entry.value, entry.timestamp_ms = wider, None, None
        return True

    def describe(self, name: str, value: MetricValue, timestamp_ms: int) -> None:
        """A metric of the node that only births carry, whatever its name looks like."""
        entry = self._described.get(name)
        if entry is None:
            entry = self._described[name] = Entry(self._next_alias(), NODE, name, _type_of(value))
        if entry.value != value or entry.timestamp_ms is None:
            entry.datatype, entry.value, entry.timestamp_ms = _type_of(value), value, timestamp_ms

    def find(self, name: str) -> Entry | None:
        """The metric of that name; None where it could not be admitted any more."""
        return self._entries.get(name)

    def _add(self, name: str, datatype: DataType) -> bool:
        if len(self._entries) >= MOST_METRICS:
            if not self._full:
                log.error("more than %d metrics; %r and further ones are not sent", MOST_METRICS, name)
            self._full = True
            return False
        match = _OF_A_PIPELINE.fullmatch(name)
        device, short = match.groups() if match else (NODE, name)
        self._entries[name] = Entry(self._next_alias(), device, short, datatype)
        return True

    def _next_alias(self) -> int:
        return len(self._entries) + len(self._described) + 1


def fitting(value: MetricValue, datatype: DataType) -> MetricValue:
    """The value as its metric's datatype holds it."""
    if value is None:
        return None
    if datatype is DataType.DOUBLE and not isinstance(value, str):
        return float(value)
    if datatype is DataType.INT64 and not isinstance(value, str):
        return int(value)
    return str(value) if datatype is DataType.STRING else value


def _standard_type(metric: Metric) -> DataType:
    is_whole = metric.kind is Kind.COUNTER or metric.unit in _INTEGER_UNITS
    return DataType.INT64 if is_whole else DataType.DOUBLE


def _type_of(value: MetricValue) -> DataType:
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64
    return DataType.STRING if isinstance(value, str) else DataType.DOUBLE


def _widened(datatype: DataType, value: MetricValue) -> DataType:
    """The narrowest datatype that holds what this metric has held and this value, exactly."""
    kind = _type_of(value)
    if value is None or datatype in (kind, DataType.STRING):
        return datatype
    if datatype is DataType.DOUBLE and isinstance(value, int) and int(float(value)) == value:
        return DataType.STRING if isinstance(value, bool) else DataType.DOUBLE
    if datatype is DataType.INT64 and isinstance(value, float):
        return DataType.INT64 if value.is_integer() and int(value) in _INT64 else DataType.DOUBLE
    return DataType.STRING
