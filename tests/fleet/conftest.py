"""What the fleet's tests run against: brokers, servers started as a user starts them, and a browser."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import EDGEWISE, WAIT_S, Mosquitto, Server, wait_until
from fleet.simulated import SimulatedDevice

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def fleet_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `edgewise fleet ...` to its end."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EDGEWISE, "fleet", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S
        )

    return run


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start `edgewise fleet serve` on free ports in the test's folder; ended with the test."""
    started: list[Server] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Server:
        log = tmp_path / f"serve-{len(started)}.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [EDGEWISE, "fleet", "serve", "--port", "0", "--mqtt-port", "0", *arguments],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        assert process.stdout
        said = process.stdout.readline() + process.stdout.readline()
        found = re.fullmatch(r"Fleet page: +(http://\S+)\nDevices report to (mqtt://\S+)\n", said)
        assert found, f"said {said!r}; log: {log.read_text()}"
        server = Server(process, found[1], found[2], log)
        started.append(server)
        wait_until(server.answers, "the page answers")
        return server

    yield start
    for server in started:
        server.end()


@pytest.fixture
def device() -> Iterator[Callable[..., SimulatedDevice]]:
    """Devices that disconnect with the test."""
    made: list[SimulatedDevice] = []

    def make(name: str, *, port: int, **options: Any) -> SimulatedDevice:
        made.append(SimulatedDevice(name, port=port, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
