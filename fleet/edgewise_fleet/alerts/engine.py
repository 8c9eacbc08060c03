"""Judges the fleet by the rules: what is raised, what is cleared. Pure: no clock, no store, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewise_fleet import wording
from edgewise_fleet.alerts.rules import AbsenceRule, AnyRule, EventRule, MetricRule, RiseRule, ServerRule
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_messages import DeviceAddress, Event
from edgewise_messages.metrics import PIPELINE_SEPARATOR, split_name


@dataclass(frozen=True, order=True)
class Target:
    """What an alert is about: a device, one pipeline of it, or ("", "") the server itself."""

    group: str
    device: str
    pipeline: str = ""

    def __str__(self) -> str:
        if not self.device:
            return "fleet server"
        return f"{self.group}/{self.device}" + (f" ({self.pipeline})" if self.pipeline else "")


@dataclass(frozen=True)
class Alert:
    """One alert, from its raising on; ``cleared_ms`` is 0 while it holds."""

    rule: str
    target: Target
    severity: str
    since_ms: int
    """When what it says began to hold; it was raised ``for_s`` later."""
    raised_ms: int
    cause: str
    remedy: str
    cleared_ms: int = 0

    @property
    def is_active(self) -> bool:
        """Whether it still holds."""
        return not self.cleared_ms


@dataclass(frozen=True)
class Heard:
    """One event of one device, and when the device says it happened."""

    address: DeviceAddress
    event: Event
    at_ms: int


@dataclass(frozen=True)
class Observed:
    """What the engine judges at one moment."""

    now_ms: int
    devices: Sequence[DeviceSummary]
    events: Sequence[Heard] = ()
    """Those that arrived since the moment before."""
    trouble: Sequence[str] = ()


@dataclass(frozen=True)
class _Finding:
    """What one rule says of one target just now; None for ``holds`` means between the limits."""

    holds: bool | None
    fields: Mapping[str, str]
    remedy: str = ""
    at_ms: int = 0


@dataclass
class _Track:
    """What must be remembered of one rule and target between two moments."""

    bad_since_ms: int = 0
    good_since_ms: int = 0
    alert: Alert | None = None
    event_ms: int = 0
    """Time of the latest event that counted: an older one that is replayed later says nothing new."""
    extends_ms: int = 0


class Engine:
    """Remembers per rule and target; `judge` returns what changed."""

    def __init__(self, rules: Sequence[AnyRule], active: Iterable[Alert] = ()) -> None:
        """``active`` are alerts of an earlier run; one whose rule is gone is cleared at the first judging."""
        self._rules = {rule.name: rule for rule in rules}
        self._tracks: dict[tuple[str, Target], _Track] = {}
        self._counters: dict[tuple[str, Target], float] = {}
        self._orphans: list[Alert] = []
        self._pipelines = _Pipelines()
        for alert in active:
            if alert.rule in self._rules:
                track = _Track(alert.since_ms, 0, alert, alert.since_ms, alert.since_ms)
                self._tracks[alert.rule, alert.target] = track
            else:
                self._orphans.append(alert)

    def judge(self, seen: Observed) -> tuple[Alert, ...]:
        """The alerts that were raised (active) or cleared at this moment."""
        changed = [replace(alert, cleared_ms=seen.now_ms) for alert in self._orphans]
        self._orphans = []
        for rule in self._rules.values():
            for target, finding in self._findings(rule, seen):
                change = self._move(rule, target, finding, seen.now_ms)
                if change is not None:
                    changed.append(change)
        changed += self._expire(seen)
        return tuple(changed)

    def active(self) -> tuple[Alert, ...]:
        """What holds now."""
        return tuple(track.alert for track in self._tracks.values() if track.alert is not None)

    def _findings(self, rule: AnyRule, seen: Observed) -> Iterable[tuple[Target, _Finding]]:
        match rule:
            case MetricRule():
                return _metric_findings(rule, seen.devices, self._pipelines)
            case RiseRule():
                return self._rise_findings(rule, seen.devices)
            case AbsenceRule():
                return _absence_findings(rule, seen)
            case EventRule():
                return _event_findings(rule, seen.events)
            case ServerRule():
                said = "; ".join(seen.trouble)
                return ((Target("", ""), _Finding(bool(said), {"message": said})),)

    def _rise_findings(
        self, rule: RiseRule, devices: Sequence[DeviceSummary]
    ) -> Iterable[tuple[Target, _Finding]]:
        for target, value in _values(rule, devices, self._pipelines):
            earlier = self._counters.get((rule.name, target))
            self._counters[rule.name, target] = value
            # Less than before means that the device began anew; what it counted since then is the rise.
            grown = 0.0 if earlier is None else value - earlier if value >= earlier else value
            yield target, _Finding(grown >= rule.by, {"value": _number(grown), "limit": _number(rule.by)})

    def _move(self, rule: AnyRule, target: Target, finding: _Finding, now_ms: int) -> Alert | None:
        track = self._tracks.get((rule.name, target))
        if track is None:
            if finding.holds is not True:
                return None
            track = self._tracks[rule.name, target] = _Track()
        if finding.at_ms:
            if finding.at_ms < track.event_ms:
                return None
            track.event_ms = track.extends_ms = finding.at_ms
        if finding.holds:
            return self._hold(rule, target, track, finding, now_ms)
        if track.alert is None:
            track.bad_since_ms = 0
            if not isinstance(rule, EventRule):
                del self._tracks[rule.name, target]
            return None
        if finding.holds is None:
            track.good_since_ms = 0
            return None
        track.good_since_ms = track.good_since_ms or now_ms
        if now_ms - track.good_since_ms < rule.clear_for_s * 1000:
            return None
        return self._clear(rule.name, target, track, now_ms)

    def _hold(
        self, rule: AnyRule, target: Target, track: _Track, finding: _Finding, now_ms: int
    ) -> Alert | None:
        track.good_since_ms = 0
        track.bad_since_ms = track.bad_since_ms or finding.at_ms or now_ms
        if track.alert is not None or now_ms - track.bad_since_ms < rule.for_s * 1000:
            return None
        fields = {
            "group": target.group,
            "device": target.device,
            "pipeline": target.pipeline,
            "value": "",
            "limit": "",
            "message": "",
            "duration": wording.age(track.bad_since_ms, now_ms),
            **finding.fields,
        }
        track.alert = Alert(
            rule=rule.name,
            target=target,
            severity=rule.severity,
            since_ms=track.bad_since_ms,
            raised_ms=now_ms,
            cause=rule.cause.format_map(fields).strip("; ") or _default_cause(rule, finding),
            remedy=finding.remedy or rule.remedy.format_map(fields),
        )
        return track.alert

    def _clear(self, rule: str, target: Target, track: _Track, now_ms: int) -> Alert:
        assert track.alert is not None
        cleared = replace(track.alert, cleared_ms=now_ms)
        self._tracks[rule, target] = _Track(event_ms=track.event_ms)
        if not track.event_ms:
            del self._tracks[rule, target]
        return cleared

    def _expire(self, seen: Observed) -> list[Alert]:
        """Event alerts whose time is over, and alerts about devices that the fleet no longer knows."""
        known = {(device.group, device.device) for device in seen.devices} | {("", "")}
        over = []
        for (name, target), track in list(self._tracks.items()):
            if track.alert is None:
                continue
            rule = self._rules[name]
            lasts_s = rule.clear_after_s if isinstance(rule, EventRule) else 0.0
            is_over = lasts_s and seen.now_ms - track.extends_ms >= lasts_s * 1000
            if is_over or (target.group, target.device) not in known:
                over.append(self._clear(name, target, track, seen.now_ms))
        return over


class _Pipelines:
    """The pipelines of each device beside the main one, worked out once for as long as a device is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[DeviceSummary, tuple[str, ...]]] = {}

    def of(self, device: DeviceSummary) -> tuple[str, ...]:
        """In the order in which its metrics name them."""
        key = (device.group, device.device)
        known = self._known.get(key)
        if known is None or known[0] is not device:
            names = [split_name(name)[0] for name in device.metrics if PIPELINE_SEPARATOR in name]
            known = self._known[key] = (device, tuple(dict.fromkeys(names)))
        return known[1]


