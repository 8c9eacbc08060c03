"""Everything at once for as long as you like: does every accepted record arrive exactly once?

    .venv/bin/python benchmarks/soak.py --minutes 15 --kills 200 --seed 1

Two devices (soak_device.py) record at a rate and send at QoS 1 to a real mosquitto, and a real `edgewise fleet serve`
collects. One device is killed (SIGKILL) at random moments; before it starts again the end of its write-ahead log is
torn where a power cut could: after the last commit, and within a commit that was not yet accepted. The other runs
through and shows whether memory stays flat. The broker is stopped, frozen and killed, the collector is killed, and the
disk refuses writes for a while (RLIMIT_FSIZE). A broker that is killed forgets what it acknowledged since it last wrote
its own file, which no device can help: it is told to write it first, while the devices are held.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

HERE = Path(__file__).parent
EDGEWISE = str(Path(sys.executable).with_name("edgewise"))
FRAME_BYTES = 24 + 4096
FOLDED_AT_FRAMES = 256
"""From here on SQLite may have moved the log into the file, for which it was synced first: nothing can be torn."""
WAIT_S = 120.0


@dataclass
class Device:
    """One soak_device.py after another on the same state folder, and what they said was accepted."""

    name: str
    folder: Path
    broker: str
    rate: float
    accepted: dict[tuple[str, int], int] = field(default_factory=dict)
    dropped: int = 0
    quarantined: int = 0
    process: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def outbox(self) -> Path:
        return self.folder / self.name / "outbox.db"

    def start(self) -> None:
        command = [sys.executable, str(HERE / "soak_device.py"), str(self.folder / self.name)]
        options = ["--broker", self.broker, "--device", self.name, "--rate", str(self.rate)]
        self.process = subprocess.Popen(
            command + options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        assert self.process.stdout
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def end(self, how: signal.Signals) -> None:
        assert self.process and self.process.stdout and self.reader
        self.process.send_signal(how)
        self.process.wait(WAIT_S + 300.0)
        self.reader.join()
        self.process.stdout.close()

    def refuse_writes(self, refuse: bool) -> None:
        limit = 0 if refuse else resource.RLIM_INFINITY
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def _read(self, pipe: IO[bytes]) -> None:
        rest = b""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            while data := pipe.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line, log)

    def _take(self, line: bytes, log: IO[bytes]) -> None:
        words = line.split()
        if words[:1] == [b"A"] and len(words) == 4:
            self.accepted[words[1].decode(), int(words[2])] = int(words[3])
        elif words[:1] == [b"S"] and len(words) == 3:
            self.dropped, self.quarantined = int(words[1]), int(words[2])
        else:
            log.write(line + b"\n")
            log.flush()


@dataclass
class Mosquitto:
    """A broker that keeps its sessions in a file."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nmax_queued_messages 0\nlog_type error\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )
        path = f"{os.environ['PATH']}:/usr/sbin"
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["mosquitto", "-c", str(config)], stderr=log, env={**os.environ, "PATH": path}
            )
        wait_for(self._answers, "mosquitto answers")

    def send(self, how: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(how)

    def end(self, how: signal.Signals) -> None:
        assert self.process
        self.send(how)
        self.process.wait(WAIT_S)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False


@dataclass
class Collector:
    """`edgewise fleet serve` on a store."""

    folder: Path
    broker: str
    process: subprocess.Popen[str] | None = None

    @property
    def store(self) -> Path:
        return self.folder / "fleet.db"

    def start(self) -> None:
        command = [
            EDGEWISE,
            "fleet",
            "serve",
            "--port",
            "0",
            "--broker",
            self.broker,
            "--store",
            str(self.store),
        ]
        with (self.folder / "fleet.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

    def wait_until_it_serves(self) -> None:
        assert self.process and self.process.stdout
        assert re.match("Fleet page:", self.process.stdout.readline()), (
            self.folder / "fleet.log"
        ).read_text()

    def end(self, how: signal.Signals) -> None:
        assert self.process and self.process.stdout
        self.process.send_signal(how)
        self.process.wait(WAIT_S)
        self.process.stdout.close()

    def counts(self) -> tuple[int, int]:
        """Records stored and repeats recognised."""
        with contextlib.closing(self._open()) as database:
            (stored,) = database.execute("SELECT count(*) FROM records").fetchone()
            row = database.execute("SELECT value FROM counters WHERE name = 'duplicates'").fetchone()
            return stored, row[0] if row else 0

    def records(self, device: str) -> list[tuple[str, int, bytes]]:
        with contextlib.closing(self._open()) as database:
            return database.execute(
                "SELECT boot, seq, payload FROM records JOIN boots ON boots.id = boot_id"
                " JOIN devices ON devices.id = records.device_id WHERE device = ?",
                (device,),
            ).fetchall()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=60)


class Soak:
    """The trouble, in random order at random moments; the same for the same seed."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        port = unused_port()
        url = f"mqtt://127.0.0.1:{port}"
        self.broker = Mosquitto(folder / "broker", port)
        self.collector = Collector(folder, url)
        self.killed = Device("killed", folder, url, options.rate)
        self.steady = Device("steady", folder, url, options.rate)
        self.did: Counter[str] = Counter()
        self.memory: list[tuple[float, int]] = []
        self.began_s = 0.0

    def run(self) -> dict[str, Any]:
        """All of it, and then the count."""
        self.broker.start()
        self.collector.start()
        self.collector.wait_until_it_serves()
        self.killed.start()
        self.steady.start()
        self.began_s = time.monotonic()
        span_s = self.options.minutes * 60.0
        flaps = max(round(self.options.minutes * 2), 3)
        self.plan = sorted(
            [(self.random.uniform(2.0, span_s), self.kill) for _ in range(self.options.kills)]
            + [(self.random.uniform(2.0, span_s), self.flap) for _ in range(flaps)]
            + [
                (span_s * (n + 0.5) / max(flaps // 3, 1), self.restart_collector)
                for n in range(max(flaps // 3, 1))
            ]
            + [(span_s * (n + 0.3) / max(flaps // 4, 1), self.fill_disk) for n in range(max(flaps // 4, 1))],
            key=lambda item: item[0],
        )
        for at_s, trouble in self.plan:
            while (left_s := self.began_s + at_s - time.monotonic()) > 0:
                self.watch_memory()
                time.sleep(min(left_s, 1.0))
            trouble()
        return self.finish()

    def kill(self) -> None:
        self.killed.end(signal.SIGKILL)
        self.did["kill -9 of the device"] += 1
        torn = tear(self.killed, self.random)
        self.did["torn: rubbish after the last commit" if torn == "after" else f"torn: {torn}"] += 1
        self.killed.start()

    def flap(self) -> None:
        how = self.random.choice(("stopped", "frozen", "killed"))
        self.did[f"broker {how}"] += 1
        wait_s = self.random.uniform(0.5, self.options.outage_s)
        if how == "frozen":
            self.broker.send(signal.SIGSTOP)
            time.sleep(wait_s)
            self.broker.send(signal.SIGCONT)
        elif how == "stopped":
            self.broker.end(signal.SIGTERM)
            time.sleep(wait_s)
            self.broker.start()
        else:
            self.kill_broker(wait_s)

    def kill_broker(self, wait_s: float) -> None:
        for device in (self.killed, self.steady):
            os.kill(device.pid, signal.SIGSTOP)
        time.sleep(0.5)
        self.broker.send(signal.SIGUSR1)
        time.sleep(1.0)
        self.broker.end(signal.SIGKILL)
        for device in (self.killed, self.steady):
            os.kill(device.pid, signal.SIGCONT)
        time.sleep(wait_s)
        self.broker.start()

    def restart_collector(self) -> None:
        self.did["collector killed"] += 1
        self.collector.end(signal.SIGKILL)
        self.collector.start()

    def fill_disk(self) -> None:
        self.did["disk full"] += 1
        for device in (self.killed, self.steady):
            device.refuse_writes(True)
        time.sleep(self.random.uniform(2.0, min(self.options.outage_s * 2, 12.0)))
        for device in (self.killed, self.steady):
            device.refuse_writes(False)

    def watch_memory(self) -> None:
        self.memory.append(
            (time.monotonic() - self.began_s, psutil.Process(self.steady.pid).memory_info().rss)
        )

    def finish(self) -> dict[str, Any]:
        for device in (self.killed, self.steady):
            device.end(signal.SIGTERM)
            self.send_rest(device)
        with contextlib.suppress(AssertionError):
            wait_for(self.all_arrived, "all accepted records are stored")
        stored, repeats = self.collector.counts()
        self.collector.end(signal.SIGTERM)
        self.broker.end(signal.SIGTERM)
        verdicts = [self.compare(device) for device in (self.killed, self.steady)]
        total: Counter[str] = Counter()
        for verdict in verdicts:
            total.update(verdict)
        return {
            **total,
            "repeats recognised by the fleet": repeats,
            "records in the fleet's table": stored,
            "dropped": self.killed.dropped + self.steady.dropped,
            "quarantined": self.killed.quarantined + self.steady.quarantined,
            "trouble": dict(self.did),
            "memory": slope(self.memory),
            "memory_mib_by_minute": by_minute(self.memory),
        }

    def send_rest(self, device: Device) -> None:
        """A device that was stopped while it had no broker keeps the rest for its next start."""
        device.rate = 0.0
        until_s = time.monotonic() + WAIT_S
        while waiting(device.outbox) and time.monotonic() < until_s:
            device.start()
            time.sleep(5.0)
            device.end(signal.SIGTERM)

    def all_arrived(self) -> bool:
        return all(self.compare(device)["missing"] == 0 for device in (self.killed, self.steady))

    def compare(self, device: Device) -> Counter[str]:
        there = {(boot, seq): payload for boot, seq, payload in self.collector.records(device.name)}
        missing = device.accepted.keys() - there.keys()
        altered = [
            key for key, crc in device.accepted.items() if key in there and zlib.crc32(there[key]) != crc
        ]
        return Counter(
            accepted=len(device.accepted),
            missing=len(missing),
            altered=len(altered),
            sent_without_being_told_accepted=len(there.keys() - device.accepted.keys()),
        )


def tear(device: Device, rng: random.Random) -> str:
    """Do to the log what a power cut could have done; say which."""
    log = device.outbox.with_name("outbox.db-wal")
    if not log.exists() or log.stat().st_size < 32:
        return "no log"
    data = log.read_bytes()
    ends = commits(data)
    end = ends[-1] if ends else 32
    unaccepted = last_number(device.outbox) > max((seq for _, seq in device.accepted), default=0)
    if unaccepted and len(ends) > 1 and end <= 32 + (FOLDED_AT_FRAMES - 1) * FRAME_BYTES:
        cut = rng.randrange(ends[-2], end)
        log.write_bytes(data[:cut] + rng.randbytes(end - cut) + data[end:])
        return "the commit not yet accepted"
    rubbish = rng.randbytes(rng.randrange(1, 3 * FRAME_BYTES))
    log.write_bytes(data[:end] + rubbish if rng.random() < 0.5 else data[:end])
    return "after"


def commits(log: bytes) -> list[int]:
    """Where each commit of the log ends; https://www.sqlite.org/fileformat2.html#the_write_ahead_log."""
    ends, place = [], 32
    while place + FRAME_BYTES <= len(log) and log[place + 8 : place + 16] == log[16:24]:
        (size_after_commit,) = struct.unpack_from(">I", log, place + 4)
        place += FRAME_BYTES
        if size_after_commit:
            ends.append(place)
    return ends


def last_number(outbox: Path) -> int:
    """The newest record in the file, read from a copy, as reading recovers it."""
    with tempfile.TemporaryDirectory() as scratch:
        for suffix in ("", "-wal"):
            source = outbox.with_name(outbox.name + suffix)
            (Path(scratch) / source.name).write_bytes(source.read_bytes())
        with contextlib.closing(sqlite3.connect(Path(scratch) / outbox.name)) as database:
            query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'records'"
            return int(database.execute(query).fetchone()[0])


def waiting(outbox: Path) -> int:
    """Records in the file of a device that does not run."""
    with contextlib.closing(sqlite3.connect(outbox)) as database:
        return int(database.execute("SELECT count(*) FROM records").fetchone()[0])


def slope(memory: list[tuple[float, int]]) -> dict[str, float]:
    """Resident memory of the steady device after a quarter of the time: first, last, and KiB a minute."""
    settled = memory[len(memory) // 4 :]
    if len(settled) < 3:
        return {}
    times, sizes = zip(*settled, strict=True)
    mean_t, mean_s = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((t - mean_t) ** 2 for t in times)
    per_s = sum((t - mean_t) * (s - mean_s) for t, s in settled) / spread
    return {
        "first_mib": round(sizes[0] / 2**20, 2),
        "last_mib": round(sizes[-1] / 2**20, 2),
        "most_mib": round(max(sizes) / 2**20, 2),
        "slope_kib_per_min": round(per_s * 60 / 1024, 2),
    }


def by_minute(memory: list[tuple[float, int]]) -> list[float]:
    """The last reading of each minute."""
    return [
        round(size / 2**20, 2) for _, size in sorted({int(at_s // 60): size for at_s, size in memory}.items())
    ]


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(holds: Any, what: str) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.2)


def main() -> int:
    """Print the result as JSON; 1 when a record is missing or altered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=100.0, help="records per second and device")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--outage-s", type=float, default=6.0, help="longest that the broker is away")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept; a temporary one if not given")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        result = Soak(options, folder).run()
    print(
        json.dumps(
            {"rate": options.rate, "minutes": options.minutes, "seed": options.seed, **result}, indent=1
        )
    )
    return 1 if result["missing"] or result["altered"] or not result["accepted"] else 0


if __name__ == "__main__":
    sys.exit(main())
