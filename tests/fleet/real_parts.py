"""Real brokers and real fleet servers, as the tests handle them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgewise_fleet.broker_embedded import find_mosquitto

WAIT_S = 60.0
EDGEWISE = str(Path(sys.executable).with_name("edgewise"))


def wait_until(holds: Callable[[], Any], what: str, *, every_s: float = 0.1) -> Any:
    """The first true answer; fails with `what` if none comes."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(every_s)
    pytest.fail(f"waited {WAIT_S:.0f} s in vain until {what}")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Mosquitto:
    """A real broker that keeps its sessions over a restart."""

    folder: Path
    port: int = field(default_factory=unused_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = find_mosquitto()
        assert program, "the tests need mosquitto; scripts/test installs it"
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nmax_queued_messages 0\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )
        self.process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        wait_until(self._answers, "mosquitto answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)
            self.process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


@dataclass
class Server:
    """One running `edgewise fleet serve`."""

    process: subprocess.Popen[str]
    url: str
    broker_url: str
    log: Path

    @property
    def mqtt_port(self) -> int:
        return int(self.broker_url.rsplit(":", 1)[1])

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(self.url + path, timeout=WAIT_S) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def fleet(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/api/devices")))

    def wait_for_records(self, count: int) -> dict[str, Any]:
        return dict(
            wait_until(
                lambda: (fleet := self.fleet())["records"] >= count and fleet, f"{count} records are stored"
            )
        )

    def answers(self) -> bool:
        try:
            return bool(self.get("/healthz"))
        except OSError:
            return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(WAIT_S)
        if self.process.stdout:
            self.process.stdout.close()
        return code


@dataclass
class Servers:
    """Servers started in one folder, to be ended together."""

    folder: Path
    started: list[Server] = field(default_factory=list)

    def start(self, *arguments: str) -> Server:
        log = self.folder / f"serve-{len(self.started)}.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [EDGEWISE, "fleet", "serve", "--port", "0", "--mqtt-port", "0", *arguments],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert process.stdout
        said = process.stdout.readline() + process.stdout.readline()
        found = re.fullmatch(r"Fleet page: +(http://\S+)\nDevices report to (mqtt://\S+)\n", said)
        assert found, f"said {said!r}; log: {log.read_text()}"
        self.started.append(Server(process, found[1], found[2], log))
        wait_until(self.started[-1].answers, "the page answers")
        return self.started[-1]

    def end(self) -> None:
        for server in self.started:
            server.end()
