"""`edgewise fleet`: serve the fleet, or look at it in the terminal."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise_fleet.cli_enrol import add_enrolment
from edgewise_fleet.cli_registry import add_registry
from edgewise_fleet.cli_rollout import rollout_app
from edgewise_fleet.cli_simulate import add_simulation

fleet_app = typer.Typer(
    no_args_is_help=True, help="Watch every device: a page, a terminal table, Prometheus."
)
fleet_app.add_typer(rollout_app, name="rollout")
add_registry(fleet_app)
add_enrolment(fleet_app)
add_simulation(fleet_app)

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
    rollout_key: Annotated[
        Path | None,
        typer.Option(
            help="Private key that signs what rollouts tell devices; without one they wait.",
            show_default=False,
        ),
    ] = None,
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
            rollout_key=rollout_key,
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


@fleet_app.command("command")
def command_device(
    device: Annotated[str, typer.Argument(help="DEVICE, or GROUP/DEVICE.")],
    name: Annotated[str, typer.Argument(help="report-now, stop, restart, set-model, set-settings, ...")],
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg", help="key=value; numbers, true, false and null are such; key=@FILE is a file's text."
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private key that signs it; all but report-now need one.")
    ] = None,
    broker: Annotated[str, typer.Option(help="mqtt://[user:password@]host[:port]")] = "mqtt://127.0.0.1:1883",
    expires: Annotated[
        float, typer.Option(min=1, help="Seconds after which the device must not act any more.")
    ] = 300.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the response.")] = 15.0,
    command_id: Annotated[
        str | None,
        typer.Option("--id", help="Send again under this id: it is done once.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the response as JSON.")] = False,
) -> None:
    """Ask one device for something and wait for its response."""
    from edgewise_fleet.commanding import ask_device, make_command, parse_address, parse_arguments, said

    address = parse_address(device)
    command = make_command(
        name, parse_arguments(arg or []), address=address, key=key, expires_s=expires, command_id=command_id
    )
    response = ask_device(command, address, broker=broker, timeout_s=timeout)
    typer.echo(said(response, as_json=json))
    if response.outcome != "done":
        raise typer.Exit(1)


@fleet_app.command("make-key")
def make_key_command(
    file: Annotated[
        Path, typer.Argument(help="Where to write the private key; the public one ends in .pub.")
    ],
) -> None:
    """Make a key that signs commands; copy its .pub to devices and name it in commands.keys."""
    from edgewise_fleet.keys import make_key

    public = make_key(file)
    typer.echo(f"Wrote {file} (private: keep it) and {public} (copy it to devices: commands.keys)")


RepositoryOption = Annotated[
    Path, typer.Option("--repository", help="The update repository's folder; begun when it is not there.")
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys", help="Folder of the signing keys; by default REPOSITORY-keys.", show_default=False
    ),
]


@fleet_app.command("publish")
def publish_command(
    model: Annotated[Path, typer.Argument(help="A .tflite or .onnx file.")],
    repository: RepositoryOption,
    keys: KeysOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Its name in the repository; by default models/ and the file's.", show_default=False
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=0, help="By default one more than the last.", show_default=False)
    ] = None,
) -> None:
    """Sign a model and put it into the update repository; devices that follow the name fetch it."""
    from edgewise_fleet.publishing import open_repository

    published_in, is_new = open_repository(repository, keys, create=True)
    published = published_in.publish(model, target=target, version=version)
    if is_new:
        typer.echo(
            f"Began {repository}; its keys are in {published_in.keys}: keep root.key and targets.key offline"
        )
        typer.echo(f"Give each device {published.root_file} once, as updates.root_file")
    typer.echo(f"Published version {published.version} of {published.target}, {published.size_bytes} bytes")
    typer.echo(f"  sha256 {published.sha256}")


@fleet_app.command("renew")
def renew_command(
    repository: RepositoryOption,
    keys: KeysOption = None,
    new_key: Annotated[
        str | None,
        typer.Option(
            help="Also give root, targets, snapshot or timestamp a new key: its old one was lost or stolen.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Sign the repository's freshness anew; do it daily, or devices call it frozen after a week."""
    from edgewise_fleet.publishing import open_repository

    opened, _ = open_repository(repository, keys, create=False)
    if new_key:
        opened.rotate(new_key)
    opened.renew()
    typer.echo(f"Renewed {repository}")