def _values(
    rule: MetricRule | RiseRule, devices: Sequence[DeviceSummary], pipelines: _Pipelines
) -> Iterable[tuple[Target, float]]:
    """The metric of every pipeline of every watched device that is online: others' values are old."""
    for device in devices:
        if device.condition is not Condition.ONLINE or not rule.watches(device.group, device.device):
            continue
        if rule.metric in device.metrics:
            yield Target(device.group, device.device), device.metrics[rule.metric]
        for pipeline in pipelines.of(device):
            key = f"{pipeline}{PIPELINE_SEPARATOR}{rule.metric}"
            if key in device.metrics:
                yield Target(device.group, device.device, pipeline), device.metrics[key]


def _metric_findings(
    rule: MetricRule, devices: Sequence[DeviceSummary], pipelines: _Pipelines
) -> Iterable[tuple[Target, _Finding]]:
    for target, value in _values(rule, devices, pipelines):
        limit = next(one for one in (rule.above, rule.below, rule.bits) if one is not None)
        holds = _holds(rule, value)
        if holds is False:
            yield target, _NOT
            continue
        yield target, _Finding(holds, {"value": _number(value), "limit": _number(limit)})


_NOT = _Finding(False, {})


def _holds(rule: MetricRule, value: float) -> bool | None:
    if rule.bits is not None:
        return bool(int(value) & rule.bits)
    if rule.above is not None:
        if value > rule.above:
            return True
        return False if rule.clear_at is None or value <= rule.clear_at else None
    assert rule.below is not None
    if value < rule.below:
        return True
    return False if rule.clear_at is None or value >= rule.clear_at else None


