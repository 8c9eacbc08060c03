"""`edgewise agent`: run the agent, check its settings, begin a settings file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise_agent.cli_privacy import add_commands
from edgewise_agent.cli_service import add_service_commands

if TYPE_CHECKING:
    from edgewise_agent.settings.check import Checked
    from edgewise_agent.settings.config import Settings

agent_app = typer.Typer(
    no_args_is_help=True,
    help="Keep one device running its model and reporting to its fleet.",
    rich_markup_mode=None,
)
add_commands(agent_app)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The settings file (TOML).")]


@agent_app.command("run")
def run_command(
    config: ConfigOption = Path("agent.toml"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Run the agent.

    It ends at SIGTERM, Ctrl-C, a stop command from the fleet, or the end of sources that do not loop.
    """
    from edgewise_agent import lean

    lean.replace_by_lean(config, verbose=verbose)
    lean.run(config, verbose=verbose)


@agent_app.command("check")
def check_command(
    config: ConfigOption = Path("agent.toml"),
    connect: Annotated[bool, typer.Option("--connect", help="Also connect to the broker.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Say all that is wrong with the settings.

    Looks at the settings file and at the files and folders it names. Creates nothing, changes nothing.
    """
    from edgewise_agent.errors import InvalidSettings
    from edgewise_agent.settings.check import Checked, check
    from edgewise_agent.settings.config import load_settings
    from edgewise_agent.settings.working_copy import WorkingCopy, load_in_force

    settings: Settings | None = None
    in_force = config
    try:
        in_force = WorkingCopy(config, load_settings(config).device.state_dir).in_force()
        settings = load_in_force(config)
        checked = check(settings, connect=connect)
    except InvalidSettings as error:
        checked = Checked(error.problems, ())
    if as_json:
        _print_json(config, checked)
        if checked.problems:
            raise typer.Exit(1)
        return
    if checked.problems or settings is None:
        raise InvalidSettings(str(in_force), checked.problems)
    if in_force != config:
        typer.echo(f"{in_force} is in force: changed from afar; whoever edits {config} has the last word")
    _print_summary(config, settings, checked, connect=connect)


@agent_app.command("init")
def init_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it.")] = Path("agent.toml"),
) -> None:
    """Write a settings file to fill in.

    Every setting is explained in it. A file that exists is never overwritten.
    """
    from edgewise_agent.errors import WHOLE_FILE, InvalidSettings, Problem
    from edgewise_agent.settings.example import EXAMPLE

    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError as error:
        raise InvalidSettings(
            str(out), (Problem(WHOLE_FILE, "exists already; name another with --out"),)
        ) from error
    except OSError as error:
        raise InvalidSettings(str(out), (Problem(WHOLE_FILE, error.strerror or str(error)),)) from error
    typer.echo(f"Wrote {out}. Fill it in, then: edgewise agent check --config {out}")


add_service_commands(agent_app)


@agent_app.command("sparkplug-check")
def sparkplug_check_command(
    broker: Annotated[str, typer.Option("--broker", help="mqtt://host[:port] or mqtts://host[:port].")],
    group: Annotated[str, typer.Option("--group", help="The node's group.")],
    node: Annotated[str, typer.Option("--node", help="The node's id: the agent's device.id.")],
    host: Annotated[str, typer.Option("--host", help="Its primary host, if it waits for one.")] = "",
    seconds: Annotated[float, typer.Option("--for", help="Seconds to watch; Ctrl-C ends it early.")] = 60.0,
    tap: Annotated[
        str, typer.Option("--tap", help="Listen on [HOST:]PORT and pass on to the broker; sees every packet.")
    ] = "",
    rebirth: Annotated[bool, typer.Option("--rebirth", help="Ask for births, twice at once.")] = False,
    username: Annotated[str, typer.Option("--username", help="For the broker.")] = "",
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="First line: password.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="Certificate authority.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """Judge a Sparkplug edge node by each rule of the Sparkplug 3.0 edge node profile.

    Watches the broker's traffic. With --tap, point the node's broker url at the tap: then CONNECT, the will and
    QoS are seen too. Changes nothing but the births that --rebirth asks for. Exit code 1 if a rule fails.
    """
    from edgewise_agent.connection.broker_url import BrokerUrl
    from edgewise_agent.settings.config import BrokerSettings
    from edgewise_agent.wire.sparkplug.check_report import run_check, split_tap
    from edgewise_agent.wire.sparkplug.checking import Watch

    try:
        settings = BrokerSettings(
            url=(BrokerUrl(broker),), username=username, password_file=password_file, ca_file=ca_file
        )
        place = split_tap(tap) if tap else None
        if place is not None and settings.url[0].is_tls:
            raise ValueError("--tap passes plain MQTT on: got an mqtts:// broker, expected mqtt://")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    watch = Watch(group, node, host, seconds, asks_rebirth=rebirth)
    if not run_check(settings, watch, tap=place, as_json=as_json):
        raise typer.Exit(1)


def _print_json(config: Path, checked: "Checked") -> None:
    import json

    problems = [{"where": problem.where, "message": problem.message} for problem in checked.problems]
    typer.echo(
        json.dumps({"file": str(config), "ok": not problems, "problems": problems}, ensure_ascii=False)
    )


def _print_summary(config: Path, settings: "Settings", checked: "Checked", *, connect: bool) -> None:
    device, broker = settings.device, settings.broker
    typer.echo(f"{config}: ok")
    typer.echo(f"  device  {device.group}/{device.id}, state in {device.state_dir}")
    for pipeline in checked.pipelines:
        shown = "" if len(checked.pipelines) == 1 else f"[{pipeline.name}] "
        typer.echo(f"  model   {shown}{pipeline.model} ({settings.pipelines[pipeline.name].model})")
        typer.echo(f"  source  {shown}{pipeline.source}")
    typer.echo(
        f"  broker  {', '.join(broker.url)}"
        + (", which answers" if connect else " (not tried; --connect does)")
    )
