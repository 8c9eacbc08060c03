"""The container file and the k3s manifests: sound by their own schemas, hardened, and in step with the agent."""

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from edgewise_agent.lean import ENVIRONMENT
from edgewise_agent.service.unit import MEMORY_MAX_MB
from edgewise_agent.settings.config import parse_settings
from edgewise_agent.status.answers import _PLACES
from edgewise_agent.status.settings import DEFAULT_PORT

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "examples/k3s").glob("*.yaml"))
KUBERNETES = "1.29"
"""An older one than k3s installs today; what it accepts the newer ones do."""


def documents() -> list[Any]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> Any:
    (found,) = [one for one in documents() if one["kind"] == kind]
    return found


@pytest.mark.parametrize("version", [KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_own_schema_accepts_the_manifests(path: Path, version: str) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_would_find_a_fault() -> None:
    broken = of_kind("StatefulSet")
    broken["spec"]["template"]["spec"]["containers"][0]["resorces"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_the_pod_has_no_rights_that_it_does_not_need() -> None:
    pod = of_kind("StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"] == f"{MEMORY_MAX_MB}Mi"


def test_the_probes_ask_what_the_agent_serves() -> None:
    (container,) = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "status", "containerPort": DEFAULT_PORT}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "status"}
    assert "/healthz" in _PLACES


def test_the_settings_in_the_manifest_are_sound_and_only_write_where_they_may() -> None:
    settings, problems = parse_settings(
        of_kind("ConfigMap")["data"]["agent.toml"].encode(), base=Path("/etc/edgewise")
    )
    assert problems == ()
    assert settings is not None
    (container,) = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}
    assert not mounts["/state"]
    assert settings.device.state_dir.is_relative_to("/state")
    assert settings.pipelines["main"].model.is_relative_to("/models")
    assert settings.pipelines["main"].source == ("/pictures",)
    assert settings.status.address == "0.0.0.0", "127.0.0.1 would be out of the probes' reach"


def test_the_container_file_is_in_step_with_the_project() -> None:
    text = (ROOT / "examples/container/Containerfile").read_bytes()
    parser = DockerfileParser(fileobj=io.BytesIO(text))
    steps = [
        (one["instruction"], one["value"]) for one in parser.structure if one["instruction"] != "COMMENT"
    ]
    assert [value.split()[0] for kind, value in steps if kind == "FROM"] == [
        "docker.io/library/python:3.11-bookworm",  # with a compiler
        "docker.io/library/python:3.11-slim-bookworm",
    ]
    for kind, value in steps:
        if kind == "COPY" and not value.startswith("--from"):
            assert all((ROOT / name).exists() for name in value.split()[:-1]), value
    told = dict(steps)
    assert told["USER"] == "65532:65532"
    assert told["EXPOSE"] == str(DEFAULT_PORT)
    words = json.loads(told["ENTRYPOINT"])
    assert words[1:3] == ["-P", "-m"]
    assert importlib.util.find_spec(words[3]) is not None
    for name, value in ENVIRONMENT.items():
        assert f"{name}={value}" in told["ENV"]
