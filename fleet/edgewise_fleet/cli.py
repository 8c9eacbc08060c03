"""`edgewise fleet`: serve the fleet, or look at it in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise_fleet.cli_access import tokens_app, users_app
from edgewise_fleet.cli_alerts import alerts_app
from edgewise_fleet.cli_enrol import add_enrolment
from edgewise_fleet.cli_looking import add_looking
from edgewise_fleet.cli_registry import add_registry
from edgewise_fleet.cli_rollout import rollout_app
from edgewise_fleet.cli_simulate import add_simulation

if TYPE_CHECKING:
    from edgewise_fleet.upkeep import UpkeepSettings

fleet_app = typer.Typer(
    no_args_is_help=True, help="Watch every device: a page, a terminal table, Prometheus."
)
fleet_app.add_typer(rollout_app, name="rollout")
add_registry(fleet_app)
add_enrolment(fleet_app)
add_simulation(fleet_app)

fleet_app.add_typer(alerts_app, name="alerts")
fleet_app.add_typer(users_app, name="users")
fleet_app.add_typer(tokens_app, name="tokens")
add_looking(fleet_app)

SilentAfter = Annotated[
    float,
    typer.Option("--silent-after", min=1, help="Seconds without a word after which a device is silent."),
]
ServeStore = Annotated[
    str, typer.Option("--store", help="File that keeps the records, made when missing, or postgresql://...")
]
KeepDays = Annotated[float, typer.Option(min=0, help="Forget records older than this; 0 keeps all.")]
MaxSize = Annotated[
    str | None,
    typer.Option(help="Forget the oldest records beyond this size, such as 20GB.", show_default=False),
]
SparkplugHost = Annotated[
    str,
    typer.Option(help="Also be the Sparkplug host application of this id.", show_default=False),
]


def _upkeep(keep_days: float, max_size: str | None) -> "UpkeepSettings":
    from edgewise_fleet.sizes import parse_size
    from edgewise_fleet.store import Keep
    from edgewise_fleet.upkeep import UpkeepSettings

    keep = Keep(raw_days=keep_days, minute_days=max(90.0, keep_days), hour_days=max(730.0, keep_days))
    return UpkeepSettings(keep=keep, max_size_bytes=parse_size(max_size) if max_size else 0)


@fleet_app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 picks a free one.")] = 8080,
    store: ServeStore = "fleet.db",
    broker: Annotated[
        list[str] | None,
        typer.Option(
            help="mqtt://[user:password@]host:port; of a cluster once for each node. Without it a broker is started.",
            show_default=False,
        ),
    ] = None,
    mqtt_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the broker that is started; 0 picks a free one.")
    ] = 1883,
    silent_after: SilentAfter = 60.0,
    alerts: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of alert rules, receivers and silences; `alerts check` reads one.",
            show_default=False,
        ),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(
            help="Also send metrics by OpenTelemetry: http://host:4318/v1/metrics.", show_default=False
        ),
    ] = None,
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open", help="Listen on a network although there are no users: anybody may do everything."
        ),
    ] = False,
    trusted_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name this server is known by, behind a proxy, while there are no users.",
            show_default=False,
        ),
    ] = None,
    keep_days: KeepDays = 30.0,
    max_size: MaxSize = None,
    share: Annotated[
        str, typer.Option(help="Share the records with other collectors of this name.", show_default=False)
    ] = "",
    name: Annotated[str, typer.Option(help="This collector's, among those of one database.")] = "serve",
    sparkplug_host: SparkplugHost = "",
    rollout_key: Annotated[
        Path | None,
        typer.Option(
            help="Private key that signs what rollouts, and requests for snapshots, tell devices.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Collect what devices report and show it on a page that updates by itself."""
    from edgewise_fleet.broker_url import join_broker_urls
    from edgewise_fleet.server import ServeSettings, run_server

    run_server(
        ServeSettings(
            host=host,
            port=port,
            store=store,
            broker=join_broker_urls(broker) if broker else None,
            mqtt_port=mqtt_port,
            silent_after_s=silent_after,
            alerts=alerts,
            otlp=otlp,
            open=open_to_all,
            trusted_hosts=tuple(trusted_host or ()),
            upkeep=_upkeep(keep_days, max_size),
            share=share,
            name=name,
            sparkplug_host=sparkplug_host,
            rollout_key=rollout_key,
        )
    )


@fleet_app.command()
def collect(
    store: Annotated[str, typer.Option(help="postgresql://[user:password@]host[:port]/database")],
    broker: Annotated[
        list[str],
        typer.Option(help="mqtt://[user:password@]host:port; of a cluster once for each node."),
    ],
    share: Annotated[str, typer.Option(help="The name that the collectors have in common.")] = "edgewise",
    name: Annotated[
        str, typer.Option(help="This collector's; the same after each restart. By default the host's name.")
    ] = "",
    keep_days: KeepDays = 30.0,
    max_size: MaxSize = None,
) -> None:
    """Collect without a page: one of several that share the records of a broker into one database."""
    from edgewise_fleet.broker_url import join_broker_urls
    from edgewise_fleet.collecting import CollectSettings, run_collector

    run_collector(
        CollectSettings(
            store=store,
            broker=join_broker_urls(broker),
            share=share,
            name=name,
            upkeep=_upkeep(keep_days, max_size),
        )
    )


@fleet_app.command()
def export(
    file: Annotated[Path, typer.Argument(help="What to write: ends in .parquet or .csv.")],
    store: ServeStore = "fleet.db",
    table: Annotated[str, typer.Option(help="points, minutes, hours, days or records.")] = "points",
    since: Annotated[
        str | None, typer.Option(help="UTC, such as 2026-11-01 or 2026-11-01T12:00.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(help="UTC, not included.", show_default=False)] = None,
    group: Annotated[str | None, typer.Option(help="Only this group.", show_default=False)] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only these metrics; may be given several times.")
    ] = None,
) -> None:
    """Write what the store holds into a Parquet or CSV file."""
    from edgewise_fleet.export import ExportSettings, export_store

    rows = export_store(
        ExportSettings(
            store=store, file=file, table=table, since=since, until=until, group=group, metrics=metric or []
        )
    )
    typer.echo(f"Wrote {rows} rows to {file}")


@fleet_app.command()
def top(
    store: Annotated[
        str, typer.Option(help="File that a fleet server writes, or postgresql://...")
    ] = "fleet.db",
    url: Annotated[
        str | None, typer.Option(help="Ask a running server instead: http://host:port.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the fleet once, as JSON.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print the table once and end.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(help="With --url: file with a token, where users must log in.", show_default=False),
    ] = None,
    silent_after: SilentAfter = 60.0,
) -> None:
    """Show the fleet in the terminal, from the store's file or from a running server."""
    from edgewise_fleet.looking import read_token
    from edgewise_fleet.top import open_source, show, to_json

    token = read_token(token_file)
    read = open_source(store=store, url=url, silent_after_s=silent_after, token=token)
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


@fleet_app.command("withdraw")
def withdraw_command(
    target: Annotated[str, typer.Argument(help="Its name in the repository, as models/door.tflite.")],
    repository: RepositoryOption,
    keys: KeysOption = None,
) -> None:
    """Take a name out of the update repository; devices that run its model go on with it."""
    from edgewise_fleet.publishing import open_repository

    opened, _ = open_repository(repository, keys, create=False)
    version = opened.withdraw(target)
    typer.echo(f"Withdrew version {version} of {target} from {repository}")
    typer.echo(f"Published again, it needs a --version above {version}: devices take nothing older")
