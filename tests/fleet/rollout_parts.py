"""A whole site for rollouts: server, broker, repository, stand-ins and real agents, each a process of its own."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from device_agent.drift_parts import baseline_of, observations
from device_agent.update_parts import crashing_model, good_model, lying_model, write_photos
from fleet.real_parts import EDGEWISE, Server, Servers

from edgewise.testing import tiny_card, write_tiny_model
from edgewise_fleet.keys import make_key
from edgewise_fleet.publishing import PublishedRepository
from edgewise_fleet.rollouts.state import DevicePhase

BAD = ("slow", "wrong", "crash", "drift")
WAIT_S = 90.0


def drifting_model(path: Path) -> Path:
    """Sound, and made for other pictures than those that come."""
    samples = observations(np.random.default_rng(5), 500, darker=100.0, shares=np.array([0.9, 0.05, 0.05]))
    return write_tiny_model(path, card=replace(tiny_card(name="drift"), drift=baseline_of(samples)))


def very_slow_model(path: Path) -> Path:
    """Right, and so slow that it shows on a machine that runs all of this besides."""
    size_wh = (640, 640)
    return write_tiny_model(path, card=tiny_card(name="slow", size_wh=size_wh), size_wh=size_wh)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "slow": very_slow_model,
    "wrong": lying_model,
    "crash": crashing_model,
    "drift": drifting_model,
}


@dataclass
class Agent:
    """A real agent, started again when it dies, as systemd does."""

    folder: Path
    config: Path
    is_ending: bool = False
    starts: int = 0

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self.is_ending:
            with (self.folder / "agent.log").open("ab") as log:
                self.process = subprocess.Popen(
                    [EDGEWISE, "agent", "run", "--config", str(self.config)], stdout=log, stderr=log
                )
            self.starts += 1
            self.process.wait()
            time.sleep(0.2)

    def end(self) -> None:
        self.is_ending = True
        self.process.terminate()
        self._thread.join(30)


@dataclass
class Site:
    """Everything in one folder."""

    folder: Path
    store: str = "fleet.db"
    servers: Servers = field(init=False)
    agents: list[Agent] = field(default_factory=list)
    simulations: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.servers = Servers(self.folder)
        self.key = self.folder / "owner"
        make_key(self.key)
        self.repository = PublishedRepository(self.folder / "updates", self.folder / "updates-keys")
        self.repository.create()
        self.server: Server | None = None

    def serve(self, silent_after_s: float = 5.0) -> Server:
        arguments = ["--rollout-key", str(self.key), "--silent-after", f"{silent_after_s:g}"]
        if self.server is not None:  # again, on the same port, as devices know it
            arguments += ["--mqtt-port", str(self.server.mqtt_port)]
        self.server = self.servers.start(*arguments)
        return self.server

    def publish(self, name: str, model: Path) -> None:
        self.repository.publish(model, target=f"models/{name}.tflite")

    def publish_all(self) -> None:
        models = self.folder / "made"
        models.mkdir()
        self.publish("good", good_model(models / "good.tflite", "good"))
        for name, make in MAKERS.items():
            self.publish(name, make(models / f"{name}.tflite"))

    def simulate(self, devices: int, *flags: str, group: str, **options: object) -> None:
        assert self.server
        more = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.simulations.append(
            subprocess.Popen(
                [
                    EDGEWISE, "fleet", "simulate", "--devices", str(devices), "--group", group,
                    "--broker", self.server.broker_url, "--key", f"{self.key}.pub", "--fetch", "0.5",
                    "--watch", "2", "--outages", "0", "--kills", "0", "--drifting", "0", *flags, *more,
                ],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
        )  # fmt: skip

    def start_agent(
        self,
        name: str,
        *,
        group: str = "real",
        interval_s: float = 0.02,
        watch_inputs: int = 200,
        max_slowdown: float = 8.0,
    ) -> None:
        assert self.server
        folder = self.folder / name
        folder.mkdir()
        write_photos(folder / "photos")
        good_model(folder / "factory.tflite", "factory")
        config = folder / "agent.toml"
        config.write_text(f"""\
[device]
id = "{name}"
group = "{group}"
state_dir = "state"
[pipelines.main]
model = "factory.tflite"
source = "photos"
interval_s = {interval_s}
[broker]
url = "{self.server.broker_url}"
reconnect_max_s = 1.0
[report]
interval_s = 0.5
[outbox]
commit_interval_s = 0.05
[status]
port = 0
[commands]
keys = ["{self.key}.pub"]
[updates]
repository = ["{self.repository.folder}"]
root_file = "{self.repository.root_file}"
poll_s = 1.0
shadow_inputs = 50
watch_inputs = {watch_inputs}
watch_s = 1.0
max_slowdown = {max_slowdown}
max_drift_moved = 0
""")
        self.agents.append(Agent(folder, config))

    def fleet(self, *arguments: str) -> str:
        done = subprocess.run(
            [EDGEWISE, "fleet", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=WAIT_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def roll_out(self, name: str, *more: str) -> str:
        """Begin; the rollout's id."""
        told = self.fleet(
            "rollout", "start", f"models/{name}.tflite", "--repository", "updates", "--silence", "15s",
            "--store", self.store, *more,
        )  # fmt: skip
        return told.split()[1].rstrip(":")

    def status(self, rollout: str) -> dict[str, Any]:
        return dict(json.loads(self.fleet("rollout", "status", rollout, "--json", "--store", self.store)))

    def history(self, rollout: str) -> str:
        return self.fleet("rollout", "history", rollout, "--store", self.store)

    def wait_for(self, rollout: str, phase: str, wait_s: float = WAIT_S) -> dict[str, Any]:
        deadline = time.monotonic() + wait_s
        while True:
            found = self.status(rollout)
            if found["rollout"].get("phase", "running") == phase:
                return found
            is_over = found["rollout"].get("phase") in ("done", "halted")
            assert not is_over and time.monotonic() < deadline, f"not {phase}: {self.history(rollout)}"
            time.sleep(0.3)

    def wait_for_devices(self, count: int, group: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while sum(one["sha256"] != "" for one in self.devices(group)) < count:
            assert time.monotonic() < deadline, f"not {count} devices in {group}"
            time.sleep(0.3)

    def devices(self, group: str) -> list[dict[str, Any]]:
        found = json.loads(self.fleet("registry", "list", "--group", group, "--json", "--store", self.store))
        return [{"sha256": "", **one} for one in found]

    def running(self, group: str) -> dict[str, int]:
        """How many devices run which digest."""
        tally: dict[str, int] = {}
        for one in self.devices(group):
            tally[one["sha256"]] = tally.get(one["sha256"], 0) + 1
        return tally

    def sha256(self, name: str) -> str:
        return self.repository.targets()[f"models/{name}.tflite"][1]

    def end(self) -> None:
        for agent in self.agents:
            agent.is_ending = True
        for agent in self.agents:
            agent.end()
        for simulation in self.simulations:
            simulation.terminate()
            simulation.communicate(timeout=30)
        self.servers.end()


def told(status: dict[str, Any]) -> int:
    """Devices that were ever told."""
    never = (DevicePhase.PENDING.value, DevicePhase.LEFT_OUT.value)
    return sum(one.get("phase", "pending") not in never for one in status["devices"])
