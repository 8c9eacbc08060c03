"""Models: where each runs and how it does there."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.models_view import ModelUse
from edgewise_fleet.web.look import framed, table, text
from edgewise_fleet.web.panel import Panel
from edgewise_messages import Promise

REFRESH_S = 5.0
HEADS = (
    "Model",
    "Digest",
    "Precision",
    "Converted for",
    "Devices",
    "Online",
    "Accuracy promised",
    "p50, ms",
    "Worst p95, ms",
    "Slower than promised",
    "Confidence (at conversion)",
    "Drifting",
)


_OBSERVED = (
    "What a model gets right on the devices nobody can say without labels; that it is less sure than at conversion, "
    "or that what it sees has drifted, are the signs."
)


def add_models_page(panel: Panel) -> None:
    """Serve /models."""

    @ui.page("/models", title="Models · Edgewise fleet")
    async def models_page(request: Request) -> None:
        shown: list[object] = [None]
        with framed(request.state.caller, "/models"):
            text("h1", "Models")
            text(
                "p", f"p50 and confidence are medians over the devices that are online. {_OBSERVED}", "quiet"
            )
            with ui.element("section").classes("card"):
                body = table("Models", HEADS)

        async def refresh() -> None:
            uses = await asyncio.to_thread(panel.view.models)
            if uses != shown[0]:
                shown[0] = uses
                _fill(body, uses)

        await refresh()
        ui.timer(REFRESH_S, refresh)


def _fill(body: ui.element, uses: tuple[ModelUse, ...]) -> None:
    body.clear()
    with body:
        if not uses:
            with ui.element("tr"):
                text("td", "No device has told which model it runs.", "quiet").props(f"colspan={len(HEADS)}")
        for use in uses:
            with ui.element("tr"):
                with ui.element("td"):
                    ui.link(use.name, f"/?{urlencode({'find': use.name})}")
                text("td", use.sha256[:12] or wording.NOT_TOLD, "mono").props["title"] = use.sha256
                for cell in (use.precision, use.target):
                    text("td", cell or wording.NOT_TOLD)
                text("td", f"{len(use.devices):,}", "right")
                text("td", f"{use.online:,}", "right")
                text("td", _accuracy(use.promise))
                for value in (use.latency_p50_ms, use.latency_p95_ms):
                    text("td", wording.number(value), "right")
                text("td", f"{use.slower:,}", "right hot" if use.slower else "right")
                text("td", _confidence(use), "right")
                text("td", f"{use.drifting:,}", "right hot" if use.drifting else "right")


def _accuracy(promise: Promise | None) -> str:
    if promise is None or (promise.accuracy is None and promise.agreement is None):
        return wording.NOT_TOLD
    if promise.accuracy is not None:
        return f"{promise.accuracy:.1%} right".replace("%", " %")
    return f"{promise.agreement:.1%} as the original".replace("%", " %")


def _confidence(use: ModelUse) -> str:
    promised = use.promise.confidence if use.promise else None
    beside = f" ({promised:.2f})" if promised is not None else ""
    return f"{wording.number(use.confidence, digits=2)}{beside}"
