"""The fleet in the terminal: the only file that knows rich."""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgewise_fleet import wording
from edgewise_fleet.errors import FleetUnreachable
from edgewise_fleet.store import SqliteStore
from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary, summarise

REFRESH_S = 2.0
URL_TIMEOUT_S = 10.0
COLOURS = {
    Condition.ONLINE: "green",
    Condition.SILENT: "yellow",
    Condition.OFFLINE: "red",
    Condition.STOPPED: "dim",
}


def read_store(store: SqliteStore, *, silent_after_s: float) -> FleetSummary:
    """The fleet from its file alone; the broker's state is not known there."""
    now_ms = time.time_ns() // 1_000_000
    return summarise(store.devices(), store.counts(), now_ms=now_ms, silent_after_s=silent_after_s)


def read_url(url: str) -> FleetSummary:
    """The fleet from a running server. Raises FleetUnreachable."""
    address = f"{url.rstrip('/')}/api/devices"
    if not url.startswith(("http://", "https://")):
        raise FleetUnreachable(
            f"--url: got {url!r}, expected http://host:port, for example http://127.0.0.1:8080"
        )
    try:
        with urllib.request.urlopen(address, timeout=URL_TIMEOUT_S) as response:
            return msgspec.json.decode(response.read(), type=FleetSummary)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise FleetUnreachable(
            f"fleet server {url}: {getattr(reason, 'strerror', None) or reason};"
            " is `edgewise fleet serve` running there?"
        ) from error


def open_source(*, store: Path, url: str | None, silent_after_s: float) -> Callable[[], FleetSummary]:
    """A function that reads the fleet anew each time."""
    if url is not None:
        return lambda: read_url(url)
    opened = SqliteStore(store, read_only=True)
    return lambda: read_store(opened, silent_after_s=silent_after_s)


def to_json(fleet: FleetSummary) -> str:
    """The fleet for machines, the same as GET /api/devices."""
    return msgspec.json.format(msgspec.json.encode(fleet), indent=2).decode()


def draw(fleet: FleetSummary) -> Group:
    """The table and the line above it."""
    return Group(_headline(fleet), _table(fleet)) if fleet.devices else Group(_headline(fleet))


def show(read: Callable[[], FleetSummary], *, once: bool) -> None:
    """Print the fleet once, or keep showing it until Ctrl-C."""
    console = Console()
    if once:
        console.print(draw(read()))
        return
    with Live(draw(read()), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_S)
            live.update(draw(read()), refresh=True)


def _headline(fleet: FleetSummary) -> Text:
    counts = [
        f"{fleet.count(condition)} {condition.value}" for condition in Condition if fleet.count(condition)
    ]
    parts = [", ".join(counts) or "no device has reported yet", f"{fleet.records:,} records"]
    if fleet.malformed:
        parts.append(f"{fleet.malformed:,} unreadable messages")
    if fleet.broker_connected is not None:
        parts.append(
            f"broker {fleet.broker_url} {'connected' if fleet.broker_connected else 'NOT connected'}"
        )
    parts.extend(fleet.trouble)
    return Text(" · ".join(parts), style="bold")


def _table(fleet: FleetSummary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("device", "group", "state", "model", "precision"):
        table.add_column(name, overflow="fold")
    for name in ("inf/s", "p50 ms", "p95 ms", "°C"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("throttled")
    table.add_column("last seen", no_wrap=True)
    for device in fleet.devices:
        table.add_row(*_row(device, fleet.now_ms))
    return table


def _row(device: DeviceSummary, now_ms: int) -> tuple[Text, ...]:
    # Text, not str: a name from a device must not be read as markup.
    return (
        Text(device.device, style="bold"),
        Text(device.group),
        Text(wording.condition(device, now_ms), style=COLOURS[device.condition]),
        Text(device.model or wording.NOT_TOLD),
        Text(device.precision or wording.NOT_TOLD),
        Text(wording.number(device.throughput_per_s)),
        Text(wording.number(device.latency_p50_ms)),
        Text(wording.number(device.latency_p95_ms)),
        Text(wording.number(device.temperature_c)),
        Text(wording.throttled(device.throttled), style="red" if device.throttled else ""),
        Text(wording.seen(device.last_seen_ms, now_ms)),
    )
