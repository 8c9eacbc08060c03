"""The fleet at a glance: every device judged against the clock; what the page, the API and `top` show."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import msgspec

from edgewise_fleet.store import Counter, DeviceRow
from edgewise_messages import DeviceAddress, DeviceState, Meta
from edgewise_messages.metrics import split_name

DEFAULT_SILENT_AFTER_S = 60.0

BACK_AFTER_MS = 2_000
"""A device heard this long after its Last Will is back: the will was that of an earlier connection."""

THROTTLE_BITS = ("under-voltage", "capped", "throttled", "hot")
"""Bits 0-3 of get_throttled, as in `edgewise_messages.metrics`."""


class Condition(StrEnum):
    """How a device is, as far as the host can tell."""

    ONLINE = "online"
    SILENT = "silent"
    """Connected by its own word, but nothing was heard for a while."""
    OFFLINE = "offline"
    """The broker lost it."""
    STOPPED = "stopped"
    """Its agent was stopped on purpose."""


class DeviceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One device; times in milliseconds since 1970, None where the device never told."""

    group: str
    device: str
    condition: Condition
    since_ms: int
    """Since when the condition holds (for online: when it was last heard)."""
    last_seen_ms: int
    reason: str = ""
    model: str = ""
    precision: str = ""
    backend: str = ""
    board: str = ""
    agent_version: str = ""
    throughput_per_s: float | None = None
    """Of all pipelines together; latencies are those of the slowest."""
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    metrics: Mapping[str, float] = {}


class FleetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All devices and the server's own state; broker fields are None when read from the store alone."""

    now_ms: int
    devices: tuple[DeviceSummary, ...]
    records: int
    duplicates: int
    malformed: int
    unknown: int = 0
    broker_url: str | None = None
    broker_connected: bool | None = None
    trouble: tuple[str, ...] = ()

    def count(self, condition: Condition) -> int:
        """How many devices are in this condition."""
        return sum(device.condition is condition for device in self.devices)


def judge(row: DeviceRow, *, now_ms: int, silent_after_s: float) -> tuple[Condition, int]:
    """A device's condition and since when it holds."""
    heard_since_told = row.last_seen_ms > row.state_since_ms + BACK_AFTER_MS
    if row.state is DeviceState.STOPPED and not heard_since_told:
        return Condition.STOPPED, row.state_since_ms
    if row.state is DeviceState.OFFLINE and not heard_since_told:
        return Condition.OFFLINE, row.state_since_ms
    last_sign_ms = row.last_seen_ms or row.state_since_ms or row.first_seen_ms
    silent = now_ms - last_sign_ms > silent_after_s * 1000
    return (Condition.SILENT if silent else Condition.ONLINE), last_sign_ms


def throttle_words(bits: float | None) -> tuple[str, ...] | None:
    """What a throttling bitmask says; () for nothing, None for not told."""
    if bits is None:
        return None
    return tuple(word for place, word in enumerate(THROTTLE_BITS) if int(bits) >> place & 1)


def summarise_device(row: DeviceRow, *, now_ms: int, silent_after_s: float) -> DeviceSummary:
    """One row of the store, judged and in the order people read it."""
    condition, since_ms = judge(row, now_ms=now_ms, silent_after_s=silent_after_s)
    meta, model, metrics = row.meta, row.meta.model if row.meta else None, row.metrics
    return DeviceSummary(
        group=row.address.group,
        device=row.address.device,
        condition=condition,
        since_ms=since_ms,
        last_seen_ms=row.last_seen_ms,
        reason=row.state_reason if condition in (Condition.OFFLINE, Condition.STOPPED) else "",
        model=_model_names(meta) if meta else "",
        precision=model.precision if model else "",
        backend=model.backend if model else "",
        board=meta.board if meta else "",
        agent_version=meta.agent_version if meta else "",
        throughput_per_s=_over_pipelines(metrics, "model.throughput_per_s", sum),
        latency_p50_ms=_over_pipelines(metrics, "model.latency_p50_ms", max),
        latency_p95_ms=_over_pipelines(metrics, "model.latency_p95_ms", max),
        temperature_c=metrics.get("board.temperature_c"),
        throttled=throttle_words(metrics.get("board.throttled_now")),
        metrics=metrics,
    )


def _over_pipelines(
    metrics: Mapping[str, float], name: str, join: Callable[[Iterable[float]], float]
) -> float | None:
    """One number for a device with several models: the slowest's latency, everything's throughput."""
    found = [value for key, value in metrics.items() if split_name(key)[1] == name]
    return join(found) if found else None


def _model_names(meta: Meta) -> str:
    several = dict.fromkeys(model.name for model in meta.models.values())
    return ", ".join(several) if several else (meta.model.name if meta.model else "")


class Judged:
    """Summaries of an earlier reading, kept for devices that are the same."""

    def __init__(self) -> None:
        self._kept: dict[DeviceAddress, tuple[DeviceRow, DeviceSummary]] = {}

    def of(
        self,
        rows: Sequence[DeviceRow],
        *,
        now_ms: int,
        silent_after_s: float,
        silences: Mapping[DeviceAddress, float] = MappingProxyType({}),
    ) -> tuple[DeviceSummary, ...]:
        """Every device; an unchanged one is the same object as before. ``silences`` are of single devices."""
        kept = {}
        for row in rows:
            silence_s = silences.get(row.address, silent_after_s)
            earlier = self._kept.get(row.address)
            if earlier is None or earlier[0] is not row or _is_other(earlier[1], row, now_ms, silence_s):
                made = summarise_device(row, now_ms=now_ms, silent_after_s=silence_s)
                earlier = (row, made)
            kept[row.address] = earlier
        self._kept = kept
        return tuple(summary for _, summary in kept.values())


def _is_other(summary: DeviceSummary, row: DeviceRow, now_ms: int, silent_after_s: float) -> bool:
    found = judge(row, now_ms=now_ms, silent_after_s=silent_after_s)
    return (summary.condition, summary.since_ms) != found


def summarise(
    rows: Sequence[DeviceRow],
    counts: Mapping[Counter, int],
    *,
    now_ms: int,
    silent_after_s: float = DEFAULT_SILENT_AFTER_S,
    broker_url: str | None = None,
    broker_connected: bool | None = None,
    trouble: tuple[str, ...] = (),
    expected_silence_s: Mapping[DeviceAddress, float] | None = None,
    judged: Judged | None = None,
) -> FleetSummary:
    """Everything that the overview shows; with ``judged`` only what changed is worked out anew.

    ``expected_silence_s`` has devices with a silence of their own.
    """
    silences = expected_silence_s or {}
    return FleetSummary(
        now_ms=now_ms,
        devices=(judged or Judged()).of(
            rows, now_ms=now_ms, silent_after_s=silent_after_s, silences=silences
        ),
        records=counts[Counter.RECORDS],
        duplicates=counts[Counter.DUPLICATES],
        malformed=counts[Counter.MALFORMED],
        unknown=counts[Counter.UNKNOWN],
        broker_url=broker_url,
        broker_connected=broker_connected,
        trouble=trouble,
    )
