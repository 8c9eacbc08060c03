"""`edgewise fleet simulate`: a fleet to try the page with, and to load a server with."""

from pathlib import Path
from typing import Annotated

import typer


def add_simulation(app: typer.Typer) -> None:
    """Put the command into `edgewise fleet`."""
    app.command("simulate")(simulate_command)


def simulate_command(
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many.")] = 100,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Reports per second of all together; by default one a device in 10 s.", show_default=False
        ),
    ] = None,
    broker: Annotated[str, typer.Option(help="mqtt://[user:password@]host[:port]")] = "mqtt://127.0.0.1:1883",
    group: Annotated[str, typer.Option(help="Their group.")] = "sim",
    prefix: Annotated[str, typer.Option(help="Their names begin with it.")] = "sim-",
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="End after so long; by default at Ctrl-C.", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Public key whose commands they take: rollouts need it.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed is the same fleet.")] = 0,
    day: Annotated[float, typer.Option(min=1, help="Seconds of a day and night.")] = 86_400.0,
    drifting: Annotated[float, typer.Option(min=0, max=1, help="Share of ten minutes with drift.")] = 0.01,
    outages: Annotated[
        float, typer.Option(min=0, max=1, help="Share of ten minutes with an outage.")
    ] = 0.005,
    kills: Annotated[float, typer.Option(min=0, max=1, help="Share of ten minutes with a kill.")] = 0.001,
    fetch: Annotated[float, typer.Option(min=0, help="Seconds to fetch a model.")] = 3.0,
    watch: Annotated[float, typer.Option(min=0, help="Seconds for which they watch a new model.")] = 30.0,
    judges: Annotated[
        bool, typer.Option(help="Whether they judge new models themselves, as agents do.")
    ] = True,
    connect_rate: Annotated[float, typer.Option(min=1, help="New connections per second.")] = 500.0,
) -> None:
    """Connect invented devices to a real broker; they report, drift, throttle, fail, and take models."""
    import msgspec

    from edgewise_fleet.simulate.board import World
    from edgewise_fleet.simulate.fleet import Simulation, say_to_stderr, simulate
    from edgewise_fleet.simulate.updating import Habits

    totals = simulate(
        Simulation(
            broker=broker,
            devices=devices,
            rate=rate,
            group=group,
            prefix=prefix,
            seconds=seconds,
            key=key,
            connect_per_s=connect_rate,
            world=World(seed=seed, day_s=day, drift_share=drifting, outage_share=outages, kill_share=kills),
            habits=Habits(fetch_s=fetch, watch_s=watch, judges=judges),
        ),
        say_to_stderr,
    )
    typer.echo(msgspec.json.encode(totals).decode())
