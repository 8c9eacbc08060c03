"""Everything around an agent on a board: a broker with TLS, an owner who publishes and commands, and its settings."""

import json
import signal
import sqlite3
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_agent.agent_parts import ADDRESS, Broker, Listener
from device_agent.certificates import Authority
from device_agent.conftest import toml
from device_agent.update_parts import TARGET, Owner, write_photos
from fleet.real_parts import unused_port

from arm_agent import agent_packages
from arm_userland import INSIDE_PACKAGES, INSIDE_PROJECT, Userland
from edgewise.testing import tiny_card, write_tiny_model
from edgewise_fleet.commanding import ask_device, make_command
from edgewise_fleet.keys import make_key
from edgewise_messages import Response

PATIENCE_S = 240.0
"""Emulation is slow, and slower on a busy machine."""
RULE = {
    "name": "green", "when": 'label == "green" and score > 0.5', "cooldown_s": 3600.0, "severity": "warning",
    "tell": "each", "message": "{label} at {score:.2f}", "snapshot": True,
}  # fmt: skip


def int8_model(path: Path, name: str) -> Path:
    """Each name is another file."""
    return write_tiny_model(path, card=tiny_card(name=name, dtype="int8"), dtype="int8")


@dataclass
class Site:
    """A device's surroundings on this machine: three listeners of one broker, plain, TLS and mutual TLS."""

    folder: Path
    tls_port: int = field(default_factory=unused_port)
    mutual_port: int = field(default_factory=unused_port)

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder / "authority")
        self.stranger = Authority(self.folder / "stranger")
        self.device_pair = self.authority.sign("cam-1")
        self.owner = Owner(self.folder / "owner")
        self.key = self.folder / "key"
        self.public_key = make_key(self.key)
        self.strangers_key = self.folder / "strangers-key"
        make_key(self.strangers_key)
        self.photos = write_photos(self.folder / "photos")
        self.model = int8_model(self.folder / "tiny.tflite", "tiny")
        self.status_port = unused_port()
        self.broker = self._start_broker()
        self.listener = Listener(self.broker.port)

    def close(self) -> None:
        self.listener.close()
        self.broker.stop()

    def publish(self, name: str) -> None:
        self.owner.publish(int8_model(self.folder / f"{name}.tflite", name))

    def ask(self, name: str, *, key: Path | None = None) -> Response:
        command = make_command(name, {}, address=ADDRESS, key=key)
        return ask_device(command, ADDRESS, broker=self.broker.url, timeout_s=PATIENCE_S)

    def write_settings(self, name: str, *, port: int, target: str = TARGET, **broker: object) -> Path:
        """``name``.toml, with a state folder of its own."""
        sections: dict[str, dict[str, object]] = {
            "device": {"id": ADDRESS.device, "group": ADDRESS.group, "state_dir": f"state-{name}"},
            "broker": {
                "url": f"mqtts://127.0.0.1:{port}",
                "ca_file": str(self.authority.pair.certificate),
                **broker,
            },
            "pipelines.main": {
                "model": str(self.model), "source": str(self.photos), "interval_s": 0.25, "events": "all",
            },
            "pipelines.main.rules": {"rule": [RULE]},
            "snapshots": {"min_free_mb": 0},
            "report": {"interval_s": 2.0},
            "status": {"port": self.status_port},
            "commands": {"keys": [str(self.public_key)]},
            "updates": {
                "repository": str(self.owner.place), "root_file": str(self.owner.repository.root_file),
                "target": target, "poll_s": 2.0,
                "shadow_inputs": 5, "watch_inputs": 5, "watch_s": 1.0, "max_slowdown": 1000.0,
            },
        }  # fmt: skip
        lines: list[str] = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{key} = {toml(value)}" for key, value in values.items())]
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join([*lines, ""]))
        return path

    def _start_broker(self) -> Broker:
        folder = self.folder / "broker"
        folder.mkdir()
        server = self.authority.sign("broker")
        files = [
            f"cafile {self.authority.pair.certificate}",
            f"certfile {server.certificate}",
            f"keyfile {server.key}",
        ]
        broker = Broker(folder)
        tls = [f"listener {self.tls_port} 127.0.0.1", *files]
        broker.start(*tls, f"listener {self.mutual_port} 127.0.0.1", *files, "require_certificate true")
        return broker


class BoardAgent:
    """`edgewise agent` on a board."""

    def __init__(self, board: Userland, site: Site) -> None:
        packages = agent_packages(board.board)
        self._board = board
        self._more: dict[str, Any] = {
            "binds": [site.folder, packages],
            "folder": site.folder,
            "variables": {"PYTHONPATH": f"{INSIDE_PROJECT}:{INSIDE_PACKAGES}:{packages}"},
        }

    def says(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """What a command says."""
        return self._board.run("edgewise", *words, **self._more)

    def begin(self, *words: str | Path) -> "subprocess.Popen[str]":
        """The same without waiting for it."""
        command, environment = self._board.command("edgewise", *words, **self._more)
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@dataclass(frozen=True)
class Said:
    """How a process ended."""

    code: int
    out: str
    err: str

    @classmethod
    def of(cls, done: "subprocess.CompletedProcess[str]") -> "Said":
        return cls(done.returncode, done.stdout, done.stderr)

    @property
    def values(self) -> dict[str, Any]:
        """Of what it printed as JSON."""
        return dict(json.loads(self.out))


def ended(process: "subprocess.Popen[str]", how: signal.Signals | None = None) -> Said:
    """Wait for it, after a signal if one is named; one that never ends is killed."""
    if how is not None:
        process.send_signal(how)
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Said(process.returncode, out, err)


def waiting_records(state_dir: Path) -> int:
    """How many records an outbox holds, when its agent has ended."""
    database = sqlite3.connect(state_dir / "outbox.db")
    (count,) = database.execute("SELECT count(*) FROM records").fetchone()
    database.close()
    return int(count)
