"""Alerts as a list: severity, what it is about, cause and remedy."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.alerts import KeptAlert
from edgewise_fleet.web.look import text

MARKS = {"info": "i", "warning": "!", "critical": "✕"}


class AlertList:
    """A card that is there only while it has something to say, unless ``nothing`` is given."""

    def __init__(self, title: str, nothing: str = "") -> None:
        self._shown: tuple[KeptAlert, ...] | None = None
        self._nothing = nothing
        with ui.element("section").classes("card") as self._card:
            text("h2", title)
            self._list = ui.element("ul").classes("alerts")
        self._list.props["aria-label"] = title

    def show(self, alerts: Sequence[KeptAlert]) -> None:
        """Show these; what is the same as before stays untouched."""
        found = tuple(alerts)
        if found == self._shown:
            return
        self._shown = found
        self._card.set_visibility(bool(found or self._nothing))
        self._list.clear()
        with self._list:
            if not found:
                text("li", self._nothing, "quiet")
            for kept in found:
                _alert_line(kept)


def _alert_line(kept: KeptAlert) -> None:
    alert, target = kept.alert, kept.alert.target
    with ui.element("li"):
        mark = text("span", MARKS[alert.severity], f"mark mark-{alert.severity}")
        mark.props["role"] = "img"
        mark.props["aria-label"] = alert.severity
        with ui.element("div").classes("text"):
            with ui.element("div"):
                if target.device:
                    ui.link(str(target), f"/device/{target.group}/{target.device}").classes("about")
                else:
                    text("span", str(target), "about")
                over = f", over {wording.local_time(alert.cleared_ms)}" if alert.cleared_ms else ""
                text("span", f" {alert.rule} · since {wording.local_time(alert.since_ms)}{over}", "quiet")
            text("div", alert.cause)
            if not alert.cleared_ms:
                text("div", f"What to do: {alert.remedy}", "quiet")
