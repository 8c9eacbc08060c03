"""The command line itself."""

import subprocess
import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest


def test_help_loads_neither_the_page_nor_the_broker_libraries() -> None:
    code = (
        "import sys, edgewise_fleet.cli\n"
        "print([name for name in ('nicegui', 'paho', 'rich', 'msgspec', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (
            "serve",
            ("--host", "--port", "--store", "--broker", "--mqtt-port", "--silent-after", "--keep-days"),
        ),
        ("top", ("--store", "--url", "--json", "--once", "--silent-after")),
    ],
)
def test_help_names_every_option(
    fleet_command: Callable[..., CompletedProcess[str]], command: str, options: tuple[str, ...]
) -> None:
    done = fleet_command(command, "--help")
    assert done.returncode == 0
    assert [option for option in options if option not in done.stdout] == []


def test_a_wrong_option_is_a_usage_error(fleet_command: Callable[..., CompletedProcess[str]]) -> None:
    assert fleet_command("serve", "--prot", "8080").returncode == 2
