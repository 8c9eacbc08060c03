"""The manifests of a fleet on Kubernetes."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from edgewise_fleet.cli import fleet_app

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "kubernetes-fleet"


def manifests() -> list[dict[str, Any]]:
    return [one for file in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.29", strict=True)


def test_the_commands_have_the_options_that_are_used() -> None:
    import typer.main

    known = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in typer.main.get_group(fleet_app).commands.items()  # type: ignore[attr-defined]
    }
    used = re.findall(r"edgewise fleet (\w+) (.*)", (FOLDER / "collectors.yaml").read_text())
    assert {name for name, _ in used} == {"collect", "serve"}
    for name, options in used:
        assert set(re.findall(r"--[a-z-]+", options)) <= known[name]
