"""`edgewise fleet users` and `edgewise fleet tokens`: who may look and change."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgewise_fleet.access import Gate

users_app = typer.Typer(
    no_args_is_help=True, help="Users of the page; as soon as there is one, everybody must log in."
)
tokens_app = typer.Typer(no_args_is_help=True, help="Tokens for scripts and Prometheus.")

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        help="The fleet server's; for postgresql://... it is fleet.db-panel here.",
    ),
]
RoleOption = Annotated[
    str, typer.Option(help="viewer looks, operator also changes, admin also reads the audit log.")
]
NameArgument = Annotated[str, typer.Argument(help="Its name.")]
DEFAULT_STORE = "fleet.db"


@contextmanager
def _gate(store: str) -> Iterator["Gate"]:
    from edgewise_fleet.access import Gate
    from edgewise_fleet.panel_db import PanelDb, panel_path
    from edgewise_fleet.store import beside

    db = PanelDb(panel_path(beside(store)))
    try:
        yield Gate(db)
    finally:
        db.close()


def _password() -> str:
    """Asked for twice on a terminal, else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _note(gate: "Gate", what: str, detail: str) -> None:
    gate.audit.add(who="command line", address="", what=what, detail=detail)


@users_app.command("add")
def add_user(name: NameArgument, role: RoleOption = "viewer", store: StoreOption = DEFAULT_STORE) -> None:
    """Make a user; the password is asked for, or read from standard input."""
    from edgewise_fleet.access.roles import parse_role

    with _gate(store) as gate:
        wanted = parse_role(role)
        gate.users.add(name, wanted, _password())
        _note(gate, "user added", f"{name} ({wanted.value})")
    typer.echo(f"Added {name} ({wanted.value}); everybody must log in now")


@users_app.command("password")
def set_password(name: NameArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Give a user another password; the user is logged out everywhere."""
    with _gate(store) as gate:
        gate.users.set_password(name, _password())
        _note(gate, "password changed", name)
    typer.echo(f"Changed the password of {name}")


@users_app.command("remove")
def remove_user(name: NameArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Forget a user, who is logged out at once."""
    with _gate(store) as gate:
        gate.users.remove(name)
        _note(gate, "user removed", name)
        alone = gate.is_open()
    typer.echo(f"Removed {name}" + ("; nobody has to log in any more" if alone else ""))


@users_app.command("list")
def list_users(store: StoreOption = DEFAULT_STORE) -> None:
    """Print users and their roles."""
    with _gate(store) as gate:
        users = gate.users.all()
    for user in users:
        typer.echo(f"{user.name}\t{user.role.value}")
    if not users:
        typer.echo("No users: nobody has to log in", err=True)


@tokens_app.command("add")
def add_token(name: NameArgument, role: RoleOption = "viewer", store: StoreOption = DEFAULT_STORE) -> None:
    """Make a token and print it, this once."""
    from edgewise_fleet.access.roles import parse_role

    with _gate(store) as gate:
        wanted = parse_role(role)
        token = gate.users.add_token(name, wanted)
        _note(gate, "token added", f"{name} ({wanted.value})")
    typer.echo(token)


@tokens_app.command("remove")
def remove_token(name: NameArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Forget a token; it is refused from now on."""
    with _gate(store) as gate:
        gate.users.remove_token(name)
        _note(gate, "token removed", name)
    typer.echo(f"Removed token {name}")


@tokens_app.command("list")
def list_tokens(store: StoreOption = DEFAULT_STORE) -> None:
    """Print the names and roles of tokens."""
    with _gate(store) as gate:
        tokens = gate.users.tokens()
    for token in tokens:
        typer.echo(f"{token.name}\t{token.role.value}")
    if not tokens:
        typer.echo("No tokens", err=True)
