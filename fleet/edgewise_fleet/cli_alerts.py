"""`edgewise fleet alerts`: read a file of rules before a server does."""

from pathlib import Path
from typing import Annotated

import typer

alerts_app = typer.Typer(no_args_is_help=True, help="Alert rules: check a file, or send a test notification.")


@alerts_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(help="TOML file of rules, receivers and silences.")],
) -> None:
    """Read a file of rules as the server does and print what holds, or say what is wrong with it."""
    from edgewise_fleet.alerts import load_rules, make_channels

    rules = load_rules(file)
    for rule in rules.rule:
        about = getattr(rule, "metric", None) or ", ".join(getattr(rule, "events", ()))
        typer.echo(f"{rule.name:24} {rule.severity:9} {rule.__struct_config__.tag:8} {about}".rstrip())
    for channel in make_channels(rules.notify):
        typer.echo(f"tells {channel.name}")
    for silence in rules.silence:
        typer.echo(f"silence {silence.reason or 'without a reason'}")


@alerts_app.command("test")
def test_command(
    file: Annotated[Path, typer.Argument(help="TOML file of rules, receivers and silences.")],
) -> None:
    """Send a test notification to every receiver of a file and say which got it."""
    import msgspec

    from edgewise_fleet.alerts import load_rules, make_channels
    from edgewise_fleet.alerts.channels import NotDelivered
    from edgewise_fleet.alerts.notice import Notice

    channels = make_channels(load_rules(file).notify)
    if not channels:
        typer.echo(f"{file} names no receiver: give notify.apprise or notify.webhooks")
        raise typer.Exit(1)
    said = "If you read this, alerts reach you."
    body = msgspec.json.encode(Notice(title="Edgewise fleet: a test", text=said, severity="info", alerts=()))
    failed = False
    for channel in channels:
        try:
            channel.send(body)
            typer.echo(f"sent: {channel.name}")
        except NotDelivered as error:
            failed = True
            typer.echo(f"failed: {error}", err=True)
    if failed:
        raise typer.Exit(1)
