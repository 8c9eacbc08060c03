"""What the agent's tests run against: a model, photos, a broker, and agents started as a user starts them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker, Listener
from PIL import Image

from edgewise.testing import write_tiny_model

COLOURS = {"a": "red", "b": "lime", "c": "blue"}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tells red, green and blue pictures apart."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.tflite")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A red, a green and a blue picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Running until the test ends."""
    folder = tmp_path / "broker"
    folder.mkdir()
    made = Broker(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    """Subscribed before any agent starts."""
    made = Listener(broker.port)
    yield made
    made.close()


@pytest.fixture
def write_config(tmp_path: Path, tiny_model: Path, photos: Path) -> Callable[..., Path]:
    """Writes agent.toml: section=dict(key=value) replaces or adds keys; ``pipeline`` is the main one."""

    def write(url: str = "mqtt://127.0.0.1:1", **changes: dict[str, Any]) -> Path:
        sections: dict[str, dict[str, Any]] = {
            "device": {"id": ADDRESS.device, "group": ADDRESS.group, "state_dir": "state"},
            "pipelines.main": {
                "model": str(tiny_model),
                "source": str(photos),
                "interval_s": 0.02,
                "events": "all",
            },
            "broker": {"url": url, "reconnect_max_s": 1.0},
            "report": {"interval_s": 0.5},
            "outbox": {"commit_interval_s": 0.05},
            "status": {"port": 0},
        }
        if "pipeline" in changes:
            changes["pipelines.main"] = changes.pop("pipeline")
        lines = []
        for name in {**sections, **changes}:
            section = {**sections.get(name, {}), **changes.get(name, {})}
            lines += [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in section.items())]
        config = tmp_path / "agent.toml"
        config.write_text("\n".join([*lines, ""]))
        return config

    return write


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[[Path], AgentProcess]]:
    """Starts `edgewise agent run`; whatever still runs at the test's end is killed."""
    started: list[AgentProcess] = []

    def start(config: Path) -> AgentProcess:
        started.append(AgentProcess(config, tmp_path / f"agent-{len(started)}.log"))
        return started[-1]

    yield start
    for agent in started:
        agent.kill()
        assert "Traceback" not in agent.said


def toml(value: object) -> str:
    """One value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value)
    return repr(value)
