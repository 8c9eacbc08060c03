"""The disk of a real PostgreSQL fills up under load: what was acknowledged is stored once there is room again."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from fleet.cluster_publishers import PlainDevice, record
from fleet.postgres_parts import Postgres
from fleet.real_parts import Mosquitto, Server, wait_until
from fleet.test_store import DAY_MS, MIDNIGHT_MS, every

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import Keep, RecordsArrival
from edgewise_fleet.store.postgres import PostgresStore
from edgewise_fleet.upkeep import Keeper, UpkeepSettings

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which root may"),
]

SIZE = "256M"
LEFT_BYTES = 200_000
KINDS = {
    # Log files are used again, so it is the tables that find no room: each transaction fails, the server stays.
    "data": Postgres(settings=("fsync=off", "min_wal_size=32MB", "max_wal_size=64MB")),
    # Small log files, none used again: the log finds no room, and without it PostgreSQL ends.
    "log": Postgres(
        settings=("fsync=off", "min_wal_size=2MB", "max_wal_size=200MB"), initdb=("--wal-segsize=1",)
    ),
}


@dataclass
class SmallDisk:
    """A file system of its own, in memory."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Leave next to nothing free."""
        with self._ballast.open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, self.free_bytes - LEFT_BYTES)

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def make_room(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)  # PostgreSQL runs as another user
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True)
    yield SmallDisk(folder)
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(params=["data", "log"])
def database(disk: SmallDisk, request: pytest.FixtureRequest) -> Iterator[Postgres]:
    kind = KINDS[request.param]
    cluster = Postgres(folder=disk.folder, settings=kind.settings, initdb=kind.initdb)
    cluster.create()
    cluster.start()
    yield cluster
    cluster.stop()


def test_what_was_acknowledged_while_the_disk_was_full_is_stored_once_there_is_room(
    disk: SmallDisk, database: Postgres, mosquitto: Mosquitto, serve: Callable[..., Server]
) -> None:
    url = database.new_database()
    server = serve("--store", url, "--broker", mosquitto.url)
    devices = [PlainDevice(f"plain{at}", [("127.0.0.1", mosquitto.port)]) for at in range(2)]
    with ExitStack() as stack:
        for device in devices:
            device.start()
            stack.callback(device.stop)
        wait_until(lambda: stored(url), "records are stored")
        disk.fill()
        wait_until(lambda: "make room" in server.get("/healthz"), "the trouble is told, with what to do")
        assert "make room" in str(server.fleet()["trouble"])
        wait_until(lambda: "No space left on device" in server.log.read_text(), "the cause is in the log")
        wait_for_more(devices)
        disk.make_room()
        come_back(database)
        wait_until(lambda: acknowledged(devices) <= stored(url), "all is stored, without a restart of ours")
        wait_until(lambda: not server.fleet()["trouble"], "the trouble is over")

        # Whatever this server had acknowledged to the broker and not stored is gone with it.
        disk.fill()
        wait_until(lambda: "make room" in server.get("/healthz"), "the disk is full again")
        wait_for_more(devices)
        server.end(signal.SIGKILL)
        disk.make_room()
        come_back(database)
        server = serve("--store", url, "--broker", mosquitto.url)
    told = acknowledged(devices)
    wait_until(lambda: told <= stored(url), "every acknowledged record is stored")
    server.end()
    with psycopg.connect(url) as connection:
        rows, points = (
            connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            for table in ("records", "points")
        )
    connection.close()
    assert rows and points
    assert rows[0] == len(stored(url))
    assert points[0] == rows[0] * len(record("", 1).metrics)


@pytest.mark.parametrize("database", ["data"], indirect=True)
def test_a_bound_given_when_the_disk_is_full_already_makes_room(disk: SmallDisk, database: Postgres) -> None:
    """The roll-up finds none, what is beyond the bound is forgotten all the same, and then records are stored again."""
    store = PostgresStore(database.new_database())
    for day in range(4):
        store.add([a_day(day)])
    disk.fill()
    with pytest.raises(StoreUnusable, match="make room"):
        for day in range(4, 12):
            store.add([a_day(day)])
    with pytest.raises(StoreUnusable, match="make room"):
        store.roll_up(MIDNIGHT_MS + 4 * DAY_MS)
    keeper = Keeper(store, UpkeepSettings(keep=Keep(raw_days=0), max_size_bytes=1))
    keeper.start()
    wait_until(lambda: disk.free_bytes > 1_000_000, "there is room")
    keeper.stop()
    assert store.add([a_day(12)]).stored == 8000
    store.close()


def a_day(day: int) -> RecordsArrival:
    return every(10_000, 8000, first_seq=day * 10_000, start_ms=MIDNIGHT_MS + day * DAY_MS)


def come_back(database: Postgres) -> None:
    """Start PostgreSQL if it has ended, as the machine's service manager or its operator does."""
    if database.process is not None and database.process.poll() is not None:
        database.process = None
        database.start()


def acknowledged(devices: list[PlainDevice]) -> set[tuple[str, int]]:
    return {(device.boot, seq) for device in devices for seq in device.acknowledged}


def wait_for_more(devices: list[PlainDevice]) -> None:
    goal = len(acknowledged(devices)) + 500
    wait_until(lambda: len(acknowledged(devices)) >= goal, "the broker acknowledges more")


def stored(url: str) -> set[tuple[str, int]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT boot, seq FROM records JOIN boots ON boots.id = boot_id").fetchall()
    connection.close()
    return {(boot, seq) for boot, seq in rows}
