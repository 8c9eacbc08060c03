"""`edgewise fleet broker-config`, `enrol`, `revoke`: who may speak for a device."""

from pathlib import Path
from typing import Annotated

import typer

FolderOption = Annotated[
    Path, typer.Option("--folder", help="Authority, broker files and devices' credentials.")
]
StoreOption = Annotated[
    str, typer.Option(help="Of the fleet server, whose registry notes it: a file, or postgresql://...")
]


def add_enrolment(app: typer.Typer) -> None:
    """Put the commands into `edgewise fleet`."""
    app.command("broker-config")(broker_config)
    app.command("enrol")(enrol)
    app.command("revoke")(revoke)


def broker_config(
    host: Annotated[list[str], typer.Option(help="A name or address under which devices reach the broker.")],
    folder: FolderOption = Path("enrolment"),
    listen: Annotated[str, typer.Option(help="Address to listen on for devices.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=1, max=65535, help="For devices with certificates.")] = 8883,
    password_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Also for devices with passwords.", show_default=False),
    ] = None,
    fleet_port: Annotated[int, typer.Option(min=1, max=65535, help="For the server, on 127.0.0.1.")] = 1884,
) -> None:
    """Write a configuration for mosquitto in which each device reaches its own topics only."""
    from edgewise_fleet.enrolment.enrol import Enrolment

    for line in Enrolment(folder).prepare_broker(
        host, port=port, password_port=password_port, fleet_port=fleet_port, listen=listen
    ):
        typer.echo(line)


def enrol(
    device: Annotated[str, typer.Argument(help="DEVICE, or GROUP/DEVICE.")],
    broker: Annotated[str, typer.Option(help="What the device is to connect to: mqtts://host:port")],
    folder: FolderOption = Path("enrolment"),
    store: StoreOption = "fleet.db",
    password: Annotated[
        bool, typer.Option("--password", help="A password instead of a certificate.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="New credentials; the old ones are revoked.")
    ] = False,
) -> None:
    """Make a device's credentials, and the lines of its agent.toml."""
    from edgewise_fleet.commanding import parse_address
    from edgewise_fleet.enrolment.enrol import CERTIFICATE, PASSWORD, Enrolment, note_credential

    address = parse_address(device)
    made, lines = Enrolment(folder).enrol(address, broker=broker, by_password=password, again=again)
    note_credential(store, address, PASSWORD if password else CERTIFICATE)
    typer.echo(f"Copy {made} to the device; its agent.toml begins with:\n\n{lines}")
    if password or again:
        typer.echo("Tell the broker: kill -HUP its process")


def revoke(
    device: Annotated[str, typer.Argument(help="DEVICE, or GROUP/DEVICE.")],
    folder: FolderOption = Path("enrolment"),
    store: StoreOption = "fleet.db",
) -> None:
    """Its credentials count no more, once the broker was told."""
    from edgewise_fleet.commanding import parse_address
    from edgewise_fleet.enrolment.enrol import REVOKED, Enrolment, note_credential

    address = parse_address(device)
    Enrolment(folder).revoke(address)
    note_credential(store, address, REVOKED)
    typer.echo(f"Revoked {device}. Restart the broker, or kill -HUP its process, and its connections end")
