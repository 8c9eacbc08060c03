"""`edgewise engines`."""

import json
import sys
from typing import Annotated

import typer

_NAME = "onnx2tf, the only one so far."
_YES = "Do not ask before downloading."

engines_app = typer.Typer(
    no_args_is_help=True,
    help="Second converters, for models with operators that have no lowering of our own.",
    rich_markup_mode=None,
)


@engines_app.command("install")
def install_command(
    name: Annotated[str, typer.Argument(help=_NAME)] = "onnx2tf",
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
) -> None:
    """Put a second converter into an environment of its own, from the package index pip is set to."""
    from edgewise_converters.drawing import Drawn
    from edgewise_converters.engines.catalogue import engine_named
    from edgewise_converters.engines.installation import choose, home, install, installed

    choice = choose(engine_named(name))
    what = f"{name} {choice.release.version} for Python {choice.python_version}"
    present = installed(choice.engine)
    if present is not None and present.version == choice.release.version:
        print(f"{what}: is installed already, in {present.folder}")  # noqa: T201 - the command's output
        return
    size = choice.release.size_mb
    print(  # noqa: T201 - the command's output
        f"{what}: {size} MB on the disk with all it needs, less to download; into {home()}", file=sys.stderr
    )
    if not yes and sys.stdin.isatty():
        typer.confirm("Go on?", default=True, abort=True, err=True)
    with Drawn() as progress:
        made = install(choice, progress.stage)
    print(f"{what}: installed in {made.folder}")  # noqa: T201 - the command's output


@engines_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list for machines.")] = False,
) -> None:
    """Say which second converters there are, and which are installed."""
    from edgewise_converters.engines import ENGINES, installed

    found = {name: installed(engine) for name, engine in ENGINES.items()}
    if as_json:
        rows = {
            name: {"version": e.version, "python": e.python_version, "folder": str(e.folder)} if e else None
            for name, e in found.items()
        }
        print(json.dumps(rows, indent=2))  # noqa: T201 - the command's output
        return
    for name, engine in found.items():
        said = (
            f"{engine.version}, in {engine.folder}"
            if engine
            else f"not installed: edgewise engines install {name}"
        )
        print(f"{name:10} {said}")  # noqa: T201 - the command's output


@engines_app.command("remove")
def remove_command(name: Annotated[str, typer.Argument(help=_NAME)]) -> None:
    """Delete a second converter with its environment."""
    from edgewise_converters.engines import remove
    from edgewise_converters.engines.catalogue import engine_named

    count = remove(engine_named(name))
    print(f"{name}: {'removed' if count else 'was not installed'}")  # noqa: T201 - the command's output
