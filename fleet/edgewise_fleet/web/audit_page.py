"""The audit log, for admins."""

from __future__ import annotations

import asyncio

from fastapi import Request
from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.access import Role
from edgewise_fleet.web.guard import needs
from edgewise_fleet.web.look import framed, table, text
from edgewise_fleet.web.panel import Panel

SHOWN = 200


def add_audit_page(panel: Panel) -> None:
    """Serve /audit."""

    @ui.page("/audit", title="Audit · Edgewise fleet")
    async def audit_page(request: Request) -> None:
        with framed(request.state.caller, "/audit"):
            text("h1", "Audit log")
            if not needs(request.state.caller, Role.ADMIN):
                text("p", "Only admins read it.").props('role="alert"')
                return
            entries = await asyncio.to_thread(panel.gate.audit.latest, SHOWN)
            with ui.element("section").classes("card"):
                body = table("Audit log", ("When", "Who", "From", "What", "Detail"))
                with body:
                    for entry in entries:
                        with ui.element("tr"):
                            for cell in (
                                wording.local_time(entry.at_ms),
                                entry.who,
                                entry.address,
                                entry.what,
                                entry.detail,
                            ):
                                text("td", cell)
