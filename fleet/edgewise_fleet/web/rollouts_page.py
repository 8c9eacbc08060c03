"""Rollouts: how far each is, why it stands, and what can be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import Request
from nicegui import ui

from edgewise_fleet.access import Caller, Role
from edgewise_fleet.errors import FleetError
from edgewise_fleet.rollouts_view import RolloutLine
from edgewise_fleet.web.look import framed, text
from edgewise_fleet.web.panel import Panel

REFRESH_S = 2.0


def add_rollouts_page(panel: Panel) -> None:
    """Serve /rollouts."""

    @ui.page("/rollouts", title="Rollouts · Edgewise fleet")
    async def rollouts_page(request: Request) -> None:
        page = _RolloutsPage(panel, request.state.caller)
        await page.refresh()
        ui.timer(REFRESH_S, page.refresh)


class _RolloutsPage:
    def __init__(self, panel: Panel, caller: Caller) -> None:
        self._panel, self._caller = panel, caller
        self._shown: Sequence[RolloutLine] | None = None
        with framed(caller, "/rollouts"):
            text("h1", "Rollouts")
            self._said = text("p", "", "quiet").props('role="status"')
            self._list = ui.element("div").classes("stack")

    async def refresh(self) -> None:
        """Show what changed."""
        lines = tuple(await asyncio.to_thread(self._panel.rollouts.lines))
        if lines == self._shown:
            return
        self._shown = lines
        self._list.clear()
        with self._list:
            if not lines:
                text("p", "No rollout yet: a model reaches every device that follows its name.", "quiet")
            for line in lines:
                self._card(line)

    def _card(self, line: RolloutLine) -> None:
        with ui.element("section").classes("card"):
            with ui.element("div").classes("top"):
                text("h2", line.model)
                text("span", line.phase, "chip")
                text("span", f"stage {line.stage}", "quiet")
                ui.element("div").classes("grow")
                if self._caller.role.may(Role.OPERATOR):
                    for action in line.actions:
                        button = text("button", action.capitalize(), "act").props('type="button"')
                        button.props["aria-label"] = f"{action.capitalize()} the rollout of {line.model}"
                        button.on("click", lambda _, key=line.key, what=action: self._act(key, what))
            if line.reason:
                text("p", line.reason)
            text("p", ", ".join(f"{count:,} {name}" for name, count in line.counts), "quiet")

    async def _act(self, key: str, action: str) -> None:
        self._said.text = await asyncio.to_thread(self._do, key, action)
        await self.refresh()

    def _do(self, key: str, action: str) -> str:
        gate, caller = self._panel.gate, self._caller
        if not gate.still(caller, Role.OPERATOR):
            return "You are logged out, or may no longer do this."
        try:
            said = self._panel.rollouts.act(key, action, who=caller.name)
        except FleetError as error:
            said = f"not done: {error}"
        gate.audit.add(
            who=caller.name, address=caller.address, what=f"rollout: {action}", detail=f"{key}: {said}"
        )
        return said
