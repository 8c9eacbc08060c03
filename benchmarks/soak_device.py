"""A device for benchmarks/soak.py: the agent's recorder, outbox and courier, without a model.

Every record that a commit has accepted is told on stdout: `A boot seq crc32`. It ends by SIGTERM when all is sent.
"""

import argparse
import os
import queue
import secrets
import signal
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edgewise_agent.clock import SystemClock
from edgewise_agent.connection.backoff import Backoff, phase
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.connector import Connector
from edgewise_agent.connection.courier import Courier
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.replay_rate import ReplayRate
from edgewise_agent.outbox.setup import stamp_records
from edgewise_agent.outbox.write_budget import WriteBudget
from edgewise_agent.recorder import Recorder
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_messages import DeviceAddress, Meta

MIB = 1024 * 1024
COMMIT_S = 0.1


class WitnessedOutbox(Outbox):
    """Remembers what was appended since it was last asked."""

    def append(self, channel: str, build: Callable[[int], bytes], *, durable: bool = False) -> int:
        """As the outbox does, and take down number and checksum."""

        def watched(seq: int) -> bytes:
            body = build(seq)
            self.seen.append((seq, zlib.crc32(body)))
            return body

        return super().append(channel, watched, durable=durable)

    seen: deque[tuple[int, int]]


def main() -> None:
    """Record at a rate, commit, tell, send."""
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--rate", type=float, default=100.0)
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with StateFolder(options.state) as state:
        outbox = WitnessedOutbox(
            state.outbox,
            max_bytes=256 * MIB,
            replay=ReplayRate(500.0),
            budget=WriteBudget(0, longest_interval_s=1.0),
        )
        run(outbox, options, stop)
        outbox.close()


def run(outbox: WitnessedOutbox, options: argparse.Namespace, stop: threading.Event) -> None:
    """Until told to stop; then until the broker has everything."""
    boot = secrets.token_hex(8)
    clock = SystemClock()
    outbox.seen = deque()
    recorder = Recorder(outbox, clock, boot=boot)
    stamp_records(outbox, clock, boot=boot)
    courier = make_courier(outbox, options, boot, clock)
    courier.start()
    committer = threading.Thread(target=keep_committing, args=(outbox, boot, stop))
    committer.start()
    next_s = time.monotonic()
    if not options.rate:
        stop.wait()
    while not stop.is_set():
        recorder.event("soak", data={"token": secrets.token_hex(40), "text": "x" * secrets.randbelow(200)})
        next_s = max(next_s + 1.0 / options.rate, time.monotonic() - 1.0)
        stop.wait(max(next_s - time.monotonic(), 0.0))
    committer.join()
    courier.stop(reason="soak over", drain_s=300.0)


def keep_committing(outbox: WitnessedOutbox, boot: str, stop: threading.Event) -> None:
    """A record counts as accepted when the commit after it has returned True."""
    waiting: list[tuple[int, int]] = []
    last = False
    while not last:
        last = stop.wait(COMMIT_S)
        waiting += [outbox.seen.popleft() for _ in range(len(outbox.seen))]
        if outbox.commit():
            told = "".join(f"A {boot} {seq} {crc}\n" for seq, crc in waiting)
            state = outbox.state()
            os.write(1, f"{told}S {state.dropped} {state.quarantined}\n".encode())
            waiting = []
        else:
            last = False
            time.sleep(COMMIT_S)


def make_courier(outbox: Outbox, options: argparse.Namespace, boot: str, clock: SystemClock) -> Courier:
    """As the agent makes it, with short waits."""
    name = f"soak:{options.device}"
    return Courier(
        outbox,
        Connector(BrokerSettings(url=(BrokerUrl(options.broker),)), client_id=name),
        JsonProfile(
            DeviceAddress("soak", options.device),
            boot=boot,
            meta=lambda: Meta(ts_ms=clock.now_ms(), boot=boot),
            now_ms=clock.now_ms,
            responses=queue.SimpleQueue(),
            on_command=lambda payload, retained: None,
        ),
        Backoff(f"{name} {boot}", longest_s=2.0, place=phase(name, 1.0)),
        stalled_s=10.0,
    )


if __name__ == "__main__":
    main()
