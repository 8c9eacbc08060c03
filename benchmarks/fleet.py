"""What the fleet takes in, durably, beside a subscriber that only counts and one that inserts row by row.

    .venv/bin/python benchmarks/fleet.py ingest [--messages 30000] [--turns 3] [--stores sqlite postgres]
        [--collectors 1 2 3]
    .venv/bin/python benchmarks/fleet.py query [--devices 1000] [--days 30] [--every-s 10] [--store sqlite]

`ingest`: a real mosquitto holds a backlog of QoS 1 messages (one record of 16 metrics each) in a persistent session;
every row drains the same backlog in a process of its own. `query`: generated points, rolled up while records
arrive, then asked for; before each question's first answer what the system holds of the disk in memory is let go of.
"""

import argparse
import json
import os
import resource
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

# In place of this folder, where this very file would be found as `fleet`.
sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

import paho.mqtt.client as paho
from fleet.backlog import START_MS, backlog, publish
from fleet.postgres_parts import Postgres
from fleet.real_parts import Mosquitto
from fleet.simulated import plausible
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgewise_fleet.broker_url import parse_broker_url
from edgewise_fleet.collector import FILTERS, Collector, shared_filters
from edgewise_fleet.receiving import RECEIVE_MAXIMUM, Receiver
from edgewise_fleet.store import Counter, Keep, RecordsArrival, Store, open_store
from edgewise_messages import Clock, DeviceAddress, Telemetry, decode_records

METRICS = len(plausible(0))
METRIC = "board.temperature_c"
GIVE_UP_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    ingest = commands.add_parser("ingest")
    ingest.add_argument("--messages", type=int, default=30_000)
    ingest.add_argument("--turns", type=int, default=3)
    ingest.add_argument("--stores", nargs="+", default=["sqlite", "postgres"])
    ingest.add_argument("--collectors", nargs="+", type=int, default=[1, 2, 3])
    query = commands.add_parser("query")
    query.add_argument("--devices", type=int, default=1000)
    query.add_argument("--days", type=float, default=30)
    query.add_argument("--every-s", type=float, default=10)
    query.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    query.add_argument("--by-day", action="store_true", help="roll each day up before the next one comes")
    query.add_argument(
        "--raw-days", type=float, default=0.0, help="with --by-day: forget older points, not roll-ups"
    )
    worker = commands.add_parser("worker")
    worker.add_argument("kind")
    worker.add_argument("url")
    worker.add_argument("name")
    worker.add_argument("count", type=int)
    worker.add_argument("store", nargs="?", default="")
    worker.add_argument("--shared", action="store_true")
    words = parser.parse_args()
    if words.command == "query" and min(words.devices, words.days, words.every_s) <= 0:
        parser.error("--devices, --days and --every-s: expected more than 0")
    {"ingest": measure_ingest, "query": measure_queries, "worker": run_worker}[words.command](words)


