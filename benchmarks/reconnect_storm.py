"""A thousand agents lose one broker: how do they come back, and how would paho's own reconnecting do it?

    .venv/bin/python benchmarks/reconnect_storm.py --devices 1000 --plot docs/images/reconnect-storm.png

Real couriers (courier.py, connector.py, backoff.py, an outbox each) in several processes, on one real mosquitto that is
killed, stays away and comes back. The peer are as many paho clients that reconnect by themselves as its documentation
shows: `reconnect_delay_set(1, 120)` and `loop_start()`. Every attempt to connect is written down by who makes it.
"""

import argparse
import contextlib
import multiprocessing
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_agent.connection.backoff import Backoff, phase
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.connector import Connector
from edgewise_agent.connection.courier import Courier
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_messages import DeviceAddress, Meta

PER_PROCESS = 100
"""select(2), which paho and the agent use, takes descriptors up to 1023."""
Attempt = tuple[float, bool]
"""When it began (monotonic, seconds), and whether the broker let the device in."""


class WatchedConnector(Connector):
    """Writes down every attempt."""

    attempts: list[Attempt]

    def open(self, *arguments: Any) -> Any:
        """As the connector does."""
        began_s, worked = time.monotonic(), False
        try:
            connection = super().open(*arguments)
            worked = True
            return connection
        finally:
            self.attempts.append((began_s, worked))


def agents(url: str, names: list[str], stop: Event, results: Any) -> None:
    """Couriers with nothing to send, one thread each."""
    attempts: list[Attempt] = []
    with tempfile.TemporaryDirectory() as folder:
        couriers = [agent(url, name, Path(folder), attempts) for name in names]
        for courier in couriers:
            courier.start()
        stop.wait()
        results.put(list(attempts))
        leave(results)


def leave(results: Any) -> None:
    """At once, when what was put into the queue has left the process."""
    results.close()
    results.join_thread()
    os._exit(0)


def agent(url: str, name: str, folder: Path, attempts: list[Attempt]) -> Courier:
    """One courier as run.py makes it."""
    outbox = Outbox(folder / f"{name}.db", max_bytes=2**20)
    settings = BrokerSettings(url=(BrokerUrl(url),))
    connector = WatchedConnector(settings, client_id=name)
    connector.attempts = attempts
    backoff = Backoff(
        f"{name} boot",
        longest_s=settings.reconnect_max_s,
        spread_s=settings.reconnect_spread_s,
        place=phase(name, 1.0),
        stable_s=10.0,
    )
    return Courier(
        outbox,
        connector,
        JsonProfile(
            DeviceAddress("storm", name),
            boot="b",
            meta=lambda: Meta(ts_ms=1, boot="b"),
            now_ms=lambda: 1,
            responses=queue.SimpleQueue(),
            on_command=lambda payload, retained: None,
        ),
        backoff,
    )


class WatchedClient(mqtt.Client):
    """Paho's client, with every attempt written down."""

    attempts: list[Attempt]

    def reconnect(self) -> Any:
        """As paho does."""
        began_s, worked = time.monotonic(), False
        try:
            code = super().reconnect()
            worked = True
            return code
        finally:
            self.attempts.append((began_s, worked))


def paho_clients(url: str, names: list[str], stop: Event, results: Any) -> None:
    """Clients that reconnect by themselves."""
    attempts: list[Attempt] = []
    at = BrokerUrl(url)
    for name in names:
        client = WatchedClient(CallbackAPIVersion.VERSION2, client_id=name)
        client.attempts = attempts
        client.reconnect_delay_set(1, 120)
        client.connect_async(at.host, at.port, 30)
        client.loop_start()
    stop.wait()
    results.put(list(attempts))
    leave(results)


