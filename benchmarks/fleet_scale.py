"""Connects simulated devices to a fleet, and says what memory the process that hears them grew by for each.

    python benchmarks/fleet_scale.py --devices 10000 --rate 500 --seconds 60
    python benchmarks/fleet_scale.py --process collect --rate 200 --seconds 120

`serve` is a whole server with its page and SQLite's page cache; `collect` is a collector alone, beside a PostgreSQL.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# In place of this folder, where benchmarks/fleet.py would be found as `fleet`.
sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

from fleet.postgres_parts import Postgres
from fleet.real_parts import EDGEWISE, Mosquitto, Servers

STARTED_S = 5.0


def resident_kb(process_id: int) -> int:
    """VmRSS of a process."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def simulate(url: str, devices: int, rate: float, seconds: float, group: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            EDGEWISE, "fleet", "simulate", "--devices", str(devices), "--rate", str(rate), "--group", group,
            "--seconds", str(seconds), "--broker", url, "--outages", "0", "--kills", "0",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, str]]:
    """Process id, and the broker's address."""
    servers = Servers(folder)
    try:
        started = servers.start()
        yield started.process.pid, started.broker_url
    finally:
        servers.end()


@contextmanager
def collector(folder: Path) -> Iterator[tuple[int, str]]:
    """Process id, and the broker's address."""
    broker, cluster = Mosquitto(folder / "broker"), Postgres()
    broker.start()
    cluster.create()
    cluster.start()
    words = [EDGEWISE, "fleet", "collect", "--store", cluster.new_database(), "--broker", broker.url]
    process = subprocess.Popen([*words, "--name", "scale"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(STARTED_S)
        yield process.pid, broker.url
    finally:
        process.terminate()
        process.wait()
        cluster.remove()
        broker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--process", choices=["serve", "collect"], default="serve")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    begin = server if given.process == "serve" else collector
    with tempfile.TemporaryDirectory() as folder, begin(Path(folder)) as (pid, broker):
        # What comes with the first device, and with so many messages at once as their connecting makes, is not of each
        # device: as many others come before.
        simulate(broker, given.devices, given.rate, given.seconds, "warm").wait()
        before_kb = resident_kb(pid)
        fleet = simulate(broker, given.devices, given.rate, given.seconds, "scale")
        most_kb = own_kb = 0
        while fleet.poll() is None:
            most_kb = max(most_kb, resident_kb(pid))
            own_kb = max(own_kb, resident_kb(fleet.pid))
            time.sleep(1)
        assert fleet.stdout
        totals = json.loads(fleet.stdout.read())
    figures = {
        "process": given.process,
        "connected_most": totals["connected_most"],
        "before_kb": before_kb,
        "most_kb": most_kb,
        "bytes_per_device": round((most_kb - before_kb) * 1024 / given.devices),
        "simulator_bytes_per_device": round(own_kb * 1024 / given.devices),
        "totals": totals,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