def measure_ingest(words: argparse.Namespace) -> None:
    messages = backlog(words.messages)
    few = messages[: max(100, len(messages) // 60)]
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        broker = Mosquitto(Path(folder) / "broker")
        broker.start()
        stack.callback(broker.stop)
        cluster = Postgres(settings=("shared_buffers=512MB", "max_wal_size=4GB"))
        stack.callback(cluster.remove)
        if "postgres" in words.stores:
            cluster.create()
            cluster.start()
        for turn in range(words.turns):

            def note(name: str, *how: Any) -> None:
                rows.setdefault(name, []).append(drain(broker, *how))

            note("bare paho, counts", messages, "bare", [""])
            note("bare paho, row by row into SQLite", few, "rows", [f"{folder}/rows{turn}.db"])
            if "sqlite" in words.stores:
                note("Edgewise, SQLite", messages, "edgewise", [f"{folder}/fleet{turn}.db"])
            for count in words.collectors if "postgres" in words.stores else []:
                name = f"Edgewise, PostgreSQL, {count} collector{'s' if count > 1 else ''}"
                note(name, messages, "edgewise", [cluster.new_database()] * count)
    show_ingest(rows, words)


def show_ingest(rows: dict[str, list[float]], words: argparse.Namespace) -> None:
    """The best of each row's turns counts: what else the machine does only makes it less."""
    best = {name: max(rates) for name, rates in rows.items()}
    bare, peer = best["bare paho, counts"], best["bare paho, row by row into SQLite"]
    print(
        f"{words.messages} messages of {METRICS} metrics, best of {words.turns}, load average {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{'':40} {'messages/s':>10} {'points/s':>10} {'of bare':>8} {'of rows':>8}   messages/s of each turn"
    )
    for name, rate in best.items():
        turns = " ".join(f"{one:.0f}" for one in rows[name])
        print(
            f"{name:40} {rate:10.0f} {rate * METRICS:10.0f} {rate / bare:8.0%} {rate / peer:7.1f}x   {turns}"
        )


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def drain(broker: Mosquitto, messages: list[tuple[str, bytes]], kind: str, stores: list[str]) -> float:
    """Messages per second from the first process's start until the last message is done with."""
    _log(f"{kind}: {len(messages)} messages, {len(stores)} process(es)")
    names = [f"{kind}-{time.time_ns()}-{i}" for i in range(len(stores))]
    for name in names:
        link = Receiver(
            parse_broker_url(broker.url),
            client_id=name,
            filters=_filters(stores),
            on_messages=lambda _m: None,
        )
        link.start()
        link.stop()
    publish(broker.port, messages)
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                __file__,
                "worker",
                kind,
                broker.url,
                name,
                str(len(messages)),
                store,
                *(["--shared"] if len(stores) > 1 else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, store in zip(names, stores, strict=True)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    began = time.monotonic()
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    ended = []
    for worker in workers:
        assert worker.stdout
        ended.append(json.loads(worker.stdout.readline()))
        worker.communicate("end\n")
    for name in names:
        # Or a later row's shares would go to it as well.
        forget = paho.Client(CallbackAPIVersion.VERSION2, clean_session=True, client_id=name)
        forget.connect("127.0.0.1", broker.port)
        forget.disconnect()
    return len(messages) / (max(ended) - began)


def _filters(stores: list[str]) -> tuple[str, ...]:
    return shared_filters("bench") if len(stores) > 1 else FILTERS


def run_worker(words: argparse.Namespace) -> None:
    """One process; says "ready", waits for a line, and prints when it is done with the last message."""
    {"bare": bare_worker, "rows": rows_worker, "edgewise": edgewise_worker}[words.kind](words)


def _say_and_wait(text: str) -> None:
    print(text, flush=True)
    sys.stdin.readline()


def _paho(words: argparse.Namespace, on_message: paho.CallbackOnMessage) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=words.name, protocol=paho.MQTTv5)
    client.on_message = on_message
    wishes = Properties(PacketTypes.CONNECT)
    wishes.SessionExpiryInterval, wishes.ReceiveMaximum = 0xFFFFFFFF, RECEIVE_MAXIMUM
    url = parse_broker_url(words.url)
    client.on_connect = lambda one, *_: one.subscribe([(name, SubscribeOptions(qos=1)) for name in FILTERS])
    client.connect(url.host, url.port, clean_start=False, properties=wishes)
    return client


def bare_worker(words: argparse.Namespace) -> None:
    heard, done = [0], threading.Event()

    def count(*_: object) -> None:
        heard[0] += 1
        if heard[0] == words.count:
            done.set()

    _say_and_wait("ready")
    client = _paho(words, count)
    client.loop_start()
    done.wait(GIVE_UP_S)
    _say_and_wait(json.dumps(time.monotonic()))
    client.disconnect()


def rows_worker(words: argparse.Namespace) -> None:
    """What people write first: a transaction for each message, an INSERT for each metric."""
    heard, done = [0], threading.Event()
    database = sqlite3.connect(words.store, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE points (topic TEXT, metric TEXT, at_ms INTEGER, value REAL)")

    def insert(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        for record in decode_records(message.payload).records:
            if isinstance(record, Telemetry):
                for name, value in record.metrics.items():
                    database.execute(
                        "INSERT INTO points VALUES (?, ?, ?, ?)", (message.topic, name, record.ts_ms, value)
                    )
                    database.commit()
        heard[0] += 1
        if heard[0] == words.count:
            done.set()

    _say_and_wait("ready")
    client = _paho(words, insert)
    client.loop_start()
    done.wait(GIVE_UP_S)
    _say_and_wait(json.dumps(time.monotonic()))
    client.disconnect()


def edgewise_worker(words: argparse.Namespace) -> None:
    store = open_store(words.store, collector=words.name[-20:])
    collector = Collector(store)
    receiver = Receiver(
        parse_broker_url(words.url),
        client_id=words.name,
        filters=shared_filters("bench") if words.shared else FILTERS,
        on_messages=collector.receive,
        has_room=collector.has_room,
    )
    _say_and_wait("ready")
    collector.start(receiver)
    receiver.start()
    deadline = time.monotonic() + GIVE_UP_S
    while store.counts()[Counter.RECORDS] < words.count and time.monotonic() < deadline:
        time.sleep(0.05)
    _say_and_wait(json.dumps(time.monotonic()))
    collector.stop()
    receiver.stop()
    store.close()


def measure_queries(words: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp())
    kept = folder
    cluster = Postgres(settings=("shared_buffers=512MB", "max_wal_size=8GB", "synchronous_commit=off"))
    try:
        address = str(folder / "fleet.db")
        if words.store == "postgres":
            cluster.create()
            cluster.start()
            address = cluster.new_database()
            kept = cluster.folder

        def cool() -> None:
            if words.store == "postgres":
                cluster.stop()
            let_go_of(kept)
            if words.store == "postgres":
                cluster.start()

        ask_generated(address, words, cool)
    finally:
        shutil.rmtree(folder)
        if words.store == "postgres":
            cluster.remove()
        else:
            shutil.rmtree(cluster.folder)


def let_go_of(folder: Path) -> None:
    """Its files' pages leave the system's memory, so that they are read from the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


class Arrivals(threading.Thread):
    """A record ten times a second, until stopped; remembers how long the slowest took to be stored."""

    def __init__(self, store: Store, since_ms: int) -> None:
        super().__init__(daemon=True)
        self.count, self.slowest_s = 0, 0.0
        self._store, self._since_ms = store, since_ms
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.count += 1
            at_ms = self._since_ms + self.count
            record = Telemetry(
                ts_ms=at_ms, mono_ns=0, boot="live", seq=self.count, clock=Clock.NTP, metrics={METRIC: 50.0}
            )
            began = time.monotonic()
            self._store.add([RecordsArrival(DeviceAddress("lab", "d0"), at_ms, (record,))])
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def after_day(address: str, words: argparse.Namespace, until_ms: int) -> None:
    """What a fleet server does meanwhile."""
    store, began = open_store(address), time.monotonic()
    rolled = store.roll_up(until_ms)
    pruned = store.prune(until_ms - round(words.raw_days * 86_400_000), keep=Keep()) if words.raw_days else 0
    store.close()
    day = round((until_ms - START_MS) / 86_400_000)
    print(
        f"day {day}: {rolled} buckets in {time.monotonic() - began:.0f} s, {pruned} records forgotten",
        flush=True,
    )


def ask_generated(address: str, words: argparse.Namespace, cool: Callable[[], None]) -> None:
    generate = runpy.run_path(str(Path(__file__).with_name("fleet_generated.py")))["generate"]
    began = time.monotonic()
    points = generate(
        address,
        devices=words.devices,
        days=words.days,
        every_ms=round(words.every_s * 1000),
        start_ms=START_MS,
        after_day=partial(after_day, address, words) if words.by_day else lambda until_ms: None,
    )
    made = time.monotonic()
    store = open_store(address)
    until_ms = START_MS + round(words.days * 86_400_000)
    arrivals = Arrivals(store, until_ms + 60_000)
    arrivals.start()
    used_s = time.process_time()
    rolled = store.roll_up(until_ms)
    took_s, used_s = time.monotonic() - made, time.process_time() - used_s
    arrivals.stop()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{words.store}: {points} points in {made - began:.0f} s; {rolled} buckets in {took_s:.0f} s ({used_s:.0f} s of"
        f" processor time here), memory at most {peak_mb:.0f} MB; of {arrivals.count} records that arrived meanwhile"
        f" the slowest was stored in {arrivals.slowest_s * 1000:.0f} ms",
        flush=True,
    )
    for path in (
        sorted(Path(address).parent.glob(f"{Path(address).name}*")) if words.store == "sqlite" else ()
    ):
        print(f"{path.name}: {path.stat().st_size / 1e9:.2f} GB")
    store.close()
    ask_questions(address, words, cool)


def ask_questions(address: str, words: argparse.Namespace, cool: Callable[[], None]) -> None:
    """Each as the first of its kind, with nothing of the file in memory, and again."""
    store = open_store(address)
    until_ms = START_MS + round(words.days * 86_400_000)
    device = store.devices()[words.devices // 2].address
    window = {"since_ms": START_MS, "until_ms": until_ms - 1}
    metric = METRIC
    questions = {
        "one metric of all devices, whole window": lambda: store.fleet_series(metric, **window),
        "the same by the hour": lambda: store.fleet_series(metric, buckets=24 * round(words.days), **window),
        "one device, whole window, 500 points": lambda: store.series(device, [metric], **window),
        "one device, last day, 500 points": lambda: store.series(
            device, [metric], since_ms=until_ms - 86_400_000, until_ms=until_ms - 1
        ),
        "one device, last hour": lambda: store.series(
            device, [metric], since_ms=until_ms - 3_600_000, until_ms=until_ms - 1
        ),
        "every device's latest values": lambda: store.devices(),
    }
    for name, ask in questions.items():
        times = []
        store.close()
        cool()
        store = open_store(address)
        for _ in range(3):
            began = time.monotonic()
            ask()
            times.append(time.monotonic() - began)
        print(f"{name:45} first {times[0] * 1000:8.1f} ms, then {min(times[1:]) * 1000:8.1f} ms", flush=True)
    store.close()


if __name__ == "__main__":
    main()
