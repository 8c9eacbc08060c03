"""Malformed payloads into the collector: none may crash it, and what is sound must be kept all the same.

    python benchmarks/collector_fuzz.py [--count 100000] [--seed 1]

Valid messages of every channel and form (JSON, MessagePack, compact) are cut, flipped, repeated, nested and mixed, and
go through the real collector (its reading, its thread, its transaction) into a real store, with one sound record after
every thousand. Prints how many were kept, repeats, and put into quarantine.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgewise_fleet.collector import Collector
from edgewise_fleet.message import Message
from edgewise_fleet.store import Counter, SqliteStore
from edgewise_messages import (
    Channel,
    DeviceAddress,
    DeviceState,
    Drift,
    Event,
    Format,
    Meta,
    ModelInfo,
    Status,
    Telemetry,
    encode_notice,
    encode_records,
)

SOUND_EVERY = 1000
ODD = (
    b"", b"{}", b"[]", b"null", b"NaN", b"1e999", b"\x00", b"\xff\xfe", b"\xc1" * 9, b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff", b"[" * 5000, b'{"a":' * 3000, b'{"version":1,"records":[]}', b'"\\ud800"',
    b'{"version":99999999999999999999,"records":[]}', b'{"version":1,"records":[{"type":"telemetry"}]}',
)  # fmt: skip
TOPICS = (
    "edgewise/v1",
    "edgewise/v1/a/b/c/d",
    "edgewise/v1/a/../telemetry",
    "",
    "/",
    "edgewise/v1/\x00/x/status",
)


@dataclass
class Acknowledged:
    """Counts what the collector acknowledges."""

    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """So many more."""
        with self.lock:
            self.count += len(messages)


@dataclass(frozen=True)
class Outcome:
    """What became of the messages."""

    sent: int
    acknowledged: int
    sound_sent: int
    sound_kept: int
    quarantined: int
    trouble: str
    took_s: float


def seeds() -> list[tuple[Channel, bytes]]:
    """A sound payload of each kind and form."""
    now = time.time_ns() // 1_000_000
    stamp = {"ts_ms": now, "mono_ns": 5, "boot": "seed"}
    records = [
        Telemetry(**stamp, seq=1, metrics={"model.latency_p50_ms": 20.5, "door/model.errors": 1, "x": None}),
        Event(**stamp, seq=2, name="input.failed", message="x", data={"input": "é", "n": 2**53, "f": 0.1}),
        Drift(**stamp, seq=3, model="m", scores={"a": 0.5}, window=50),
    ]
    model = ModelInfo(name="net", sha256="0" * 64)
    found = [(channel, encode_records(records, form))
             for form in Format for channel in (Channel.TELEMETRY, Channel.EVENT, Channel.DRIFT)]  # fmt: skip
    for form in (Format.JSON, Format.MSGPACK):
        status = Status(state=DeviceState.ONLINE, ts_ms=now, boot="seed")
        found.append((Channel.STATUS, encode_notice(status, form)))
        found.append((Channel.META, encode_notice(Meta(ts_ms=now, boot="seed", model=model), form)))
    return found


def spoil(payload: bytes, others: list[tuple[Channel, bytes]], chance: random.Random) -> bytes:
    """The payload, spoilt in one to four ways."""
    data = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                del data[at:]
            case 1 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 12))
            case 3:
                data[at:at] = chance.choice(ODD)[:4096]
            case 4:
                other = chance.choice(others)[1]
                data[at:] = other[chance.randrange(len(other)) :]
            case 5:
                data[at : at + chance.randint(1, 20)] = b""
            case _:
                data[at:at] = bytes(data[at : at + chance.randint(1, 40)])
    return bytes(data)


def fuzz(folder: Path, *, count: int, seed: int) -> Outcome:
    """Send so many spoilt messages and a sound one after every thousand."""
    chance, sound = random.Random(seed), seeds()
    store, acknowledged = SqliteStore(folder / "fleet.db"), Acknowledged()
    collector = Collector(store)
    collector.start(acknowledged)
    begun, good = time.monotonic(), DeviceAddress("good", "device")
    sent = sound_sent = 0
    for number in range(count):
        channel, payload = chance.choice(sound)
        topic = DeviceAddress("lab", f"cam-{number % 7}").topic(channel)
        if chance.random() < 0.02:
            topic = chance.choice(TOPICS)
        body = chance.choice(ODD) if chance.random() < 0.05 else spoil(payload, sound, chance)
        hand_over(collector, message(topic, body, sent))
        sent += 1
        if number % SOUND_EVERY == 0:
            now = time.time_ns() // 1_000_000
            record = Telemetry(ts_ms=now, mono_ns=1, boot="good", seq=number, metrics={"own.count": number})
            hand_over(collector, message(good.topic(Channel.TELEMETRY), encode_records([record]), sent))
            sent, sound_sent = sent + 1, sound_sent + 1
    collector.stop()
    points = store.series(good, ["own.count"], since_ms=0, until_ms=2**62, limit=10**6)
    latest = {row.address: row.metrics for row in store.devices()}[good]["own.count"]
    assert latest == (count - 1) // SOUND_EVERY * SOUND_EVERY
    kept = len(points["own.count"])
    quarantined = store.counts()[Counter.MALFORMED]
    store.close()
    took_s = time.monotonic() - begun
    return Outcome(sent, acknowledged.count, sound_sent, kept, quarantined, collector.trouble, took_s)


def hand_over(collector: Collector, one: Message) -> None:
    """As the network thread does it: not while there is no room."""
    while not collector.has_room() and not collector.trouble:
        time.sleep(0.001)
    collector.receive([one])


def message(topic: str, payload: bytes, number: int) -> Message:
    """As the network thread makes it."""
    now = time.time_ns() // 1_000_000
    return Message(
        topic=topic,
        payload=payload,
        retained=number % 11 == 0,
        received_ms=now,
        packet_id=number,
        qos=1,
        connection=1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(fuzz(Path(folder), count=options.count, seed=options.seed))


if __name__ == "__main__":
    main()
