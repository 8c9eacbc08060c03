"""One device: what it is, how it does, what it said."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.access import Caller
from edgewise_fleet.alerts import KeptAlert
from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.models_view import main_pipeline, pipeline_metrics
from edgewise_fleet.store import DeviceRow, EventRow
from edgewise_fleet.store.base import Points
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_fleet.web.alert_list import AlertList
from edgewise_fleet.web.device_words import facts, incident_text, prediction_text, vitals
from edgewise_fleet.web.look import framed, table, text
from edgewise_fleet.web.panel import Panel
from edgewise_fleet.web.plots import (
    Chart,
    axis_start,
    chart_options,
    describe,
    metrics_of,
    of_device,
)
from edgewise_fleet.web.snapshot_card import Shots, SnapshotCard, read_shots
from edgewise_messages import DeviceAddress, Event, InvalidTopic, Severity

REFRESH_S = 2.0
SHOWN_PREDICTIONS = 12
SHOWN_EVENTS = 30
READ_EVENTS = 100
"""Among them those that name a snapshot."""
WINDOWS = {"15 min": 900, "1 h": 3600, "6 h": 21_600, "24 h": 86_400, "7 days": 604_800}
FIRST_WINDOW = "15 min"
PREDICTIONS_OFF = 'none reported; events = "all" under [report] in the agent\'s settings sends them'


@dataclass(frozen=True)
class _Reading:
    """All that one refresh of the page shows."""

    row: DeviceRow
    device: DeviceSummary
    charts: tuple[Chart, ...]
    alerts: tuple[KeptAlert, ...]
    series: Mapping[str, Points]
    predictions: tuple[EventRow, ...]
    events: tuple[EventRow, ...]
    shots: Shots | None
    now_ms: int


def add_device_page(panel: Panel) -> None:
    """Serve /device/<group>/<device>."""

    @ui.page("/device/{group}/{device}", title="Device · Edgewise fleet")
    async def device_page(request: Request, group: str, device: str) -> None:
        caller: Caller = request.state.caller
        try:
            address = DeviceAddress(group, device)
            reading = await asyncio.to_thread(_read, panel, address, FIRST_WINDOW)
        except InvalidTopic:
            reading = None
        if reading is None:
            return _unknown_device(caller, group, device)
        ui.page_title(f"{device} · Edgewise fleet")
        page = _DevicePage(panel, address, caller)
        page.show(reading)

        async def refresh() -> None:
            try:
                latest = await asyncio.to_thread(_read, panel, address, page.window)
            except StoreUnusable:
                return  # the overview says why; what is shown stays
            if latest is not None:
                page.show(latest)

        page.on_change(refresh)
        ui.timer(REFRESH_S, refresh)
        return None


def _read(panel: Panel, address: DeviceAddress, window: str) -> _Reading | None:
    view = panel.view
    found = view.device(address)
    if found is None:
        return None
    charts = of_device(found[0].metrics)
    events = view.events(address, predictions=False, limit=READ_EVENTS)
    key = (address.group, address.device)
    return _Reading(
        *found,
        charts=charts,
        alerts=tuple(
            kept for kept in panel.book.active() if (kept.alert.target.group, kept.alert.target.device) == key
        ),
        series=view.series(address, metrics_of(charts), window_s=WINDOWS[window]),
        predictions=view.events(address, predictions=True, limit=SHOWN_PREDICTIONS),
        events=events[:SHOWN_EVENTS],
        shots=None if panel.snapshots is None else read_shots(panel.snapshots, found[0], events),
        now_ms=time.time_ns() // 1_000_000,
    )


def _unknown_device(caller: Caller, group: str, device: str) -> None:
    with framed(caller):
        text("h1", f"{group}/{device} has not reported")
        ui.link("All devices", "/")


class _DevicePage:
    def __init__(self, panel: Panel, address: DeviceAddress, caller: Caller) -> None:
        with framed(caller):
            ui.link("← All devices", "/")
            with ui.element("div").classes("top"):
                text("h1", address.device)
                self._state = text("span", "", "state")
                self._said = text("span", "", "quiet")
                ui.element("div").classes("grow")
                self._windows = ui.toggle(list(WINDOWS), value=FIRST_WINDOW)
                self._windows.props('dense no-caps unelevated aria-label="Time shown in the plots"')
            self._runs = text("div", "", "quiet")
            self._alerts = AlertList("Alerts of this device")
            self._models = _ModelTable()
            self._charts = _Charts()
            desk = panel.snapshots
            self._shots = SnapshotCard(desk, panel.gate, address, caller) if desk is not None else None
            with ui.element("div").classes("plots"):
                self._predictions = _EventList("Latest predictions", PREDICTIONS_OFF, prediction_text)
                self._events = _EventList("Events", "none reported", incident_text)
            self._vitals = _FactList("Now")
            self._facts = _FactList(f"About {address.group}/{address.device}")

    @property
    def window(self) -> str:
        return str(self._windows.value)

    def on_change(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """``refresh`` is called when another window is chosen, or a snapshot asked for or deleted."""
        self._windows.on_value_change(refresh)
        if self._shots is not None:
            self._shots.on_change(refresh)

    def show(self, reading: _Reading) -> None:
        device = reading.device
        self._state.text = wording.condition(device, reading.now_ms)
        self._state.classes(replace=f"state state-{device.condition.value}")
        heard = "" if device.condition is Condition.ONLINE else device.reason
        seen = f"last seen {wording.seen(device.last_seen_ms, reading.now_ms)}"
        self._said.text = " · ".join(part for part in (heard, seen) if part)
        runs = (device.model, device.precision, device.backend, device.board)
        self._runs.text = " · ".join(part for part in runs if part)
        self._alerts.show(reading.alerts)
        self._models.show(reading)
        self._charts.show(reading, self.window)
        if self._shots is not None and reading.shots is not None:
            self._shots.show(reading.shots)
        self._predictions.show(reading.predictions)
        self._events.show(reading.events)
        self._vitals.show(vitals(device.metrics))
        self._facts.show(facts(reading.row))


class _Charts:
    """The timeline over the whole width, the others below it; one that was never told anything is not shown."""

    def __init__(self) -> None:
        self._wide = ui.element("div")
        self._grid = ui.element("div").classes("plots")
        self._drawn: dict[str, ui.echart] = {}

    def show(self, reading: _Reading, window: str) -> None:
        since_ms = axis_start(
            reading.series, WINDOWS[window], known_since_ms=reading.row.first_seen_ms, now_ms=reading.now_ms
        )
        for chart in reading.charts:
            options = chart_options(chart, reading.series, since_ms=since_ms, until_ms=reading.now_ms)
            drawn = self._drawn.get(chart.title)
            if drawn is None:
                drawn = self._drawn[chart.title] = self._place(chart, options)
            drawn.style(f"height:{chart.height_px}px")
            drawn.props["aria-label"] = describe(chart, reading.series, window)
            drawn.options.clear()
            drawn.options.update(options)
            drawn.update()

    def _place(self, chart: Chart, options: dict[str, Any]) -> ui.echart:
        with self._wide if chart.is_wide else self._grid, ui.element("section").classes("card"):
            pane = chart.panes[0]
            text("h2", chart.title if chart.is_wide else f"{pane.title}, {pane.unit}")
            drawn = ui.echart(options).classes("plot")
        drawn.props["role"] = "img"
        return drawn


class _ModelTable:
    """Where a device runs several models: one row for each."""

    def __init__(self) -> None:
        self._shown: object = None
        with ui.element("section").classes("card") as self._card:
            text("h2", "Models of this device")
            self._body = table("Models of this device", ("Pipeline", "Model", "Precision", *_MODEL_FIGURES))
        self._card.set_visibility(False)

    def show(self, reading: _Reading) -> None:
        models = reading.row.meta.models if reading.row.meta else {}
        rows = [
            (name, model.name, model.precision, *_model_figures(name, reading.row))
            for name, model in sorted(models.items())
        ]
        self._card.set_visibility(len(rows) > 1)
        if rows == self._shown:
            return
        self._shown = rows
        self._body.clear()
        with self._body:
            for row in rows:
                with ui.element("tr"):
                    for cell in row:
                        text("td", cell)


_MODEL_FIGURES = {
    "Inf/s": "model.throughput_per_s",
    "p50, ms": "model.latency_p50_ms",
    "p95, ms": "model.latency_p95_ms",
    "Confidence": "model.confidence_mean",
    "Drift": "drift.moved",
}


def _model_figures(pipeline: str, row: DeviceRow) -> tuple[str, ...]:
    assert row.meta is not None
    is_main = pipeline == main_pipeline(row.meta, row.metrics)
    found = pipeline_metrics(pipeline, is_main=is_main, metrics=row.metrics)
    return tuple(
        wording.number(found.get(name), digits=0 if name == "drift.moved" else 2)
        for name in _MODEL_FIGURES.values()
    )


class _FactList:
    def __init__(self, title: str) -> None:
        self._shown: tuple[tuple[str, str], ...] | None = None
        with ui.element("section").classes("card"):
            text("h2", title)
            self._list = ui.element("dl").classes("facts")

    def show(self, found: tuple[tuple[str, str], ...]) -> None:
        if found == self._shown:
            return
        self._shown = found
        self._list.clear()
        with self._list:
            for name, value in found:
                with ui.element("div"):
                    text("dt", name)
                    text("dd", value)


class _EventList:
    def __init__(self, title: str, nothing: str, say: Callable[[Event], str]) -> None:
        self._shown: tuple[EventRow, ...] | None = None
        self._nothing = nothing
        self._say = say
        with ui.element("section").classes("card"):
            text("h2", title)
            self._list = ui.element("ul").classes("events")

    def show(self, found: tuple[EventRow, ...]) -> None:
        if found == self._shown:
            return
        self._shown = found
        self._list.clear()
        with self._list:
            if not found:
                text("li", self._nothing, "quiet")
            for row in found:
                _event_line(row, self._say(row.event))


def _event_line(row: EventRow, said: str) -> None:
    severity = row.event.severity
    with ui.element("li"):
        text("time", wording.local_time(row.at_ms))
        with ui.element("div").classes("text"):
            if severity in (Severity.WARNING, Severity.ERROR):
                text("span", f"{severity.value} ", f"severity-{severity.value}")
            text("span", said)
