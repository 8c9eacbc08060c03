"""`edgewise fleet`: serve the fleet, or look at it in the terminal."""

from pathlib import Path
from typing import Annotated

import typer

fleet_app = typer.Typer(
    no_args_is_help=True, help="Watch every device: a page, a terminal table, Prometheus."
)

SilentAfter = Annotated[
    float,
    typer.Option("--silent-after", min=1, help="Seconds without a word after which a device is silent."),
]


@fleet_app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 picks a free one.")] = 8080,
    store: Annotated[Path, typer.Option(help="File that keeps the records; made when missing.")] = Path(
        "fleet.db"
    ),
    broker: Annotated[
        str | None,
        typer.Option(
            help="mqtt://[user:password@]host:port; without it a broker is started.", show_default=False
        ),
    ] = None,
    mqtt_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the broker that is started; 0 picks a free one.")
    ] = 1883,
    silent_after: SilentAfter = 60.0,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Forget records older than this; 0 keeps all.")
    ] = 30.0,
) -> None:
    """Collect what devices report and show it on a page that updates by itself."""
    from edgewise_fleet.server import ServeSettings, run_server

    run_server(
        ServeSettings(
            host=host,
            port=port,
            store=store,
            broker=broker,
            mqtt_port=mqtt_port,
            silent_after_s=silent_after,
            keep_days=keep_days,
        )
    )


@fleet_app.command()
def top(
    store: Annotated[Path, typer.Option(help="File that a fleet server writes.")] = Path("fleet.db"),
    url: Annotated[
        str | None, typer.Option(help="Ask a running server instead: http://host:port.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the fleet once, as JSON.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print the table once and end.")] = False,
    silent_after: SilentAfter = 60.0,
) -> None:
    """Show the fleet in the terminal, from the store's file or from a running server."""
    from edgewise_fleet.top import open_source, show, to_json

    read = open_source(store=store, url=url, silent_after_s=silent_after)
    if json:
        typer.echo(to_json(read()))
    else:
        show(read, once=once)
