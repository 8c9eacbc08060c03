"""`edgewise fleet registry list` and `device`, `fleet energy`: what the owner says of devices, and what they cost."""

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    str, typer.Option(help="Of the fleet server, which may be running: a file, or postgresql://...")
]


def add_registry(app: typer.Typer) -> None:
    """Put the commands into `edgewise fleet`."""
    registry = typer.Typer(
        no_args_is_help=True,
        help="Tags, location, owner and expected silence of devices.",
        rich_markup_mode=None,
    )
    registry.command("list")(devices_command)
    registry.command("device")(device_command)
    app.add_typer(registry, name="registry")
    app.command("energy")(energy_command)


def devices_command(
    store: StoreOption = "fleet.db",
    group: Annotated[str | None, typer.Option(help="Only of this group.", show_default=False)] = None,
    tag: Annotated[list[str] | None, typer.Option(help="NAME or NAME=VALUE; several must all fit.")] = None,
    import_file: Annotated[
        Path | None, typer.Option("--import", help="Take entries from a .csv or .json file, all or none.")
    ] = None,
    export_file: Annotated[
        Path | None, typer.Option("--export", help="Write the entries to a .csv or .json file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the registry and every device that ever reported; import or export it."""
    from edgewise_fleet.steering import listing

    if import_file is not None:
        typer.echo(listing.import_entries(store, import_file))
    elif export_file is not None:
        typer.echo(listing.export_entries(store, export_file, group=group, tags=tag or []))
    else:
        typer.echo(listing.list_devices(store, group=group, tags=tag or [], as_json=json))


def device_command(
    name: Annotated[str, typer.Argument(help="DEVICE, or GROUP/DEVICE.")],
    store: StoreOption = "fleet.db",
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="location=..., owner=..., expected_silence_s=SECONDS, tag=NAME, tag.NAME=VALUE; empty takes it out.",
        ),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take its entry out; what it reported stays.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show a device's entry, change it, or take it out."""
    from edgewise_fleet.steering import listing

    typer.echo(listing.change_device(store, name, assignments or [], remove=remove, as_json=json))


def energy_command(
    store: StoreOption = "fleet.db",
    days: Annotated[float, typer.Option(min=0.01, help="The last so many days.")] = 1.0,
    group: Annotated[str | None, typer.Option(help="Only of this group.", show_default=False)] = None,
    carbon: Annotated[float, typer.Option(min=0, help="Grams of CO2e per kWh of your grid.")] = 436.0,
    price: Annotated[float, typer.Option(min=0, help="Price of a kWh, in your currency.")] = 0.16,
    cloud_price: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Price of a thousand inferences in the cloud, in the same currency; compared when given.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Energy, CO2e and cost of the fleet, and what the same inferences would cost in the cloud."""
    from edgewise_fleet.energy import Factors, report_energy

    factors = Factors(carbon_g_per_kwh=carbon, price_per_kwh=price, cloud_price_per_1000=cloud_price)
    typer.echo(report_energy(store, days=days, group=group, factors=factors, as_json=json))
