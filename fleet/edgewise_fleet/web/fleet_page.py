"""The overview: every device in one table that updates by itself."""

import asyncio
from collections import Counter
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from edgewise_fleet.access import Caller
from edgewise_fleet.alerts import KeptAlert
from edgewise_fleet.alerts.rules import SEVERITIES
from edgewise_fleet.broker_url import is_loopback, parse_broker_url
from edgewise_fleet.summary import Condition, FleetSummary
from edgewise_fleet.web.look import framed, text
from edgewise_fleet.web.map_drawing import Cartographer
from edgewise_fleet.web.panel import Panel

REFRESH_S = 2.0
SHOWN_VERSIONS = 6

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("device", "Device", "left"),
    ("group", "Group", "left"),
    ("state", "State", "left"),
    ("model", "Model", "left"),
    ("precision", "Precision", "left"),
    ("version", "Agent", "left"),
    ("throughput", "Inf/s", "right"),
    ("p50", "p50, ms", "right"),
    ("p95", "p95, ms", "right"),
    ("temperature", "°C", "right"),
    ("throttled", "Throttled", "left"),
    ("seen", "Last seen", "left"),
)


def add_fleet_page(panel: Panel) -> None:
    """Serve the overview at /."""
    cartographer = Cartographer()

    @ui.page("/")
    async def fleet_page(request: Request) -> None:
        reading = await asyncio.to_thread(_read, panel, cartographer)
        page = _FleetPage(panel.view.broker_url, request.state.caller)
        page.show(*reading)

        async def refresh() -> None:
            page.show(*await asyncio.to_thread(_read, panel, cartographer))

        ui.timer(REFRESH_S, refresh)


def _read(panel: Panel, cartographer: Cartographer) -> tuple[FleetSummary, tuple[KeptAlert, ...], str]:
    fleet = panel.view.summary()
    return fleet, panel.book.active(), cartographer.draw(fleet.devices, panel.positions())


class _Tile:
    def __init__(self, name: str, path: str = "") -> None:
        with ui.link(target=path) if path else ui.element("div") as tile:
            tile.classes("card tile")
            text("div", name, "name")
            self.value = text("div", "", "value")
            self.more = text("div", "", "more")

    def show(self, value: str, more: str = "") -> None:
        self.value.text, self.more.text = value, more


class _FleetPage:
    def __init__(self, broker_url: str, caller: Caller) -> None:
        with framed(caller, "/"):
            text("h1", "Devices")
            self._trouble = text("div", "", "trouble").props("role=alert")
            with ui.element("div").classes("tiles").props('role=status aria-label="The fleet at a glance"'):
                self._online, self._attention = _Tile("Online"), _Tile("Need a look")
                self._alerts = _Tile("Alerts", "/alerts")
                self._records, self._broker = _Tile("Records"), _Tile("Broker")
            self._versions = _Versions()
            self._map = ui.html("", sanitize=False).classes("card map-card")
            self._empty = _empty_state(broker_url)
            self._table = _DeviceTable()

    def show(self, fleet: FleetSummary, alerts: tuple[KeptAlert, ...], drawn_map: str) -> None:
        self._trouble.text = " · ".join(fleet.trouble)
        self._trouble.set_visibility(bool(fleet.trouble))
        self._show_tiles(fleet)
        self._alerts.show(str(len(alerts)), _worst(alerts))
        self._versions.show(fleet)
        self._map.set_visibility(bool(drawn_map))
        if self._map.content != drawn_map:
            self._map.set_content(drawn_map)  # every name in it is escaped
        self._empty.set_visibility(not fleet.devices)
        self._table.set_visibility(bool(fleet.devices))

    def _show_tiles(self, fleet: FleetSummary) -> None:
        self._online.show(f"{fleet.count(Condition.ONLINE):,} of {len(fleet.devices):,}", "devices")
        self._attention.show(*_attention(fleet))
        doubtful = f", {fleet.malformed:,} unreadable" if fleet.malformed else ""
        self._records.show(f"{fleet.records:,}", f"{fleet.duplicates:,} repeats dropped{doubtful}")
        self._broker.show("connected" if fleet.broker_connected else "not connected", fleet.broker_url or "")


def _attention(fleet: FleetSummary) -> tuple[str, str]:
    """How many devices somebody should look at, and why; one stopped on purpose is not among them."""
    reasons = {kind.value: fleet.count(kind) for kind in (Condition.OFFLINE, Condition.SILENT)}
    throttled = [
        device for device in fleet.devices if device.condition is Condition.ONLINE and device.throttled
    ]
    reasons["throttled"] = len(throttled)
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    return str(sum(reasons.values())), said or "all is well"


def _worst(alerts: tuple[KeptAlert, ...]) -> str:
    counts = {name: sum(kept.alert.severity == name for kept in alerts) for name in reversed(SEVERITIES)}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none raised"


class _Versions:
    """Which agents and models the fleet runs, each a link to the devices that do."""

    def __init__(self) -> None:
        self._shown: object = None
        self._list = ui.element("div").classes("versions").props('aria-label="Versions in the fleet"')

    def show(self, fleet: FleetSummary) -> None:
        agents = Counter(device.agent_version for device in fleet.devices if device.agent_version)
        models = Counter(device.model for device in fleet.devices if device.model)
        found = (
            ("version", "agent ", agents.most_common(SHOWN_VERSIONS)),
            ("model", "", models.most_common(SHOWN_VERSIONS)),
        )
        if found == self._shown:
            return
        self._shown = found
        self._list.clear()
        with self._list:
            for field, prefix, counted in found:
                for name, count in counted:
                    ui.link(f"{prefix}{name} · {count:,}", f"/?{urlencode({field: name})}").classes("chip")


class _DeviceTable(ui.element, component="device_table.js"):
    """Fetches, filters and sorts the devices in the browser."""

    def __init__(self) -> None:
        super().__init__()
        self._props["columns"] = [dict(zip(("name", "label", "align"), one, strict=True)) for one in COLUMNS]


def _empty_state(broker_url: str) -> ui.element:
    with ui.element("section").classes("card") as section:
        text("h2", "No device has reported yet")
        text("p", "On a device, put these lines into agent.toml:")
        nodes = ", ".join(f'"{node}"' for node in parse_broker_url(broker_url).nodes)
        text("pre", f"[broker]\nurl = {f'[{nodes}]' if ',' in nodes else nodes}", "command")
        text("p", "and start the agent; its row appears here by itself:")
        text("pre", "edgewise agent run --config agent.toml", "command")
        if is_loopback(broker_url):
            hint = "Only this machine reaches that address: for others serve with --host 0.0.0.0"
            text("p", f"{hint}, on a network you trust.", "quiet")
    return section
