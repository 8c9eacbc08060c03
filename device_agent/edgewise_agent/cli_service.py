"""`edgewise agent install|status|logs|send-test`: the agent as something that runs by itself."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgewise_agent.logs.file import Follower

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The settings file (TOML).")]
_DEFAULT_CONFIG = Path("agent.toml")
_FOLLOW_EVERY_S = 0.5
_SHOWN_METRICS = (
    "model.inferences", "model.errors", "model.latency_p50_ms", "model.latency_p95_ms", "board.temperature_c",
    "board.throttled_now", "board.memory_available_bytes", "agent.pss_bytes", "agent.outbox_records",
)  # fmt: skip


def add_service_commands(app: typer.Typer) -> None:
    """Make them commands of ``app``."""
    app.command("install")(install_command)
    app.command("status")(status_command)
    app.command("logs")(logs_command)
    app.command("send-test")(send_test_command)


def install_command(
    config: ConfigOption = _DEFAULT_CONFIG,
    user_unit: Annotated[
        bool, typer.Option("--user/--system", help="A unit of this user, or one of the system.")
    ] = False,
    user_name: Annotated[
        str, typer.Option(help="System unit: the user it runs as. Default: one that systemd makes.")
    ] = "",
    memory_max_mb: Annotated[int, typer.Option(min=64, help="Above it the agent is restarted.")] = 256,
    watchdog_s: Annotated[int, typer.Option(min=10, help="Silent for so long, it is restarted.")] = 60,
    only_print: Annotated[bool, typer.Option("--print", help="Print the unit, write nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written where.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a unit that is there.")] = False,
) -> None:
    """Write a systemd unit that runs the agent: hardened, watched, not as root.

    It starts nothing; it says what to type next.
    """
    from edgewise_agent.service.install import plan, write

    planned = plan(
        config,
        is_user_unit=user_unit,
        user=user_name,
        memory_max_mb=memory_max_mb,
        watchdog_s=watchdog_s,
    )
    if only_print:
        typer.echo(planned.text, nl=False)
        return
    if dry_run:
        there = "replace" if planned.path.exists() else "write"
        typer.echo(f"Would {there} {planned.path} ({len(planned.text.encode())} bytes); --print shows it.")
        return
    write(planned, force=force)
    typer.echo(f"Wrote {planned.path}. Next:")
    for step in planned.next_steps:
        typer.echo(f"  {step}")


def status_command(
    config: ConfigOption = _DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
) -> None:
    """Say how the agent on this device is; exit code 1 when none runs or it is not well."""
    from edgewise_agent.settings.working_copy import load_in_force
    from edgewise_agent.status.client import read_status

    settings = load_in_force(config)
    status = read_status(settings.status, state_dir=settings.device.state_dir)
    if as_json:
        import json

        typer.echo(json.dumps(status, indent=2, ensure_ascii=False))
    else:
        _print_status(status)
    if not status.get("healthy"):
        raise typer.Exit(1)


def logs_command(
    config: ConfigOption = _DEFAULT_CONFIG,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many to begin with.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
) -> None:
    """Show the agent's log: of the state folder, or of journald where it is not kept there."""
    from edgewise_agent.errors import NotRunning
    from edgewise_agent.logs.file import Follower, last_lines, log_files
    from edgewise_agent.settings.working_copy import load_in_force

    settings = load_in_force(config)
    folder = settings.device.state_dir
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        raise NotRunning(f"{folder}: this user may not look into it: try sudo")
    if not log_files(folder) and not (follow and settings.logs.to_file):
        if settings.logs.to_file or not shutil.which("journalctl"):
            raise NotRunning(f"no log in {folder}: the agent has not run yet with these settings")
        _ask_journald(lines, follow=follow)
        return
    follower = Follower(folder)
    for line in last_lines(folder, lines):
        typer.echo(line)
    if follow:
        _follow(follower)


def send_test_command(
    config: ConfigOption = _DEFAULT_CONFIG,
    timeout_s: Annotated[float, typer.Option(min=1.0, help="How long to wait for the broker.")] = 30.0,
) -> None:
    """Send one event `agent.test` and wait until the broker has acknowledged it.

    Works while the agent runs and while it does not.
    """
    from edgewise_agent.send_test import send_test
    from edgewise_agent.settings.working_copy import load_in_force

    sent = send_test(load_in_force(config), timeout_s=timeout_s)
    typer.echo(
        f"{sent.broker} acknowledged in {sent.round_trip_ms:.1f} ms (connected in {sent.connect_ms:.1f} ms)"
    )
    typer.echo(f"  topic   {sent.topic}")
    typer.echo(f"  record  boot {sent.boot}, number {sent.seq}")
    own = (
        "running; the test had an outbox of its own"
        if sent.agent_is_running
        else "not running; its outbox was used"
    )
    more = f", and {sent.also_sent} records that had waited in it were sent" if sent.also_sent else ""
    typer.echo(f"  agent   {own}{more}")


def _print_status(status: dict[str, Any]) -> None:
    state = "running" if status["healthy"] else f"not heard from: {', '.join(status['silent'])}"
    up_s = (status["now_ms"] - status["started_ms"]) / 1000
    typer.echo(f"{status['group']}/{status['device']}: {state} (process {status['pid']}, for {up_s:.0f} s)")
    for part, facts in status["facts"].items():
        said = ", ".join(f"{key} {value}" for key, value in facts.items() if value not in (None, ""))
        typer.echo(f"  {part:<8}{said}")
    for name in _SHOWN_METRICS:
        if name in status["metrics"]:
            typer.echo(f"  {name:<30}{status['metrics'][name]:>14,.6g}")
    for event in status["events"][:5]:
        when = time.strftime("%H:%M:%S", time.localtime(event["ts_ms"] / 1000))
        typer.echo(f"  {when} {event['severity']} {event['name']} {event['message']}".rstrip())


def _follow(follower: "Follower") -> None:
    while True:
        text = follower.new_text()
        if text:
            typer.echo(text, nl=False)
        time.sleep(_FOLLOW_EVERY_S)


def _ask_journald(lines: int, *, follow: bool) -> None:
    from edgewise_agent.service.install import UNIT_NAME

    words = ["journalctl", "--unit", UNIT_NAME, "--lines", str(lines), "--output", "cat"]
    code = subprocess.run([*words, "--follow"] if follow else words, check=False).returncode
    if code:
        raise typer.Exit(1)
