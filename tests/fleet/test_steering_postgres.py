"""Registry and rollouts in a real PostgreSQL: command lines, two servers, and what is refused."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from device_agent.update_parts import good_model
from fleet.postgres_parts import Postgres
from fleet.real_parts import Mosquitto, wait_until
from fleet.rollout_parts import Site

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_fleet.store import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def address(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


def test_the_turn_is_one_process_at_a_time_and_goes_on_to_another_one(address: str) -> None:
    first, second, looker = (open_steering(address) for _ in range(3))
    assert not looker.is_turn_taken()
    assert first.take_turn() and first.take_turn() and not second.take_turn()
    assert looker.is_turn_taken()
    first.close()
    wait_until(second.take_turn, "the turn is free again")
    second.close()
    looker.close()


def test_a_broken_connection_loses_the_turn_and_comes_back(address: str) -> None:
    first, second = open_steering(address), open_steering(address)
    assert first.take_turn()
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
    wait_until(second.take_turn, "the turn is free again")
    with pytest.raises(StoreUnusable):
        first.take_turn()
    assert not first.take_turn()
    first.put([DeviceEntry(group="g", device="d")])
    assert len(second.entries()) == 1
    first.close()
    second.close()


def refused(address: str) -> str:
    """What was wrong, in one line."""
    with pytest.raises(StoreUnusable) as caught:
        open_steering(address, create=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_the_database_refuses_is_one_line(address: str, postgres: Postgres, fleet_command: Run) -> None:
    assert "no fleet store; `edgewise fleet serve --store` makes it" in refused(address)
    assert "does not exist" in refused(postgres.url("nowhere"))
    assert "expected postgresql://" in refused("postgresql://me@host/fleet?colour=red")
    assert "expected the path of a file, or postgresql://" in refused("postgresql:/db")
    open_store(address).close()
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS nobody_here")
        admin.execute("CREATE ROLE nobody_here LOGIN")
    assert "permission denied" in refused(address.replace("postgres@", "nobody_here@"))
    done = fleet_command("registry", "list", "--store", "postgresql://me:secret@127.0.0.1:1/fleet")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "store postgresql://me:***@127.0.0.1:1/fleet: " in done.stderr


@pytest.mark.long
def test_a_wrong_password_is_said() -> None:
    cluster = Postgres()
    cluster.create()
    (cluster.folder / "data" / "pg_hba.conf").write_text(
        "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    cluster.start()
    try:
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE ROLE keeper LOGIN PASSWORD 'right'")
        said = refused(cluster.url("postgres").replace("postgres@", "keeper:wr0ng@"))
        assert "password authentication failed" in said and "wr0ng" not in said
    finally:
        cluster.remove()


def test_a_user_that_may_only_use_the_tables_can_steer(address: str, fleet_command: Run) -> None:
    open_store(address).close()
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS clerk")
        admin.execute("CREATE ROLE clerk LOGIN")
        admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
    theirs = address.replace("postgres@", "clerk@")
    done = fleet_command("registry", "device", "g/d", "--set", "location=here", "--store", theirs)
    assert done.stdout == "g/d\n  location: here\n", done.stderr
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("DROP OWNED BY clerk")
        admin.execute("DROP ROLE clerk")


@pytest.mark.long
def test_enrolment_is_noted_in_the_shared_registry(address: str, fleet_command: Run) -> None:
    fleet_command("broker-config", "--host", "broker.example", "--folder", "e")
    made = fleet_command(
        "enrol", "shop/cam-1", "--broker", "mqtts://broker.example", "--folder", "e", "--store", address
    )
    assert made.returncode == 0, made.stderr
    steering = open_steering(address)
    assert [one.credential for one in steering.entries()] == ["certificate"]
    assert fleet_command("revoke", "shop/cam-1", "--folder", "e", "--store", address).returncode == 0
    assert [one.credential for one in steering.entries()] == ["revoked"]
    steering.close()


@pytest.mark.long
def test_users_lie_beside_in_sqlite_also_with_postgres(
    address: str, tmp_path: Path, fleet_command: Run
) -> None:
    assert fleet_command("tokens", "add", "script", "--store", address).returncode == 0
    assert (tmp_path / "fleet.db-panel").exists()
    assert "script" in fleet_command("tokens", "list", "--store", address).stdout


@pytest.mark.long
def test_of_two_servers_one_carries_the_rollout_out_and_the_other_takes_over_when_it_is_killed(
    site: Site, address: str, mosquitto: Mosquitto
) -> None:
    shared = ("--store", address, "--broker", mosquitto.url, "--rollout-key", str(site.key))
    one = site.servers.start(*shared, "--name", "one", "--silent-after", "5")
    two = site.servers.start(*shared, "--name", "two", "--silent-after", "5")
    site.server, site.store = one, address
    site.publish("good", good_model(site.folder / "good.tflite", "good"))
    site.simulate(40, group="sim", rate=60)
    site.wait_for_devices(40, "sim")
    rollout = site.roll_out("good", "--group", "sim", "--stages", "canary=3,50%,100%", "--hold", "1s")
    wait_until(lambda: "rollout r-" in one.log.read_text(), "the first server acts")
    assert "rollout r-" not in two.log.read_text()
    one.end(signal.SIGKILL)
    site.wait_for(rollout, "done")
    assert "rollouts: carried out here" in two.log.read_text()
    assert "rollout r-" in two.log.read_text()
    history = site.history(rollout)
    for number in range(40):
        assert history.count(f"sim/sim-{number:02}  told") == 1, "nobody is told twice over"
    assert {one["phase"] for one in site.status(rollout)["devices"]} == {"confirmed"}
    assert json.loads(two.get("/api/devices"))["trouble"] == []
