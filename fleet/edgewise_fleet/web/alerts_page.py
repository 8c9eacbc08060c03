"""Alerts: what holds, what is over, what is silenced; silencing for those who may."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from fastapi import Request
from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.access import Caller, Role
from edgewise_fleet.alerts import KeptAlert, Silence
from edgewise_fleet.alerts.book import KeptSilence
from edgewise_fleet.web.alert_list import AlertList
from edgewise_fleet.web.look import framed, table, text
from edgewise_fleet.web.panel import Panel

REFRESH_S = 2.0
SHOWN_ACTIVE, SHOWN_OVER = 200, 50
HOURS = {1: "1 hour", 8: "8 hours", 24: "1 day", 168: "1 week"}


@dataclass(frozen=True)
class _Reading:
    active: tuple[KeptAlert, ...]
    over: tuple[KeptAlert, ...]
    silences: tuple[KeptSilence, ...]
    waiting: tuple[int, str]


def add_alerts_page(panel: Panel) -> None:
    """Serve /alerts."""

    @ui.page("/alerts", title="Alerts · Edgewise fleet")
    async def alerts_page(request: Request) -> None:
        page = _AlertsPage(panel, request.state.caller)
        page.show(await asyncio.to_thread(_read, panel))

        async def refresh() -> None:
            page.show(await asyncio.to_thread(_read, panel))

        page.on_change = refresh
        ui.timer(REFRESH_S, refresh)


def _read(panel: Panel) -> _Reading:
    now_ms = time.time_ns() // 1_000_000
    return _Reading(
        panel.book.active(),
        panel.book.history(limit=SHOWN_OVER),
        panel.book.silences(now_ms),
        panel.book.waiting(),
    )


class _AlertsPage:
    def __init__(self, panel: Panel, caller: Caller) -> None:
        self._panel, self._caller = panel, caller
        self.on_change = _nothing
        self._silences_shown: object = None
        with framed(caller, "/alerts"):
            text("h1", "Alerts")
            self._trouble = text("div", "", "trouble").props("role=alert")
            self._active = AlertList("Raised", "none: no rule holds for any device")
            self._more = text("p", "", "quiet")
            with ui.element("section").classes("card"):
                text("h2", "Silences")
                self._silences = ui.element("ul").classes("events")
                if caller.role.may(Role.OPERATOR):
                    self._form()
            self._over = AlertList("Over", "none yet")
            self._rules()

    def show(self, reading: _Reading) -> None:
        self._active.show(reading.active[:SHOWN_ACTIVE])
        unseen = len(reading.active) - SHOWN_ACTIVE
        self._more.text = f"and {unseen:,} more; the API lists all: /api/v1/alerts" if unseen > 0 else ""
        self._more.set_visibility(unseen > 0)
        self._over.show(reading.over)
        self._show_silences(reading.silences)
        count, why = reading.waiting
        said = [self._panel.watch.trouble]
        said += [f"{count} notifications wait to be delivered: {why}"] if why else []
        self._trouble.text = " · ".join(one for one in said if one)
        self._trouble.set_visibility(bool(self._trouble.text))

    def _show_silences(self, silences: tuple[KeptSilence, ...]) -> None:
        if silences == self._silences_shown:
            return
        self._silences_shown = silences
        self._silences.clear()
        with self._silences:
            configured = self._panel.rules.silence
            if not silences and not configured:
                text("li", "none: every alert is notified", "quiet")
            for silence in configured:
                text("li", f"{_say(silence)} · from the file of rules")
            for kept in silences:
                with ui.element("li").classes("spread"):
                    text("span", f"{_say(kept.silence)} · by {kept.made_by}")
                    if self._caller.role.may(Role.OPERATOR):
                        end = text("button", "End").props('type="button"')
                        end.props["aria-label"] = f"End the silence: {_say(kept.silence)}"
                        end.on("click", lambda _, number=kept.number: self._end(number))

    def _form(self) -> None:
        with ui.element("div").classes("top silence-form"):
            rules = {"": "every rule", **{rule.name: rule.name for rule in self._panel.rules.rule}}
            self._rule = ui.select(rules, value="", label="Rule").props("dense outlined options-dense")
            self._device = ui.input("Device (all without)").props("dense outlined")
            self._hours = ui.select(HOURS, value=1, label="For").props("dense outlined options-dense")
            self._reason = ui.input("Reason").props("dense outlined")
            ui.button("Silence", on_click=self._add).props("no-caps unelevated")

    async def _add(self) -> None:
        silence = Silence(
            reason=str(self._reason.value or "").strip()[:200],
            until_ms=time.time_ns() // 1_000_000 + int(self._hours.value) * 3_600_000,
            rules=(str(self._rule.value),) if self._rule.value else (),
            devices=(str(self._device.value).strip(),) if str(self._device.value or "").strip() else (),
        )
        if await asyncio.to_thread(self._may):
            await asyncio.to_thread(self._panel.book.add_silence, silence, made_by=self._caller.name)
            await asyncio.to_thread(self._log, "silence made", _say(silence))
            await self.on_change()

    async def _end(self, number: int) -> None:
        if await asyncio.to_thread(self._may):
            await asyncio.to_thread(self._panel.book.end_silence, number)
            await asyncio.to_thread(self._log, "silence ended", str(number))
            await self.on_change()

    def _may(self) -> bool:
        return self._panel.gate.still(self._caller, Role.OPERATOR)

    def _log(self, what: str, detail: str) -> None:
        who, address = self._caller.name, self._caller.address
        self._panel.gate.audit.add(who=who, address=address, what=what, detail=detail)

    def _rules(self) -> None:
        with ui.element("section").classes("card"):
            text("h2", "Rules")
            body = table("Rules", ("Rule", "Severity", "Watches", "What to do"))
            with body:
                for rule in self._panel.rules.rule:
                    watched = getattr(rule, "metric", None) or ", ".join(getattr(rule, "events", ()))
                    kind = {"absence": "silent or offline", "server": "this server"}
                    named = watched or kind.get(str(rule.__struct_config__.tag), "")
                    with ui.element("tr"):
                        for cell in (rule.name, rule.severity, named, rule.remedy):
                            text("td", cell)


def _say(silence: Silence) -> str:
    about = ", ".join((*silence.rules, *silence.groups, *silence.devices)) or "everything"
    when = [f"{silence.begin} to {silence.end}"] if silence.begin else []
    when += [" ".join(silence.days)] if silence.days else []
    when += [f"until {wording.local_time(silence.until_ms)}"] if silence.until_ms else []
    return " · ".join(part for part in (about, ", ".join(when), silence.reason) if part)


async def _nothing() -> None:
    """Until the page has its refresh."""
