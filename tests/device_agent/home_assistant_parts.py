"""A real Home Assistant without its front end, in an environment and a process of its own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import WAIT_S, unused_port

from model_sources.environments import environment, find_python
from model_sources.wheels import SourceError

VERSION = "2025.4.4"
"""The last one for Python 3.13.0; discovery by device came with 2024.12."""
REQUIREMENTS = (f"homeassistant=={VERSION}", "paho-mqtt==2.1.0", "janus==2.0.0")
"""The latter two are what its MQTT integration asks for, and would install at its start."""
START_S = 180.0

_CONFIGURATION = """\
homeassistant:
  name: test
  latitude: 0
  longitude: 0
  elevation: 0
  unit_system: metric
  time_zone: UTC
  country: DE
  currency: EUR
http:
  server_host: 127.0.0.1
  server_port: {port}
told:
  file: {file}
"""
_TOLD = """\
import json
from datetime import timedelta
from pathlib import Path

from homeassistant.helpers import device_registry, entity_registry
from homeassistant.helpers.event import async_track_time_interval


async def async_setup(hass, config):
    path = Path(config["told"]["file"])

    def write(text):
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    async def tell(*_):
        entities = entity_registry.async_get(hass).entities.values()
        found = {}
        for entity in entities:
            state = hass.states.get(entity.entity_id)
            if entity.platform == "mqtt" and state is not None:
                attributes = dict(state.attributes)
                found[entity.unique_id] = {"state": state.state, "category": entity.entity_category, **attributes}
        devices = [
            {"name": one.name, "model": one.model, "version": one.sw_version}
            for one in device_registry.async_get(hass).devices.values()
            if any(domain == "mqtt" for domain, *_ in one.identifiers)
        ]
        text = json.dumps({"entities": found, "devices": devices}, default=str)
        await hass.async_add_executor_job(write, text)

    async_track_time_interval(hass, tell, timedelta(seconds=0.5))
    return True
"""
_NO_FRONT_END = """\
async def async_setup(hass, config):
    return True
"""


def home_assistant_python() -> Path:
    """Its Python; the test is left out where there is none that it runs on."""
    python = find_python("3.13")
    if python is None:
        pytest.skip("Home Assistant asks for Python 3.13")
    try:
        return environment(f"home-assistant-{VERSION}", REQUIREMENTS, python=python)
    except SourceError as error:
        pytest.skip(str(error))


@dataclass
class HomeAssistant:
    """Its MQTT integration is set to a broker; what it knows is read from a file that it writes twice a second."""

    folder: Path
    broker_port: int
    python: Path = field(default_factory=home_assistant_python)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it knows something."""
        self._write_files()
        log = self.folder / "log.txt"
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [self.python, "-m", "homeassistant", "--config", self.folder, "--skip-pip"],
                stdout=stream,
                stderr=stream,
                env=environment,
            )
        deadline = time.monotonic() + START_S
        while not self._told.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Home Assistant does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)
            self.process = None
        self._told.unlink(missing_ok=True)

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Afterwards it finds all at once what was sent to it meanwhile."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def entities(self) -> dict[str, dict[str, Any]]:
        """State and attributes of all that came by MQTT, by unique id."""
        found: dict[str, dict[str, Any]] = self._read()["entities"]
        return found

    def devices(self) -> list[dict[str, Any]]:
        """Those that came by MQTT."""
        found: list[dict[str, Any]] = self._read()["devices"]
        return found

    def complaints(self) -> list[str]:
        """What its log says of MQTT and sensors, from warnings upwards."""
        lines = (self.folder / "log.txt").read_text().splitlines()
        return [
            line
            for line in lines
            if (" WARNING " in line or " ERROR " in line)
            and any(word in line for word in ("components.mqtt", "components.sensor", "helpers.template"))
        ]

    @property
    def _told(self) -> Path:
        return self.folder / "told.json"

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._told.read_text())
        return found

    def _write_files(self) -> None:
        for name, code in (("told", _TOLD), ("frontend", _NO_FRONT_END)):
            folder = self.folder / "custom_components" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").write_text(code)
            manifest = {
                "domain": name,
                "name": name,
                "version": "1.0.0",
                "documentation": "",
                "codeowners": [],
            }
            (folder / "manifest.json").write_text(json.dumps({**manifest, "iot_class": "local_push"}))
        (self.folder / "configuration.yaml").write_text(
            _CONFIGURATION.format(port=unused_port(), file=self._told)
        )
        entries = self.folder / ".storage" / "core.config_entries"
        if entries.exists():
            return
        entries.parent.mkdir(exist_ok=True)
        entry = {
            "entry_id": "mqtt", "version": 1, "minor_version": 2, "domain": "mqtt", "title": "mqtt",
            "data": {"broker": "127.0.0.1", "port": self.broker_port}, "options": {"discovery": True},
            "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user",
            "unique_id": None, "disabled_by": None,
        }  # fmt: skip
        whole = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry]}}
        entries.write_text(json.dumps(whole))
