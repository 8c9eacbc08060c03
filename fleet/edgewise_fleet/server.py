"""The order in which a fleet server starts and ends: store, ports, broker, collector, page."""

import logging
import signal
import socket
import sys
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from edgewise_fleet.access import Gate
from edgewise_fleet.alerts import AlertBook, AlertWatch, Heard, load_rules, make_channels, parse_rules
from edgewise_fleet.alerts.watch import HELD_EVENTS
from edgewise_fleet.broker_embedded import EmbeddedBroker, find_mosquitto
from edgewise_fleet.broker_url import LOOPBACK_HOSTS, BrokerUrl, parse_broker_url
from edgewise_fleet.collecting import check_sharing, log_to_stderr, start_collecting
from edgewise_fleet.errors import OpenToAll
from edgewise_fleet.panel_db import PanelDb, panel_path
from edgewise_fleet.ports import listen
from edgewise_fleet.rollouts.serving import start_steering
from edgewise_fleet.snapshots.serving import start_snapshots
from edgewise_fleet.store import beside, is_postgres, open_store
from edgewise_fleet.summary import DEFAULT_SILENT_AFTER_S
from edgewise_fleet.tapped_store import TappedStore
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
    alerts: Path | None = None
    """A file of alert rules beside the built-in ones."""
    open: bool = False
    """Serve on a network although nobody has to log in."""
    otlp: str | None = None
    """Where metrics are sent by OpenTelemetry."""
    trusted_hosts: tuple[str, ...] = ()
    """Names, beside loopback ones, that browsers may know this server by while nobody has to log in."""
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)
    share: str = ""
    """The name that several collectors have in common; empty for one that hears everything."""
    name: str = "serve"
    """Of this collector, among those of one database."""
    sparkplug_host: str = ""
    """The id of the Sparkplug host application to be; empty for none."""
    rollout_key: Path | None = None
    """Private key that signs what devices are told; without one rollouts wait and no snapshot can be asked for."""


def run_server(settings: ServeSettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises a FleetError if it cannot start."""
    log_to_stderr()
    # From here SIGTERM unwinds like Ctrl-C does; the web server passes it on when it has ended its part.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        given = parse_broker_url(settings.broker) if settings.broker is not None else None
        rules = load_rules(settings.alerts) if settings.alerts else parse_rules("", where="built-in rules")
        channels = make_channels(rules.notify)
        check_sharing(store=settings.store, broker=settings.broker, share=settings.share, name=settings.name)
        kept = open_store(settings.store, collector=settings.name)
        stack.callback(kept.close)
        panel_db = PanelDb(panel_path(beside(settings.store)))
        stack.callback(panel_db.close)
        gate = Gate(panel_db)
        _check_open(settings, gate)
        web_socket = listen(
            settings.host,
            settings.port,
            purpose="fleet page",
            remedy="stop what uses it, or choose another with --port",
        )
        stack.callback(web_socket.close)
        url = given or _start_broker(settings, stack)
        heard: deque[Heard] = deque(maxlen=HELD_EVENTS)
        store = TappedStore(kept, heard.append)
        collector, receiver = start_collecting(
            store, url, share=settings.share, sparkplug_host=settings.sparkplug_host, stack=stack
        )
        snapshots = start_snapshots(
            settings.store, records=kept, url=url, key=settings.rollout_key, stack=stack
        )
        keeper = Keeper(kept, settings.upkeep, also=[snapshots.book.prune])
        keeper.start()
        stack.callback(keeper.stop)
        steering = start_steering(
            settings.store,
            records=kept,
            url=url,
            key=settings.rollout_key,
            silent_after_s=settings.silent_after_s,
            stack=stack,
        )
        view = FleetView(
            kept,
            link=receiver,
            intake=collector,
            broker_url=str(url if given else _as_devices_see(url, settings.host)),
            silent_after_s=settings.silent_after_s,
            silences=steering.silences,
            others=steering.troubles,
        )
        if settings.otlp is not None:
            from edgewise_fleet.otel import OtelExport

            stack.callback(OtelExport(view.summary, settings.otlp).stop)
        book = AlertBook(panel_db)
        watch = AlertWatch(view, book, rules, channels, heard=heard)
        watch.start()
        stack.callback(watch.stop)
        _announce(settings, web_socket, view.broker_url, gate)

        from edgewise_fleet.web import Panel, serve_pages

        panel = Panel(
            view=view,
            gate=gate,
            book=book,
            rules=rules,
            watch=watch,
            rollouts=steering.rollouts,
            positions=steering.positions,
            snapshots=snapshots,
            trusted_hosts=settings.trusted_hosts,
            any_host=settings.open,
        )
        serve_pages(panel, web_socket)


def _check_open(settings: ServeSettings, gate: Gate) -> None:
    """Raise OpenToAll rather than show the fleet, and let it be changed, to a whole network by mistake."""
    if settings.host in LOOPBACK_HOSTS or settings.open or not gate.is_open():
        return
    raise OpenToAll(
        f"--host {settings.host}: nobody would have to log in; make a user first"
        f" (edgewise fleet users add NAME --role admin --store {settings.store}),"
        " or say --open if whoever reaches this machine may see and change everything"
    )


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


def _announce(settings: ServeSettings, web_socket: socket.socket, broker_url: str, gate: Gate) -> None:
    host = _own_address() if settings.host in EVERY_NETWORK else settings.host
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"Fleet page:       http://{shown}:{web_socket.getsockname()[1]}\n")
    sys.stdout.write(f"Devices report to {broker_url}\n")
    sys.stdout.flush()
    if settings.host not in LOOPBACK_HOSTS:
        log.warning(
            "listening on %s: whoever reaches this machine can %s",
            settings.host,
            "see the fleet, change it and report to it" if gate.is_open() else "report to the fleet",
        )
