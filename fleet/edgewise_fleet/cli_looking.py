"""`edgewise fleet devices`, `device` and `query`: the fleet for people at a terminal and for scripts."""

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    str, typer.Option("--store", help="File that a fleet server writes, or postgresql://...")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Ask a running server instead: http://host:port.", show_default=False),
]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with a token, where users must log in.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
DEFAULT_STORE = "fleet.db"


def add_looking(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command("devices")(devices_command)
    app.command("device")(device_command)
    app.command("query")(query_command)


def devices_command(
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    token_file: TokenOption = None,
    group: Annotated[str, typer.Option(help="Only this group.", show_default=False)] = "",
    condition: Annotated[
        str, typer.Option(help="Only online, silent, offline or stopped ones.", show_default=False)
    ] = "",
    model: Annotated[str, typer.Option(help="Only those that run this model.", show_default=False)] = "",
    json: JsonOption = False,
) -> None:
    """List devices, one a line: group/device, condition, model, p50 and p95 in ms."""
    from edgewise_fleet.looking import device_lines, open_looker, to_json

    found = open_looker(store, url, token_file).devices(group=group, condition=condition, model=model)
    typer.echo(to_json(found) if json else "\n".join(device_lines(found)), nl=bool(json or found))


def device_command(
    name: Annotated[str, typer.Argument(help="DEVICE, or GROUP/DEVICE.")],
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    token_file: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Print what is known of one device: condition, what it runs, its latest metrics, its latest events."""
    from edgewise_fleet.looking import detail_lines, open_looker, to_json

    found = open_looker(store, url, token_file).device(name)
    typer.echo(to_json(found) if json else "\n".join(detail_lines(found)))


def query_command(
    metric: Annotated[str, typer.Argument(help="Name of a metric, such as board.temperature_c.")],
    device: Annotated[
        str, typer.Option(help="Over time, of this DEVICE or GROUP/DEVICE; else the latest of all.")
    ] = "",
    hours: Annotated[float, typer.Option(min=0.01, help="How far back, with --device.")] = 1.0,
    store: StoreOption = DEFAULT_STORE,
    url: UrlOption = None,
    token_file: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Print a metric: of every device its latest value, or of one device its course; tab-separated."""
    from edgewise_fleet.looking import open_looker, to_json

    looker = open_looker(store, url, token_file)
    if device:
        points = looker.course(device, metric, hours=hours)
        typer.echo(
            to_json(points) if json else "\n".join(f"{at_ms}\t{value:.10g}" for at_ms, value in points)
        )
        return
    values = looker.latest(metric)
    typer.echo(
        to_json(values) if json else "\n".join(f"{name}\t{value:.10g}" for name, value in values.items())
    )
