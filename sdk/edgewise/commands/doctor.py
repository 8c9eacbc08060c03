"""`edgewise doctor`: can this machine run models, and what is in the way."""

import json
from typing import Annotated

import typer


def doctor_app(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
) -> None:
    """Look at this machine: runtimes, processor, power, heat, memory; exit code 1 when no model can run."""
    from edgewise.doctor import examine

    examination = examine()
    if as_json:
        typer.echo(json.dumps(examination.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(examination.page())
    if not examination.can_run:
        raise typer.Exit(1)
