"""The overview: every device in one table that updates by itself."""

import asyncio
from typing import Any

from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.broker_url import is_loopback
from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary
from edgewise_fleet.view import FleetView
from edgewise_fleet.web.look import framed, text
from edgewise_messages import DeviceAddress

REFRESH_S = 2.0

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("device", "Device", "left"),
    ("group", "Group", "left"),
    ("state", "State", "left"),
    ("model", "Model", "left"),
    ("precision", "Precision", "left"),
    ("throughput", "Inf/s", "right"),
    ("p50", "p50, ms", "right"),
    ("p95", "p95, ms", "right"),
    ("temperature", "°C", "right"),
    ("throttled", "Throttled", "left"),
    ("seen", "Last seen", "left"),
)


def device_path(address: DeviceAddress) -> str:
    """Where one device's page is; ids need no quoting (`edgewise_messages.topics`)."""
    return f"/device/{address.group}/{address.device}"


def table_row(device: DeviceSummary, now_ms: int) -> dict[str, Any]:
    """One row of the table: values to sort by, and the same in words."""
    return {
        "key": f"{device.group}/{device.device}",
        "href": device_path(DeviceAddress(device.group, device.device)),
        "device": device.device,
        "group": device.group,
        "state": device.condition.value,
        "model": device.model,
        "precision": device.precision,
        "throughput": device.throughput_per_s,
        "p50": device.latency_p50_ms,
        "p95": device.latency_p95_ms,
        "temperature": device.temperature_c,
        "throttled": ", ".join(device.throttled or ()),
        "seen": device.last_seen_ms,
        "shown": {
            "group": device.group,
            "state": wording.condition(device, now_ms),
            "model": device.model or wording.NOT_TOLD,
            "precision": device.precision or wording.NOT_TOLD,
            "throughput": wording.number(device.throughput_per_s),
            "p50": wording.number(device.latency_p50_ms),
            "p95": wording.number(device.latency_p95_ms),
            "temperature": wording.number(device.temperature_c),
            "throttled": wording.throttled(device.throttled),
            "seen": wording.seen(device.last_seen_ms, now_ms),
        },
    }


def add_fleet_page(view: FleetView) -> None:
    """Serve the overview at /."""

    @ui.page("/")
    async def fleet_page() -> None:
        fleet = await asyncio.to_thread(view.summary)
        page = _FleetPage(view.broker_url)
        page.show(fleet)

        async def refresh() -> None:
            page.show(await asyncio.to_thread(view.summary))

        ui.timer(REFRESH_S, refresh)


class _Tile:
    def __init__(self, name: str) -> None:
        with ui.element("div").classes("card tile"):
            text("div", name, "name")
            self.value = text("div", "", "value")
            self.more = text("div", "", "more")

    def show(self, value: str, more: str = "") -> None:
        self.value.text, self.more.text = value, more


class _FleetPage:
    def __init__(self, broker_url: str) -> None:
        with framed():
            text("h1", "Edgewise fleet")
            self._trouble = text("div", "", "trouble").props("role=alert")
            with ui.element("div").classes("tiles").props('role=status aria-label="The fleet at a glance"'):
                self._online, self._attention = _Tile("Online"), _Tile("Need a look")
                self._records, self._broker = _Tile("Records"), _Tile("Broker")
            self._empty = _empty_state(broker_url)
            self._table = _DeviceTable()

    def show(self, fleet: FleetSummary) -> None:
        self._trouble.text = " · ".join(fleet.trouble)
        self._trouble.set_visibility(bool(fleet.trouble))
        self._show_tiles(fleet)
        self._empty.set_visibility(not fleet.devices)
        self._table.set_visibility(bool(fleet.devices))
        self._table.show([table_row(device, fleet.now_ms) for device in fleet.devices])

    def _show_tiles(self, fleet: FleetSummary) -> None:
        self._online.show(f"{fleet.count(Condition.ONLINE)} of {len(fleet.devices)}", "devices")
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


class _DeviceTable(ui.element, component="device_table.js"):
    """Sorts and searches in the browser; an update changes only the cells that are different."""

    def __init__(self) -> None:
        super().__init__()
        self._props["columns"] = [dict(zip(("name", "label", "align"), one, strict=True)) for one in COLUMNS]
        self._props["rows"] = []

    def show(self, rows: list[dict[str, Any]]) -> None:
        if rows != self._props["rows"]:
            self._props["rows"] = rows
            self.update()


def _empty_state(broker_url: str) -> ui.element:
    with ui.element("section").classes("card") as section:
        text("h2", "No device has reported yet")
        text("p", "On a device, put these lines into agent.toml:")
        text("pre", f'[broker]\nurl = "{broker_url}"', "command")
        text("p", "and start the agent; its row appears here by itself:")
        text("pre", "edgewise agent run --config agent.toml", "command")
        if is_loopback(broker_url):
            hint = "Only this machine reaches that address: for others serve with --host 0.0.0.0"
            text("p", f"{hint}, on a network you trust.", "quiet")
    return section
