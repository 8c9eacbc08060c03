"""A grouped notification in words and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgewise_fleet import wording
from edgewise_fleet.alerts.book import KeptAlert
from edgewise_fleet.alerts.rules import SEVERITIES

SHOWN = 20
"""Alerts spelled out in one notification; the others are counted."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as receivers get it."""

    id: int
    state: str
    """raised or cleared."""
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


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notification: what a webhook gets."""

    version: int = 1
    title: str
    text: str
    severity: str
    alerts: tuple[Told, ...]


def told(kept: KeptAlert) -> Told:
    """An alert as the API and webhooks tell it."""
    alert = kept.alert
    return Told(
        id=kept.number,
        state="raised" if alert.is_active else "cleared",
        rule=alert.rule,
        severity=alert.severity,
        group=alert.target.group,
        device=alert.target.device,
        pipeline=alert.target.pipeline,
        since_ms=alert.since_ms,
        raised_ms=alert.raised_ms,
        cleared_ms=alert.cleared_ms,
        cause=alert.cause,
        remedy=alert.remedy,
    )


def make_notice(alerts: Sequence[KeptAlert]) -> Notice:
    """One notification for alerts that changed together."""
    raised = [one for one in alerts if one.alert.is_active]
    cleared = [one for one in alerts if not one.alert.is_active]
    worst = max((one.alert.severity for one in (raised or alerts)), key=SEVERITIES.index)
    lines = []
    for title, some in (("Raised", raised), ("Cleared", cleared)):
        for rule, of_rule in _by_rule(some).items():
            lines.append(f"{title}: {rule} ({of_rule[0].alert.severity}), {_devices(of_rule)}")
            lines += [_line(one) for one in of_rule[:SHOWN]]
            if len(of_rule) > SHOWN:
                lines.append(f"  and {len(of_rule) - SHOWN} more")
            if title == "Raised" and len({one.alert.remedy for one in of_rule}) == 1:
                lines.append(f"  What to do: {of_rule[0].alert.remedy}")
    return Notice(
        title=_title(raised, cleared),
        text="\n".join(lines),
        severity=worst,
        alerts=tuple(told(one) for one in alerts),
    )


def _title(raised: Sequence[KeptAlert], cleared: Sequence[KeptAlert]) -> str:
    if len(raised) == 1 and not cleared:
        return f"{raised[0].alert.target}: {raised[0].alert.rule}"
    said = [f"{len(raised)} raised"] if raised else []
    said += [f"{len(cleared)} cleared"] if cleared else []
    return f"Fleet alerts: {', '.join(said)}"


def _by_rule(alerts: Sequence[KeptAlert]) -> dict[str, list[KeptAlert]]:
    found: dict[str, list[KeptAlert]] = {}
    for one in alerts:
        found.setdefault(one.alert.rule, []).append(one)
    return found


def _devices(alerts: Sequence[KeptAlert]) -> str:
    count = len({(one.alert.target.group, one.alert.target.device) for one in alerts})
    return f"{count} device{'s' if count != 1 else ''}" if alerts[0].alert.target.device else "the server"


def _line(kept: KeptAlert) -> str:
    alert = kept.alert
    when = f"since {wording.local_time(alert.since_ms)}"
    if not alert.is_active:
        return f"  {alert.target}: over after {wording.age(alert.since_ms, alert.cleared_ms)}"
    return f"  {alert.target}, {when}: {alert.cause}"
