"""Silence windows: when, and about what, nobody is to be told. Alerts are recorded all the same."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated

import msgspec

from edgewise_fleet.errors import BadRules

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d\Z")]


class Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One window; every condition that is given must hold."""

    reason: str = ""
    """Shown on the page."""
    begin: Clock | None = None
    """Time of day of the server's zone, 22:00; with end."""
    end: Clock | None = None
    """Time of day at which it ends; earlier than begin means the next day."""
    days: tuple[str, ...] = ()
    """mon to sun, the day on which it begins; every day without."""
    since_ms: int | None = None
    """A single window instead: from this moment, milliseconds since 1970."""
    until_ms: int | None = None
    """To this moment."""
    rules: tuple[str, ...] = ()
    """Only these rules; all without."""
    groups: tuple[str, ...] = ()
    """Only these groups; all without."""
    devices: tuple[str, ...] = ()
    """Only these devices; all without."""

    def covers(self, *, rule: str, group: str, device: str, now_ms: int) -> bool:
        """Whether an alert of this rule and device is silenced now."""
        about = (
            (not self.rules or rule in self.rules)
            and (not self.groups or group in self.groups)
            and (not self.devices or device in self.devices)
        )
        return about and self.holds(now_ms)

    def holds(self, now_ms: int) -> bool:
        """Whether the window is open now."""
        if self.since_ms is not None and now_ms < self.since_ms:
            return False
        if self.until_ms is not None and now_ms >= self.until_ms:
            return False
        return self._of_today(datetime.fromtimestamp(now_ms / 1000).astimezone())

    def _of_today(self, now: datetime) -> bool:
        today = DAYS[now.weekday()]
        if self.begin is None or self.end is None:
            return not self.days or today in self.days
        begin, end, clock = time.fromisoformat(self.begin), time.fromisoformat(self.end), now.time()
        if begin <= end:
            return begin <= clock < end and (not self.days or today in self.days)
        # Over midnight: after midnight the window is that of the day before.
        day = today if clock >= begin else DAYS[now.weekday() - 1]
        return (clock >= begin or clock < end) and (not self.days or day in self.days)


def check_silence(silence: Silence, where: str) -> None:
    """Raise BadRules for a window that can never, or always, hold by mistake."""
    if (silence.begin is None) != (silence.end is None):
        raise BadRules(f"{where}: silence: begin and end go together; give both or none")
    for day in silence.days:
        if day not in DAYS:
            raise BadRules(f"{where}: silence: days: got {day!r}, expected {', '.join(DAYS)}")
    bounds = (silence.begin, silence.since_ms, silence.until_ms)
    if not silence.days and all(bound is None for bound in bounds):
        raise BadRules(f"{where}: silence: would hold for ever; give begin and end, days, or until_ms")
