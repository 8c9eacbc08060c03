"""`edgewise agent audit` and `serve-offload`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgewise_agent.privacy import Head, Verified

AUDIT_FOLDER = "audit"
"""In device.state_dir."""


def add_commands(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command("audit")(audit_command)
    app.command("serve-offload")(serve_offload_command)


def audit_command(
    config: Annotated[Path, typer.Option("--config", "-c", help="The settings file (TOML).")] = Path(
        "agent.toml"
    ),
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="The state folder itself.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no line was changed or removed.")
    ] = False,
    expect: Annotated[
        str, typer.Option("--expect", help="A record told earlier, as NUMBER:SHA256, that must be in it.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for machines.")] = False,
) -> None:
    """List every input that left this device.

    With --verify the chain of the records is checked; the command then fails when a record was changed or removed.
    """
    from edgewise_agent.errors import AuditError
    from edgewise_agent.privacy import read_audit, verify_audit

    folder = (state_dir or _state_dir(config)) / AUDIT_FOLDER
    try:
        if verify or expect:
            _print_verified(folder, verify_audit(folder, expected=_head(expect)), as_json=as_json)
            return
        lines = list(read_audit(folder))
    except OSError as error:
        raise AuditError(f"{folder}: {error.strerror or error}") from error
    if as_json:
        typer.echo(json.dumps(lines, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(_in_words(line))
    if not lines:
        typer.echo(f"{folder}: no input has left this device")


def serve_offload_command(
    model: Annotated[Path, typer.Option("--model", help="The model file that answers.")],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0 takes a free one.")
    ] = 8190,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="Its first line is the key that devices must say.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="For https: PEM, with its chain.")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option("--private-key", help="For https: the certificate's key.")
    ] = None,
) -> None:
    """Answer devices that are not sure of a picture.

    A small server for a local network, for the offload of agents. It ends at SIGTERM or Ctrl-C.
    """
    import signal
    import threading

    from edgewise_agent.errors import InvalidSettings, Problem
    from edgewise_agent.logs.lines import log_to_stderr
    from edgewise_agent.offload.server import OffloadServer, ServeOptions

    log_to_stderr(verbose=False)
    try:
        server = OffloadServer(model, ServeOptions(host, port, key_file, certificate, private_key))
    except OSError as error:
        where = Problem(f"{host}:{port}", error.strerror or str(error))
        raise InvalidSettings("serve-offload", (where,)) from error
    scheme = "https" if certificate else "http"
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"{model.name} answers at {scheme}://{shown}:{server.port}")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()


def _state_dir(config: Path) -> Path:
    from edgewise_agent.settings.working_copy import load_in_force

    return load_in_force(config).device.state_dir


def _head(text: str) -> "Head | None":
    from edgewise_agent.privacy import Head

    if not text:
        return None
    number, _, sha256 = text.partition(":")
    if not number.isdecimal() or len(sha256) != 64:
        raise typer.BadParameter(f"got {text!r}, expected NUMBER:SHA256", param_hint="--expect")
    return Head(int(number), sha256)


def _print_verified(folder: Path, found: "Verified", *, as_json: bool) -> None:
    if as_json:
        known = {
            "ok": not found.problems, "records": found.lines, "first": found.first_number,
            "last": found.head.number, "sha256": found.head.sha256, "problems": list(found.problems),
        }  # fmt: skip
        typer.echo(json.dumps(known))
    elif not found.problems:
        older = f", {found.first_number - 1} older ones went to make room" if found.first_number > 1 else ""
        typer.echo(f"{folder}: {found.lines} records, none changed{older}")
        typer.echo(f"  last    {found.head.number}:{found.head.sha256}")
    if found.problems:
        if not as_json:
            typer.echo("\n".join([f"{folder}:", *(f"  {text}" for text in found.problems)]), err=True)
        raise typer.Exit(1)


def _in_words(line: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    try:
        when = datetime.fromtimestamp(line["ts_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        when = "at an unknown time"
    what = f"{line.get('media', 'something')}, {line.get('size_bytes', '?')} bytes"
    return f"{line.get('n')}  {when}  {what} to {line.get('to')} ({line.get('why')})"