def measure(
    run: Callable[..., None], devices: int, *, away_s: float, after_s: float
) -> tuple[list[Attempt], float]:
    """Attempts since the broker was killed, in seconds from then, and when it was back."""
    context = multiprocessing.get_context("spawn")
    stop, results = context.Event(), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        broker.start()
        names = [f"device-{number}" for number in range(devices)]
        shares = [names[start : start + PER_PROCESS] for start in range(0, devices, PER_PROCESS)]
        workers = [
            context.Process(target=run, args=(broker.url, share, stop, results), daemon=True)
            for share in shares
        ]
        for worker in workers:
            worker.start()
        broker.wait_for(devices)
        time.sleep(15.0)
        killed_s = time.monotonic()
        broker.kill()
        time.sleep(away_s)
        broker.start()
        back_s = time.monotonic() - killed_s
        time.sleep(after_s)
        stop.set()
        attempts = [attempt for _ in workers for attempt in results.get(timeout=60)]
        for worker in workers:
            worker.join(30)
        broker.kill()
    return sorted((at_s - killed_s, worked) for at_s, worked in attempts if at_s >= killed_s), back_s


class Broker:
    """A mosquitto."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nlog_type error\nsys_interval 1\n"
            + ("user root\n" if os.geteuid() == 0 else "")
        )

    def start(self) -> None:
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def wait_for(self, clients: int) -> None:
        """Until so many are connected, by its own count."""
        found = threading.Event()

        def hear(client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
            if int(message.payload) > clients:
                found.set()

        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="count")
        client.on_message = hear
        client.on_connect = lambda client, *_: client.subscribe("$SYS/broker/clients/connected")
        for _ in range(100):
            with contextlib.suppress(OSError):
                client.connect("127.0.0.1", self.port)
                break
            time.sleep(0.1)
        client.loop_start()
        assert found.wait(180), f"not all of {clients} clients connected"
        client.disconnect()
        client.loop_stop()


def per_second(attempts: list[Attempt], *, worked: bool | None = None) -> Counter[int]:
    """How many attempts, or successes, in each second."""
    return Counter(int(at_s) for at_s, success in attempts if worked is None or success == worked)


def plot(path: Path, runs: dict[str, tuple[list[Attempt], float]], devices: int, last_s: int) -> None:
    """Attempts per second of each run, one above the other on the same axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(runs), 1, sharex=True, sharey=True, figsize=(8, 5), dpi=90)
    for axis, (name, (attempts, back_s)) in zip(axes, runs.items(), strict=True):
        for worked, colour, label in ((None, "#bbbbbb", "attempts"), (True, "#1f6feb", "let in")):
            counts = per_second(attempts, worked=worked)
            axis.bar(
                range(last_s),
                [counts[second] for second in range(last_s)],
                1.0,
                align="edge",
                color=colour,
                label=label,
            )
        axis.axvline(back_s, color="#d1242f", linewidth=1, label="broker is back")
        axis.set_title(f"{name}: {devices} devices, broker killed at 0", fontsize=10, loc="left")
        axis.set_ylabel("per second")
    axes[0].legend(fontsize=8)
    axes[-1].set_xlabel("seconds after the broker was killed")
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    """Print the densest seconds, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--away-s", type=float, default=5.0)
    parser.add_argument("--after-s", type=float, default=75.0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--without-peer", action="store_true")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    runs = {}
    sides = [("edgewise agents", agents), ("paho's own reconnecting", paho_clients)]
    for name, run in sides[:1] if options.without_peer else sides:
        runs[name] = measure(run, options.devices, away_s=options.away_s, after_s=options.after_s)
        attempts, back_s = runs[name]
        came_back = [at_s for at_s, worked in attempts if worked]
        print(
            f"{name}: {len(attempts)} attempts, densest second {max(per_second(attempts).values(), default=0)};"
            f" {len(came_back)} let in, densest second {max(per_second(attempts, worked=True).values(), default=0)};"
            f" broker back at {back_s:.1f} s, half of the fleet at"
            f" {sorted(came_back)[len(came_back) // 2] if came_back else float('nan'):.1f} s,"
            f" the last at {max(came_back, default=float('nan')):.1f} s"
        )
    if options.plot:
        plot(options.plot, runs, options.devices, int(options.away_s + options.after_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
