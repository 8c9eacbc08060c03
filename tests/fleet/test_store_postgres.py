"""What is special about the PostgreSQL store, against a real server."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from fleet.postgres_parts import Postgres
from fleet.real_parts import WAIT_S
from fleet.test_store import CAMERA, DAY_MS, NOW_MS, arrived, telemetry

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.store import Counter, RecordsArrival
from edgewise_fleet.store.postgres import PostgresStore
from edgewise_fleet.store.postgres.store import DAYS_AHEAD
from edgewise_fleet.store.selection import Selection
from edgewise_messages import DeviceAddress


@pytest.fixture
def address(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One to be stopped."""
    cluster = Postgres()
    cluster.create()
    cluster.start()
    yield cluster
    cluster.start() if cluster.process is None else None
    cluster.remove()


def ask(address: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address) as connection:
        return list(connection.execute(sql.encode()).fetchall())


def test_each_day_has_a_partition_and_old_ones_are_dropped_whole(address: str) -> None:
    store = PostgresStore(address)
    store.add([arrived(*(telemetry(day, 1.0, at_ms=NOW_MS - day * DAY_MS) for day in range(4)))])
    parts = "SELECT relname FROM pg_class WHERE relname ~ '^points_[0-9]{8}$' AND relkind = 'r'"
    assert len(ask(address, parts)) == 4
    assert store.prune(NOW_MS - NOW_MS % DAY_MS) == 3
    assert len(ask(address, parts)) == 1
    assert ask(address, "SELECT count(*) FROM seen") == [(1,)]
    store.close()


def test_a_day_may_begin_while_somebody_reads_for_long(address: str) -> None:
    """Making a day's table waits for whoever reads the whole, and everybody else behind it: it is there before."""
    store, again = PostgresStore(address), PostgresStore(address, collector="another")
    store.add([arrived(*(telemetry(seq, 1.0, at_ms=NOW_MS + seq) for seq in range(3)))])
    first = store.rows(Selection(table="records"))
    next(first)
    store.roll_up(NOW_MS)  # goes on without the tables of the coming days
    parts = "SELECT count(*) FROM pg_class WHERE relname ~ '^records_[0-9]{8}$' AND relkind = 'r'"
    assert ask(address, parts) == [(1,)]
    list(first)
    store.roll_up(NOW_MS)
    assert ask(address, parts) == [(1 + DAYS_AHEAD,)]
    second = store.rows(Selection(table="records"))
    next(second)
    with ThreadPoolExecutor() as pool:
        for number, one in enumerate((store, again)):
            record = telemetry(10 + number, 1.0, at_ms=NOW_MS + DAY_MS)
            assert (
                pool.submit(one.add, [arrived(record, received_ms=NOW_MS + DAY_MS)]).result(WAIT_S).stored
                == 1
            )
    assert len(list(second)) == 2
    store.close()
    again.close()


def test_the_newest_day_is_kept_though_tables_of_later_ones_are_there(address: str) -> None:
    store = PostgresStore(address)
    store.add([arrived(telemetry(1, 1.0, at_ms=NOW_MS - DAY_MS), telemetry(2, 1.0, at_ms=NOW_MS))])
    store.roll_up(NOW_MS)
    assert store.shrink(1) == 1
    assert ask(address, "SELECT seq FROM records") == [(2,)]
    store.close()


def test_a_clock_years_ago_makes_no_table_of_its_own(address: str) -> None:
    store = PostgresStore(address)
    store.add([arrived(*(telemetry(year, 1.0, at_ms=NOW_MS - year * 365 * DAY_MS) for year in range(2, 6)))])
    assert ask(address, "SELECT count(*) FROM points_other") == [(4,)]
    assert store.prune(NOW_MS - DAY_MS) == 4
    store.close()


def test_collectors_that_write_the_same_records_at_once_keep_each_once(address: str) -> None:
    stores = [PostgresStore(address, collector=f"c{i}") for i in range(3)]
    batches = [
        [
            RecordsArrival(
                DeviceAddress("lab", f"d{device}"),
                NOW_MS,
                (telemetry(seq, 1.0, at_ms=NOW_MS - seq * 60_000),),
            )
            for device in range(40)
        ]
        for seq in range(20)
    ]
    with ThreadPoolExecutor(3) as pool:
        added = [
            one
            for results in pool.map(
                lambda pair: [
                    pair[1].add(batch if pair[0] % 2 else batch[::-1])
                    for batch in (batches if pair[0] != 1 else batches[::-1])
                ],
                enumerate(stores),
            )
            for one in results
        ]
    assert sum(one.stored for one in added) == 800
    assert sum(one.duplicates for one in added) == 1600
    assert stores[0].counts()[Counter.RECORDS] == 800
    assert ask(address, "SELECT count(*), count(DISTINCT (boot_id, seq)) FROM records") == [(800, 800)]
    for store in stores:
        store.close()


def test_a_second_collector_of_the_same_name_is_refused(address: str) -> None:
    first = PostgresStore(address, collector="c1")
    with pytest.raises(StoreUnusable, match="another collector of the name 'c1'"):
        PostgresStore(address, collector="c1", owner_wait_s=0.2)
    first.close()
    PostgresStore(address, collector="c1").close()


def test_a_store_of_a_later_version_is_refused(address: str) -> None:
    PostgresStore(address).close()
    with psycopg.connect(address) as connection:
        connection.execute("INSERT INTO migrations VALUES ('9999-later')")
    with pytest.raises(StoreUnusable, match="of a later version, with '9999-later'; update"):
        PostgresStore(address)


def test_it_serves_on_after_the_database_was_killed(own_postgres: Postgres) -> None:
    store = PostgresStore(own_postgres.new_database())
    assert store.add([arrived(telemetry(1, 1.0))]).stored == 1
    own_postgres.stop(signal.SIGQUIT)
    with pytest.raises(StoreUnusable, match="store postgresql"):
        store.add([arrived(telemetry(2, 2.0))])
    with pytest.raises(StoreUnusable):
        store.devices()
    own_postgres.start()
    assert store.add([arrived(telemetry(1, 1.0), telemetry(2, 2.0))]).stored == 1
    assert store.counts()[Counter.RECORDS] == 2
    assert store.devices()[0].address == CAMERA
    store.close()


def test_an_address_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(StoreUnusable, match=r"store postgresql://me:\*\*\*@127\.0\.0\.1:1/fleet: ") as caught:
        PostgresStore("postgresql://me:secret@127.0.0.1:1/fleet")
    assert "secret" not in str(caught.value)


def test_a_read_only_look_at_an_empty_database_says_what_is_missing(address: str) -> None:
    with pytest.raises(StoreUnusable):
        PostgresStore(address, read_only=True)
