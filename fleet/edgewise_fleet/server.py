"""The order in which a fleet server starts and ends: store, ports, broker, collector, page."""

import logging
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgewise_fleet.broker_embedded import EmbeddedBroker, find_mosquitto
from edgewise_fleet.broker_url import LOOPBACK_HOSTS, BrokerUrl, parse_broker_url
from edgewise_fleet.collector import FILTERS, Collector
from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.mqtt import Subscriber
from edgewise_fleet.ports import listen
from edgewise_fleet.rollouts.serving import start_steering
from edgewise_fleet.store import SqliteStore, Store
from edgewise_fleet.summary import DEFAULT_SILENT_AFTER_S
from edgewise_fleet.view import FleetView

log = logging.getLogger(__name__)

PRUNE_EVERY_S = 3600.0
DAY_MS = 86_400_000
EVERY_NETWORK = ("0.0.0.0", "::")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What `edgewise fleet serve` was told."""

    host: str = "127.0.0.1"
    port: int = 8080
    store: Path = Path("fleet.db")
    broker: str | None = None
    """None starts a broker on `mqtt_port`."""
    mqtt_port: int = 1883
    silent_after_s: float = DEFAULT_SILENT_AFTER_S
    rollout_key: Path | None = None
    """Private key that signs what rollouts tell devices; without one rollouts wait."""
    keep_days: float = 30.0
    """0 keeps records for ever."""


def run_server(settings: ServeSettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises a FleetError if it cannot start."""
    _log_to_stderr()
    # From here SIGTERM unwinds like Ctrl-C does; the web server passes it on when it has ended its part.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        given = parse_broker_url(settings.broker) if settings.broker is not None else None
        store = SqliteStore(settings.store)
        stack.callback(store.close)
        web_socket = listen(
            settings.host,
            settings.port,
            purpose="fleet page",
            remedy="stop what uses it, or choose another with --port",
        )
        stack.callback(web_socket.close)
        url = given or _start_broker(settings, stack)
        collector = Collector(store)
        subscriber = Subscriber(
            url, client_id=store.client_id(), filters=FILTERS, on_message=collector.receive
        )
        stack.callback(subscriber.stop)
        collector.start(subscriber)
        stack.callback(collector.stop)
        subscriber.start()
        _start_pruning(store, settings.keep_days, stack)
        steering = start_steering(
            settings.store,
            records=store,
            url=url,
            key=settings.rollout_key,
            silent_after_s=settings.silent_after_s,
            stack=stack,
        )
        view = FleetView(
            store,
            link=subscriber,
            intake=collector,
            broker_url=str(url if given else _as_devices_see(url, settings.host)),
            silent_after_s=settings.silent_after_s,
            silences=steering.silences,
            others=steering.troubles,
        )
        _announce(settings, web_socket, view.broker_url)

        from edgewise_fleet.web import serve_pages

        serve_pages(view, web_socket)


def _start_broker(settings: ServeSettings, stack: ExitStack) -> BrokerUrl:
    broker = EmbeddedBroker(
        host=settings.host,
        port=settings.mqtt_port,
        # Beside the store: what mosquitto holds for us belongs to it.
        folder=settings.store.with_name(f"{settings.store.name}-broker"),
        mosquitto=find_mosquitto(),
    )
    stack.callback(broker.stop)
    broker.start()
    if broker.program != "mosquitto":
        log.warning(
            "mosquitto is not installed, using amqtt: fine for a try, but if this server is killed,"
            " what amqtt holds is lost"
        )
    return broker.url


def _start_pruning(store: Store, keep_days: float, stack: ExitStack) -> None:
    if not keep_days:
        return
    ended = threading.Event()

    def prune_regularly() -> None:
        while True:
            try:
                pruned = store.prune(time.time_ns() // 1_000_000 - int(keep_days * DAY_MS))
                if pruned:
                    log.info("forgot %d records older than %g days", pruned, keep_days)
            except StoreUnusable as error:
                log.error("forgetting old records: %s", error)
            if ended.wait(PRUNE_EVERY_S):
                return

    thread = threading.Thread(target=prune_regularly, name="pruner", daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(ended.set)


def _as_devices_see(url: BrokerUrl, host: str) -> BrokerUrl:
    return BrokerUrl(host=_own_address(), port=url.port) if host in EVERY_NETWORK else url


def _own_address() -> str:
    """This machine's address on the network that leads out; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _announce(settings: ServeSettings, web_socket: socket.socket, broker_url: str) -> None:
    host = _own_address() if settings.host in EVERY_NETWORK else settings.host
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"Fleet page:       http://{shown}:{web_socket.getsockname()[1]}\n")
    sys.stdout.write(f"Devices report to {broker_url}\n")
    sys.stdout.flush()
    if settings.host not in LOOPBACK_HOSTS:
        log.warning(
            "listening on %s: whoever reaches this machine can see the fleet and report to it", settings.host
        )


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    for noisy in ("nicegui", "uvicorn", "asyncio", "engineio", "socketio", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
