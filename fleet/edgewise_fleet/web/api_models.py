"""The answers of the REST API as pydantic and OpenAPI know them. Times are milliseconds since 1970."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from edgewise_fleet.alerts import KeptAlert
from edgewise_fleet.alerts.notice import told
from edgewise_fleet.snapshots import State
from edgewise_fleet.store import EventRow
from edgewise_fleet.summary import Condition, DeviceSummary

NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Trouble(_Answer):
    """What was wrong with a request."""

    detail: str


class DeviceOut(_Answer):
    """One device in short; null where the device never told."""

    group: str
    device: str
    condition: Condition
    since_ms: int
    last_seen_ms: int
    reason: str
    model: str
    precision: str
    backend: str
    board: str
    agent_version: str
    throughput_per_s: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    temperature_c: float | None
    throttled: list[str] | None


class DevicesOut(_Answer):
    """A page of devices; ``next`` is the ``after`` of the following page, null on the last."""

    devices: list[DeviceOut]
    total: int
    next: str | None


class PromiseOut(_Answer):
    """What a model's card says that it does."""

    accuracy: float | None
    agreement: float | None
    confidence: float | None
    p95_ms: float | None


class ModelOut(_Answer):
    """A model as a device names it."""

    name: str
    sha256: str
    task: str
    precision: str
    target: str
    backend: str
    promise: PromiseOut | None


class DeviceDetailOut(DeviceOut):
    """One device with its latest metrics and what it runs."""

    metrics: dict[str, float]
    models: dict[str, ModelOut]
    """By pipeline; "" where there is only one."""


class SeriesOut(_Answer):
    """Metrics over time: lists of [milliseconds, value], oldest first, thinned to lows and highs."""

    since_ms: int
    until_ms: int
    series: dict[str, list[Annotated[list[int | float], Field(min_length=2, max_length=2)]]]


class EventOut(_Answer):
    """One event."""

    at_ms: int
    name: str
    severity: str
    message: str
    data: dict[str, Any]


class EventsOut(_Answer):
    """Newest first."""

    events: list[EventOut]


class AlertOut(_Answer):
    """One alert; ``cleared_ms`` is 0 while it holds."""

    id: int
    state: str
    rule: str
    severity: str
    group: str
    device: str
    pipeline: str
    since_ms: int
    raised_ms: int
    cleared_ms: int
    cause: str
    remedy: str


class AlertsOut(_Answer):
    """Newest first; ``next`` is the ``before`` of the following page of cleared ones, null on the last."""

    alerts: list[AlertOut]
    next: int | None


class ModelUseOut(_Answer):
    """One model over all devices that run it; figures are of those online."""

    name: str
    sha256: str
    precision: str
    task: str
    target: str
    devices: list[str]
    online: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    confidence: float | None
    drifting: int
    promise: PromiseOut | None
    """What its card says, but for the latency, which is each board's own."""
    slower: int
    """Pipelines whose p95 is more than a tenth above what the card promises for their board."""


class ModelsOut(_Answer):
    """The most used first."""

    models: list[ModelUseOut]


class SnapshotIn(BaseModel):
    """Which snapshot is asked for; the device's latest without any."""

    model_config = ConfigDict(extra="forbid")
    rule: str = Field("", max_length=128)
    """The latest one of this rule."""
    snapshot: str = Field("", max_length=128)
    """One by the device's own name for it, as its event says."""


class SnapshotOut(_Answer):
    """One request for a snapshot, and what came of it; the content is at .../content when the state is here."""

    id: str
    state: State
    reason: str
    asked_ms: int
    asked_by: str
    ended_ms: int
    snapshot: str
    taken_ms: int
    rule: str
    label: str
    media: str
    shape: str
    sha256: str
    size_bytes: int


class SnapshotsOut(_Answer):
    """Requests of one device, newest first."""

    snapshots: list[SnapshotOut]
    trouble: str
    """Why none can be asked for just now; empty when one can."""


class SilenceIn(BaseModel):
    """What is to be silenced; everything without rules, groups and devices."""

    model_config = ConfigDict(extra="forbid")
    hours: float = Field(gt=0, le=8760)
    reason: str = Field("", max_length=200)
    rules: list[str] = Field([], max_length=100)
    groups: list[str] = Field([], max_length=100)
    devices: list[str] = Field([], max_length=100)


class SilenceOut(_Answer):
    """A silence that was made on the page or here."""

    id: int
    reason: str
    until_ms: int
    rules: list[str]
    groups: list[str]
    devices: list[str]
    made_by: str


class SilencesOut(_Answer):
    """Those that are not over."""

    silences: list[SilenceOut]


class AuditOut(_Answer):
    """One line of the audit log."""

    id: int
    at_ms: int
    who: str
    address: str
    what: str
    detail: str


class AuditLogOut(_Answer):
    """Newest first."""

    entries: list[AuditOut]


def device_out(device: DeviceSummary) -> DeviceOut:
    """A device as it is answered."""
    return DeviceOut.model_validate(device, from_attributes=True)


def event_out(row: EventRow) -> EventOut:
    """An event as it is answered."""
    event = row.event
    return EventOut(
        at_ms=row.at_ms,
        name=event.name,
        severity=event.severity.value,
        message=event.message,
        data=dict(event.data),
    )


def alert_out(kept: KeptAlert) -> AlertOut:
    """An alert as it is answered."""
    return AlertOut.model_validate(told(kept), from_attributes=True)
