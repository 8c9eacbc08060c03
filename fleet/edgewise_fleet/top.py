"""The fleet in the terminal: the only file that knows rich."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgewise_fleet import wording
from edgewise_fleet.errors import FleetError
from edgewise_fleet.looking import UrlSource
from edgewise_fleet.steering.silences import read_silences
from edgewise_fleet.store import FleetReader, open_store
from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary, summarise

REFRESH_S = 2.0
PIPE_WIDTH = 200
COLOURS = {
    Condition.ONLINE: "green",
    Condition.SILENT: "yellow",
    Condition.OFFLINE: "red",
    Condition.STOPPED: "dim",
}


def read_store(store: FleetReader, address: str, *, silent_after_s: float) -> FleetSummary:
    """The fleet from its store alone; the broker's state is not known there."""
    now_ms = time.time_ns() // 1_000_000
    return summarise(
        store.devices(),
        store.counts(),
        now_ms=now_ms,
        silent_after_s=silent_after_s,
        expected_silence_s=read_silences(address),
    )


def open_source(
    *, store: str | Path, url: str | None, silent_after_s: float, token: str = ""
) -> Callable[[], FleetSummary]:
    """A function that reads the fleet anew each time. It raises FleetUnreachable or AccessProblem."""
    if url is not None:
        return UrlSource(url, token).fleet
    opened = open_store(str(store), read_only=True)
    return lambda: read_store(opened, str(store), silent_after_s=silent_after_s)


def to_json(fleet: FleetSummary) -> str:
    """The fleet for machines, the same as GET /api/devices."""
    return msgspec.json.format(msgspec.json.encode(fleet), indent=2).decode()


def draw(fleet: FleetSummary, *, width: int) -> Group:
    """The table and the line above it."""
    return Group(_headline(fleet), _table(fleet, width)) if fleet.devices else Group(_headline(fleet))


def show(read: Callable[[], FleetSummary], *, once: bool) -> None:
    """Print the fleet once, or keep showing it until Ctrl-C."""
    console = Console()
    if not console.is_terminal:
        # Into a file or a pipe: nothing is shortened for a width that nobody sees.
        console.width = PIPE_WIDTH
    if once:
        console.print(draw(read(), width=console.width))
        return
    fleet = read()
    with Live(
        draw(fleet, width=console.width), console=console, screen=console.is_terminal, auto_refresh=False
    ) as live:
        while True:
            time.sleep(REFRESH_S)
            try:
                fleet = read()
                trouble = Text()
            except FleetError as error:
                # A server that is being restarted comes back; what was seen last stays on the screen.
                trouble = Text(str(error), style="red")
            live.update(Group(draw(fleet, width=console.width), trouble), refresh=True)


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


def _table(fleet: FleetSummary, width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    shown = [column for column in COLUMNS if width >= column.from_width]
    for column in shown:
        table.add_column(
            column.title, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis"
        )
    for device in fleet.devices:
        table.add_row(*(column.cell(device, fleet.now_ms) for column in shown))
    return table


@dataclass(frozen=True)
class _Column:
    """One column; narrow terminals do without it below `from_width`."""

    title: str
    cell: Callable[[DeviceSummary, int], Text]
    right: bool = False
    from_width: int = 0


# Text, not str: a name from a device must not be read as markup.
COLUMNS = (
    _Column("device", lambda one, _: Text(one.device, style="bold")),
    _Column("group", lambda one, _: Text(one.group), from_width=100),
    _Column("state", lambda one, now: Text(wording.condition(one, now), style=COLOURS[one.condition])),
    _Column("model", lambda one, _: Text(one.model or wording.NOT_TOLD)),
    _Column("precision", lambda one, _: Text(one.precision or wording.NOT_TOLD), from_width=110),
    _Column("inf/s", lambda one, _: Text(wording.number(one.throughput_per_s)), right=True),
    _Column("p50 ms", lambda one, _: Text(wording.number(one.latency_p50_ms)), right=True),
    _Column("p95 ms", lambda one, _: Text(wording.number(one.latency_p95_ms)), right=True),
    _Column("°C", lambda one, _: Text(wording.number(one.temperature_c)), right=True),
    _Column(
        "throttled",
        lambda one, _: Text(wording.throttled(one.throttled), style="red" if one.throttled else ""),
        from_width=100,
    ),
    _Column("last seen", lambda one, now: Text(wording.seen(one.last_seen_ms, now)), from_width=90),
)