def _absence_findings(rule: AbsenceRule, seen: Observed) -> Iterable[tuple[Target, _Finding]]:
    for device in seen.devices:
        if not rule.watches(device.group, device.device):
            continue
        away = device.condition in (Condition.SILENT, Condition.OFFLINE)
        if not away:
            yield Target(device.group, device.device), _NOT
            continue
        heard = wording.age(device.last_seen_ms, seen.now_ms)
        lost = "the broker lost its connection" if device.condition is Condition.OFFLINE else ""
        said = [lost or "connected, by its own word, but says nothing", f"last heard {heard} ago"]
        if device.reason and device.reason not in lost:
            said.insert(1, device.reason)
        fields = {"message": ", ".join(said), "value": device.condition.value}
        yield Target(device.group, device.device), _Finding(True, fields)


def _event_findings(rule: EventRule, events: Sequence[Heard]) -> Iterable[tuple[Target, _Finding]]:
    for heard in sorted(events, key=lambda one: one.at_ms):
        name, data = heard.event.name, heard.event.data
        raises = name in rule.events
        if not raises and name not in rule.clear_events:
            continue
        address = heard.address
        if not rule.watches(address.group, address.device):
            continue
        pipeline = data.get("pipeline")
        target = Target(address.group, address.device, pipeline if isinstance(pipeline, str) else "")
        remedy = data.get("remedy")
        fields = {"message": heard.event.message or name, "value": name}
        yield target, _Finding(raises, fields, remedy if isinstance(remedy, str) else "", heard.at_ms)


def _default_cause(rule: AnyRule, finding: _Finding) -> str:
    if isinstance(rule, MetricRule | RiseRule):
        return f"{rule.metric} is {finding.fields['value']}, limit {finding.fields['limit']}"
    return finding.fields.get("message", rule.name)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
