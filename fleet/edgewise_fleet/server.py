"""The order in which a fleet server starts and ends: store, ports, broker, collector, page."""

import logging
import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from edgewise_fleet.broker_embedded import EmbeddedBroker, find_mosquitto
from edgewise_fleet.broker_url import LOOPBACK_HOSTS, BrokerUrl, parse_broker_url
from edgewise_fleet.collecting import check_sharing, log_to_stderr, start_collecting
from edgewise_fleet.ports import listen
from edgewise_fleet.store import is_postgres, open_store
from edgewise_fleet.summary import DEFAULT_SILENT_AFTER_S
from edgewise_fleet.upkeep import Keeper, UpkeepSettings
from edgewise_fleet.view import FleetView

log = logging.getLogger(__name__)

EVERY_NETWORK = ("0.0.0.0", "::")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What `edgewise fleet serve` was told."""

    host: str = "127.0.0.1"
    port: int = 8080
    store: str = "fleet.db"
    """A file, or postgresql://..."""
    broker: str | None = None
    """None starts a broker on `mqtt_port`."""
    mqtt_port: int = 1883
    silent_after_s: float = DEFAULT_SILENT_AFTER_S
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)
    share: str = ""
    """The name that several collectors have in common; empty for one that hears everything."""
    name: str = "serve"
    """Of this collector, among those of one database."""
    sparkplug_host: str = ""
    """The id of the Sparkplug host application to be; empty for none."""


def run_server(settings: ServeSettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises a FleetError if it cannot start."""
    log_to_stderr()
    # From here SIGTERM unwinds like Ctrl-C does; the web server passes it on when it has ended its part.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        given = parse_broker_url(settings.broker) if settings.broker is not None else None
        check_sharing(store=settings.store, broker=settings.broker, share=settings.share, name=settings.name)
        store = open_store(settings.store, collector=settings.name)
        stack.callback(store.close)
        web_socket = listen(
            settings.host,
            settings.port,
            purpose="fleet page",
            remedy="stop what uses it, or choose another with --port",
        )
        stack.callback(web_socket.close)
        url = given or _start_broker(settings, stack)
        collector, subscriber = start_collecting(
            store, url, share=settings.share, sparkplug_host=settings.sparkplug_host, stack=stack
        )
        keeper = Keeper(store, settings.upkeep)
        keeper.start()
        stack.callback(keeper.stop)
        view = FleetView(
            store,
            link=subscriber,
            intake=collector,
            broker_url=str(url if given else _as_devices_see(url, settings.host)),
            silent_after_s=settings.silent_after_s,
        )
        _announce(settings, web_socket, view.broker_url)

        from edgewise_fleet.web import serve_pages

        serve_pages(view, web_socket)


def _start_broker(settings: ServeSettings, stack: ExitStack) -> BrokerUrl:
    broker = EmbeddedBroker(
        host=settings.host,
        port=settings.mqtt_port,
        # Beside the store, or here for a store elsewhere: what mosquitto holds for us belongs to it.
        folder=_broker_folder(settings.store),
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


def _broker_folder(store: str) -> Path:
    path = Path("fleet" if is_postgres(store) else store)
    return path.with_name(f"{path.name}-broker")


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
