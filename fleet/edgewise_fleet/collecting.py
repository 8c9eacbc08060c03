"""A collector put together: with the server's page, or alone as one of several."""

import logging
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

from edgewise_fleet.broker_url import BrokerUrl, parse_broker_url
from edgewise_fleet.collector import FILTERS, Collector, shared_filters
from edgewise_fleet.errors import BadChoice
from edgewise_fleet.receiving import Receiver
from edgewise_fleet.store import RecordSink, is_postgres, open_store
from edgewise_fleet.upkeep import Keeper, UpkeepSettings
from edgewise_messages.errors import InvalidTopic
from edgewise_messages.topics import check_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """What `edgewise fleet collect` was told."""

    store: str
    broker: str
    share: str = "edgewise"
    name: str = ""
    """The same after each restart: the broker keeps this collector's place by it. Empty is the host's name."""
    upkeep: UpkeepSettings = field(default_factory=UpkeepSettings)


def run_collector(settings: CollectSettings) -> None:
    """Collect until SIGTERM or Ctrl-C. Raises a FleetError if it cannot start."""
    log_to_stderr()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    name = settings.name or socket.gethostname().replace(".", "-")
    check_sharing(store=settings.store, broker=settings.broker, share=settings.share, name=name)
    with ExitStack() as stack:
        url = parse_broker_url(settings.broker)
        store = open_store(settings.store, collector=name)
        stack.callback(store.close)
        start_collecting(store, url, share=settings.share, sparkplug_host="", stack=stack)
        keeper = Keeper(store, settings.upkeep)
        keeper.start()
        stack.callback(keeper.stop)
        sys.stdout.write(f"Collector {name} shares {settings.share} of {url}\n")
        sys.stdout.flush()
        ended.wait()


def check_sharing(*, store: str, broker: str | None, share: str, name: str) -> None:
    """Raise BadChoice for what cannot work."""
    try:
        check_id(name, "--name")
        if share:
            check_id(share, "--share")
    except InvalidTopic as error:
        raise BadChoice(str(error)) from error
    if share and not is_postgres(store):
        raise BadChoice(
            f"--share: several collectors need a database that all of them can write to, --store postgresql://...;"
            f" got {store!r}, which one server writes"
        )
    if share and broker is None:
        raise BadChoice("--share: name the broker that the collectors have in common with --broker")


def start_collecting(
    store: RecordSink, url: BrokerUrl, *, share: str, sparkplug_host: str, stack: ExitStack
) -> tuple[Collector, Receiver]:
    """A running collector, ended in order with the stack. Raises BrokerRefused."""
    collector = Collector(store)
    receiver = Receiver(
        url,
        # A share belongs to the session: without it in the id, a change of --share would keep both subscriptions.
        client_id=f"{store.client_id()}-{share}" if share else store.client_id(),
        filters=shared_filters(share) if share else FILTERS,
        on_messages=collector.receive,
        has_room=collector.has_room,
    )
    stack.callback(receiver.stop)
    collector.start(receiver)
    stack.callback(collector.stop)
    receiver.start()
    if sparkplug_host:
        from edgewise_fleet.sparkplug.link import SparkplugLink

        link = SparkplugLink(url, host_id=sparkplug_host, keep=collector.receive_read)
        stack.callback(link.stop)
        link.start()
    return collector, receiver


def log_to_stderr() -> None:
    """What happens, one line each."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    for noisy in ("nicegui", "uvicorn", "asyncio", "engineio", "socketio", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
