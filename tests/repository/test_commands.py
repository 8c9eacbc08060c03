"""Every command explains itself, and has its place in the documentation."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest
import typer

ROOT = Path(__file__).resolve().parents[2]
EDGEWISE = Path(sys.executable).with_name("edgewise")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand with its words."""
    for entry in metadata.entry_points(group="edgewise.commands"):
        loaded = entry.load()
        if isinstance(loaded, typer.Typer):
            group = typer.main.get_group(loaded)
            for name, command in group.commands.items():
                yield f"{entry.name} {name}", command
        else:
            single = typer.Typer()
            single.command(entry.name)(loaded)
            yield entry.name, typer.main.get_command(single)


COMMANDS = dict(commands())


def test_the_commands_that_the_project_promises_are_there() -> None:
    promised = {"convert", "run", "inspect", "agent run", "agent check", "fleet serve", "fleet top"}
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_every_option_has_help(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"edgewise {words}: {parameter.name} has no help"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_a_page_in_docs(words: str) -> None:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if f"edgewise {words}" in path.read_text()]
    assert pages, f"no page in docs/ speaks of `edgewise {words}`"


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_printed_by_the_real_command(words: str) -> None:
    done = subprocess.run([EDGEWISE, *words.split(), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: edgewise" in done.stdout


def test_wrong_usage_ends_with_2_and_says_so() -> None:
    done = subprocess.run(
        [EDGEWISE, "convert", "--no-such-option"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
