"""What the fleet's tests run against: brokers, servers started as a user starts them, and a browser."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.postgres_parts import Postgres
from fleet.real_parts import EDGEWISE, WAIT_S, Mosquitto, Server, Servers
from fleet.simulated import SimulatedDevice

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that the tests share; each makes databases of its own in it."""
    cluster = Postgres()
    cluster.create()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that is not there yet, one of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "fleet.db")
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker")
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
    servers = Servers(tmp_path)
    yield servers.start
    servers.end()


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser. As long as Playwright runs, this thread has an event loop, in which asyncio cannot run another."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
