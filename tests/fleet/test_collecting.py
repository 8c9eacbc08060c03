"""Several collectors on a real broker and a real PostgreSQL, started as a user starts them."""

import json
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest
from fleet.backlog import backlog, publish
from fleet.postgres_parts import Postgres
from fleet.real_parts import EDGEWISE, WAIT_S, Mosquitto, Server, wait_until
from fleet.simulated import SimulatedDevice, now_ms, plausible

from edgewise_fleet.collecting import CollectSettings, run_collector
from edgewise_fleet.errors import BadChoice
from edgewise_fleet.store import Counter, open_store
from edgewise_fleet.store.selection import Selection
from edgewise_messages import Clock

MakeDevice = Callable[..., SimulatedDevice]
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
def collect(mosquitto: Mosquitto, database: str, tmp_path: Path) -> Iterator[Start]:
    """Start `edgewise fleet collect` of this name and wait until it hears."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        with (tmp_path / f"{name}-{len(started)}.log").open("w") as log:
            process = subprocess.Popen(
                [
                    EDGEWISE,
                    "fleet",
                    "collect",
                    "--store",
                    database,
                    "--broker",
                    mosquitto.url,
                    "--name",
                    name,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline().startswith(f"Collector {name} shares edgewise of mqtt://")
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(WAIT_S)
        if process.stdout:
            process.stdout.close()


def ask(database: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as connection:
        return list(connection.execute(sql.encode()).fetchall())


def stored(database: str) -> int:
    ((count,),) = ask(database, "SELECT count(*) FROM records")
    return int(str(count))


def test_three_collectors_share_the_records_and_a_killed_one_loses_none(
    collect: Start, mosquitto: Mosquitto, device: MakeDevice, database: str
) -> None:
    first, second = collect("one"), collect("two")
    camera = device("camera", port=mosquitto.port)
    camera.introduce()
    camera.publish_burst(600)
    second.send_signal(signal.SIGKILL)
    camera.publish_burst(400)
    collect("three")
    camera.publish_burst(500)
    second.wait(WAIT_S)
    # What the broker had given to the killed one waits for it, under its name.
    collect("two")
    wait_until(lambda: stored(database) == 1500, "all records are stored")
    assert ask(database, "SELECT min(seq), max(seq), count(DISTINCT seq) FROM records") == [(1, 1500, 1500)]
    ((shares,),) = ask(database, "SELECT count(*) FROM counters WHERE name = 'records' AND value > 0")
    assert shares == 3
    ((states,),) = ask(database, "SELECT state FROM devices")
    assert states == "online"
    first.send_signal(signal.SIGTERM)
    assert first.wait(WAIT_S) == 0


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.long), "postgres"])
def test_killed_again_and_again_in_a_backlog_each_record_is_stored_once(
    kind: str,
    request: pytest.FixtureRequest,
    mosquitto: Mosquitto,
    serve: Callable[..., Server],
    tmp_path: Path,
) -> None:
    if kind == "postgres":
        address = str(request.getfixturevalue("database"))
        start = partial(request.getfixturevalue("collect"), "one")
    else:
        address, start = str(tmp_path / "fleet.db"), lambda: serve("--broker", mosquitto.url).process
    process = start()
    messages = backlog(20_000, start_ms=now_ms() - 3_600_000)
    with closing(open_store(address, read_only=True)) as store:
        for begin in range(0, 20_000, 10_000):
            # So that it takes in nothing before all of it is there.
            process.send_signal(signal.SIGSTOP)
            publish(mosquitto.port, messages[begin : begin + 10_000])
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: store.counts()[Counter.RECORDS] > begin, "some are stored", every_s=0.01)  # noqa: B023  # called here
            process.send_signal(signal.SIGKILL)
            process.wait(WAIT_S)
            process = start()
            wait_until(lambda: store.counts()[Counter.RECORDS] == begin + 10_000, "all are stored")  # noqa: B023  # called here
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        records = {row[2:7] for row in store.rows(Selection(table="records"))}
        assert len(records) == 20_000
        assert sum(1 for _ in store.rows(Selection(table="points"))) == 20_000 * len(plausible(0))


def test_a_server_on_postgresql_survives_kill_and_database_restart(
    serve: Callable[..., Server], mosquitto: Mosquitto, device: MakeDevice, tmp_path: Path
) -> None:
    cluster = Postgres()
    cluster.create()
    cluster.start()
    try:
        database = cluster.new_database()
        server = serve("--broker", mosquitto.url, "--store", database)
        camera = device("camera", port=mosquitto.port)
        camera.publish_burst(300)
        cluster.stop(signal.SIGQUIT)
        camera.publish_burst(300)
        wait_until(lambda: "503" in _health(server) or "trouble" in _health(server), "the server says so")
        cluster.start()
        server.wait_for_records(600)
        camera.publish_burst(200)
        server.end(signal.SIGKILL)
        camera.publish_burst(100)
        last = serve("--broker", mosquitto.url, "--store", database)
        last.wait_for_records(900)
        last.end()
        assert ask(database, "SELECT min(seq), max(seq), count(*) FROM records") == [(1, 900, 900)]
    finally:
        cluster.remove()


def _health(server: Server) -> str:
    return server.get("/healthz")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"store": "fleet.db"}, "--store postgresql://"),
        ({"store": "postgresql://x/y", "name": "a/b"}, "--name: got 'a/b'"),
        ({"store": "postgresql://x/y", "name": "a", "share": "x#"}, "--share: got 'x#'"),
    ],
)
def test_what_cannot_be_shared_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(BadChoice, match=said):
        run_collector(CollectSettings(**{"broker": "mqtt://127.0.0.1:1", "name": "a", **settings}))


def test_a_store_that_cannot_grow_acknowledges_nothing_and_goes_on_when_it_can(
    serve: Callable[..., Server], mosquitto: Mosquitto, device: MakeDevice, tmp_path: Path
) -> None:
    server = serve("--broker", mosquitto.url)
    camera = device("camera", port=mosquitto.port)
    camera.publish_burst(100)
    server.wait_for_records(100)
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    # To the kernel a file at its limit is like a full disk, for this process alone.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    camera.publish_burst(200)
    wait_until(
        lambda: "store" in json.dumps(json.loads(server.get("/healthz"))["trouble"]), "the server says so"
    )
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    server.wait_for_records(300)
    server.end()
    connection = sqlite3.connect(tmp_path / "fleet.db")
    found = connection.execute("SELECT min(seq), max(seq), count(*) FROM records").fetchall()
    connection.close()
    assert found == [(1, 300, 300)]


def test_a_day_of_replay_at_once_is_stored_and_rolled_up_exactly_once(
    serve: Callable[..., Server], mosquitto: Mosquitto, device: MakeDevice, tmp_path: Path
) -> None:
    server = serve("--broker", mosquitto.url)
    camera, live = device("camera", port=mosquitto.port), device("live", port=mosquitto.port)
    day = 86_400_000
    begin_ms = (now_ms() // day - 2) * day
    records = [camera.telemetry({"x": float(i)}, ts_ms=begin_ms + i * 10_000) for i in range(8640)]
    records = [msgspec.structs.replace(record, clock=Clock.NTP) for record in records]
    for begin in range(0, len(records), 120):
        camera.publish(*records[begin : begin + 120])
        if begin % 1200 == 0:
            live.publish(live.telemetry({"x": 1.0}))
            camera.publish(*records[begin : begin + 120])
    fleet = server.wait_for_records(8640 + 8)
    assert fleet["records"] == 8640 + 8
    server.end()
    store = open_store(str(tmp_path / "fleet.db"))
    store.roll_up(now_ms())
    buckets = store.fleet_series("x", since_ms=begin_ms, until_ms=begin_ms + day - 1)
    assert sum(one.count for one in buckets) == 8640
    assert sum(one.sum for one in buckets) == float(sum(range(8640)))
    assert len(buckets) == 24
    store.close()
