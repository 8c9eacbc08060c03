"""What is known of a device just now, as far as a rollout asks: from the store's rows, and from its responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewise_fleet.rollouts.state import Before
from edgewise_fleet.store import DeviceRow, EventRow
from edgewise_fleet.summary import Condition, judge
from edgewise_messages import DeviceAddress, Outcome, Response

CAPPED_OR_THROTTLED = 2 | 4
"""Bits of board.throttled_now; under-voltage and a warm board alone are not the model's doing."""
MAIN = "main"
FEW_INPUTS = 20
"""Error rates of fewer inputs say nothing."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """An update.* event."""

    at_ms: int
    name: str
    message: str
    sha256: str
    pipeline: str = ""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One device at one moment; figures are None where it never told."""

    address: DeviceAddress
    is_online: bool
    last_seen_ms: int
    sha256: str = ""
    """What it says that it runs."""
    inferences: float = 0.0
    errors: float = 0.0
    p95_ms: float | None = None
    drift_moved: float = 0.0
    is_throttled: bool = False
    expected_silence_s: float = 0.0
    events: tuple[Told, ...] = ()
    """Newest first."""
    response: Response | None = None
    """To the command that it was sent last."""

    def before(self) -> Before:
        """To be compared with later."""
        inputs = self.inferences + self.errors
        return Before(
            sha256=self.sha256,
            p95_ms=self.p95_ms,
            error_rate=self.errors / inputs if inputs >= FEW_INPUTS else 0.0,
            drift_moved=self.drift_moved,
            is_throttled=self.is_throttled,
        )

    def refused(self) -> str:
        """Why the device did not do what it was told; empty when it did, or did not answer."""
        if self.response is None or self.response.outcome is Outcome.DONE:
            return ""
        return f"{self.response.outcome}: {self.response.message}"


def observe(
    row: DeviceRow,
    *,
    now_ms: int,
    silent_after_s: float,
    pipeline: str = "",
    events: Sequence[EventRow] = (),
    response: Response | None = None,
) -> Observation:
    """One row of the store, for the pipeline in question ("" is the main one)."""
    condition, _ = judge(row, now_ms=now_ms, silent_after_s=silent_after_s)
    metrics = row.metrics
    told = tuple(one for one in map(_told, events) if one and _same(one.pipeline, pipeline))
    return Observation(
        address=row.address,
        is_online=condition is Condition.ONLINE,
        last_seen_ms=row.last_seen_ms,
        sha256=running_sha256(row, told, pipeline),
        inferences=_metric(metrics, pipeline, "model.inferences") or 0.0,
        errors=_metric(metrics, pipeline, "model.errors") or 0.0,
        p95_ms=_metric(metrics, pipeline, "model.latency_p95_ms"),
        drift_moved=_metric(metrics, pipeline, "drift.moved") or 0.0,
        is_throttled=bool(int(metrics.get("board.throttled_now", 0)) & CAPPED_OR_THROTTLED),
        expected_silence_s=silent_after_s,
        events=told,
        response=response,
    )


def running_sha256(row: DeviceRow, told: Sequence[Told], pipeline: str = "") -> str:
    """The digest that the device runs: what its meta says, or later events (``told``, newest first) do.

    An agent may send its meta only when it connects. Empty when it is not known.
    """
    meta = row.meta
    named = meta.models.get(pipeline or MAIN) if meta else None
    model = named or (meta.model if meta and _same(pipeline, "") else None)
    taken_back = set()
    for one in told:
        if one.at_ms < (meta.ts_ms if meta else 0):
            break
        if one.name == "update.rolled-back":
            taken_back.add(one.sha256)
        elif one.name == "update.switched" and one.sha256 not in taken_back:
            return one.sha256
    return model.sha256 if model and model.sha256 not in taken_back else ""


def update_events(events: Sequence[EventRow]) -> tuple[Told, ...]:
    """Those that tell of updates."""
    return tuple(one for one in map(_told, events) if one)


def _metric(metrics: Mapping[str, float], pipeline: str, name: str) -> float | None:
    return metrics.get(name if _same(pipeline, "") else f"{pipeline}/{name}")


def _same(one: str, other: str) -> bool:
    return (one or MAIN) == (other or MAIN)


def _told(row: EventRow) -> Told | None:
    event = row.event
    if not event.name.startswith("update."):
        return None
    return Told(
        at_ms=row.at_ms,
        name=event.name,
        message=event.message,
        sha256=str(event.data.get("sha256") or ""),
        pipeline=str(event.data.get("pipeline") or ""),
    )
