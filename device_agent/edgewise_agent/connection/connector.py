"""Makes the courier's connections: to which broker, with which certificates, in which version of MQTT."""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.connection.broker_choice import BrokerChoice
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.deliveries import Refusal
from edgewise_agent.connection.known_time import KnownTime
from edgewise_agent.connection.tls_files import TlsFiles
from edgewise_agent.errors import BrokerError, BrokerRefused, ConnectionOutdated, OtherProtocol
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.message import Message

LOOK_EVERY_S = 10.0
"""How often a connection looks for renewed certificates and nearer brokers."""
RENEW_WITHIN_S = 30.0
"""After a renewal is seen a device reconnects at a random moment of this time: a fleet gets its files together."""

log = logging.getLogger("edgewise.agent.broker")


@dataclass(frozen=True)
class Pace:
    """How often is looked and measured; shorter in tests."""

    look_every_s: float = LOOK_EVERY_S
    renew_within_s: float = RENEW_WITHIN_S


@dataclass(frozen=True)
class Callbacks:
    """What the courier hears of a connection."""

    on_acknowledged: Callable[[int], None] = lambda number: None
    on_refused: Callable[[int, Refusal], None] = lambda number, refusal: None
    on_message: Callable[[Message], None] = lambda message: None


class Connector:
    """A courier's `Connect`: each call gives a new connection to the best broker there is."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        time: KnownTime | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.settings = settings
        self.pace = pace or Pace()
        self.tls = TlsFiles(settings, time=time)
        self._client_id = client_id
        self._time = time
        self._lock = threading.Lock()
        """Guards the choice: measurements run on threads of their own."""
        self._choice = BrokerChoice(settings.url, key=client_id)
        self._protocols: dict[BrokerUrl, str] = {}
        self._measured_s = 0.0
        self._measuring: threading.Thread | None = None
        self._nearer: BrokerUrl | None = None

    def __call__(
        self,
        *,
        will: Message | None = None,
        on_acknowledged: Callable[[int], None] = lambda number: None,
        on_refused: Callable[[int, Refusal], None] = lambda number, refusal: None,
        on_message: Callable[[Message], None] = lambda message: None,
    ) -> "ChosenConnection":
        """A connection that is not open yet."""
        return ChosenConnection(self, will, Callbacks(on_acknowledged, on_refused, on_message))

    def open(self, will: Message | None, callbacks: Callbacks) -> BrokerConnection:
        """Try the brokers in order. Raises the last one's BrokerError when none lets this device in."""
        if len(self.settings.url) > 1 and not self._choice.is_measured:
            self._measure()
        failure: BrokerError | None = None
        with self._lock:
            order = self._choice.order()
        for url in order:
            began_s = time.monotonic()
            try:
                connection = self.open_one(url, self._client_id, will, callbacks)
            except BrokerError as error:
                with self._lock:
                    self._choice.failed(url)
                if failure is not None:
                    log.warning("%s; trying the next broker", failure)
                failure = error
                continue
            with self._lock:
                self._choice.measured(url, (time.monotonic() - began_s) * 1000.0)
                self._choice.chosen(url)
            if len(self.settings.url) > 1:
                log.info("connected to %s", url)
            return connection
        raise failure or BrokerError("broker.url: no broker is named")

    def outdated(self) -> str:
        """Why a connection should be made anew; empty when it is as it should be."""
        if self._time is not None:
            self._time.remember()
        if self.tls.is_renewed():
            return "the certificate files were renewed"
        self._measure_in_background()
        nearer, self._nearer = self._nearer, None
        if nearer is None:
            return ""
        with self._lock:
            self._choice.leave_for(nearer)
        return f"{nearer} is nearer"

    def open_one(
        self, url: BrokerUrl, client_id: str, will: Message | None, callbacks: Callbacks
    ) -> BrokerConnection:
        """Connect to this one, in the version of the settings; "auto" is 5, and 3.1.1 where that fails."""
        wanted = self.settings.protocol if self.settings.protocol != "auto" else self._protocols.get(url)
        tls = self.tls.context() if url.is_tls else None
        try:
            return self._open_in(wanted or "5", url, client_id, will, callbacks, tls)
        except OtherProtocol:
            if wanted is not None:
                self._protocols.pop(url, None)
                raise
        connection = self._open_in("3.1.1", url, client_id, will, callbacks, tls)
        self._protocols[url] = "3.1.1"
        return connection

    def _open_in(
        self,
        protocol: str,
        url: BrokerUrl,
        client_id: str,
        will: Message | None,
        callbacks: Callbacks,
        tls: ssl.SSLContext | None,
    ) -> BrokerConnection:
        connection = BrokerConnection(
            self.settings,
            client_id=client_id,
            url=url,
            tls=tls,
            protocol=protocol,
            will=will,
            on_acknowledged=callbacks.on_acknowledged,
            on_refused=callbacks.on_refused,
            on_message=callbacks.on_message,
        )
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _measure_in_background(self) -> None:
        if len(self.settings.url) < 2 or time.monotonic() - self._measured_s < self.settings.probe_every_s:
            return
        if self._measuring is None or not self._measuring.is_alive():
            self._measuring = threading.Thread(target=self._measure, name="broker-probe", daemon=True)
            self._measuring.start()

    def _measure(self) -> None:
        """The time from TCP's SYN to the broker's answer, of all brokers at once, under a client id of its own."""
        self._measured_s = time.monotonic()
        probes = [threading.Thread(target=self._probe, args=(url,), daemon=True) for url in self.settings.url]
        for probe in probes:
            probe.start()
        for probe in probes:
            probe.join()
        with self._lock:
            self._nearer = self._choice.nearer()

    def _probe(self, url: BrokerUrl) -> None:
        began_s = time.monotonic()
        try:
            connection = self.open_one(url, f"{self._client_id}:probe", None, Callbacks())
        except BrokerRefused:
            connection = None  # it answered; whether it lets this device in shows when that tries
        except BrokerError:
            with self._lock:
                self._choice.failed(url)
            return
        took_ms = (time.monotonic() - began_s) * 1000.0
        with self._lock:
            self._choice.measured(url, took_ms)
        if connection is not None:
            connection.close()


class ChosenConnection:
    """A Connection to whichever broker the connector chose."""

    def __init__(self, connector: Connector, will: Message | None, callbacks: Callbacks) -> None:
        self._connector = connector
        self._will = will
        self._callbacks = callbacks
        self._inner: BrokerConnection | None = None
        self._look_s = 0.0
        self._renew_s: float | None = None
        self._why = ""

    def connect(self) -> None:
        """Connect to the best broker that answers."""
        self._inner = self._connector.open(self._will, self._callbacks)
        self._look_s = time.monotonic() + self._connector.pace.look_every_s

    def subscribe(self, topic: str) -> None:
        """Hear what is published on ``topic``."""
        self._opened.subscribe(topic)

    def publish(self, message: Message) -> int:
        """Send at QoS 1."""
        return self._opened.publish(message)

    def run(self, timeout_s: float) -> None:
        """One turn of the network. Raises ConnectionOutdated when another connection is wanted."""
        self._opened.run(timeout_s)
        now_s = time.monotonic()
        if self._renew_s is not None:
            if now_s >= self._renew_s:
                raise ConnectionOutdated(f"{self._why}; connecting again")
        elif now_s >= self._look_s:
            pace = self._connector.pace
            self._look_s = now_s + pace.look_every_s
            self._why = self._connector.outdated()
            if self._why:
                self._renew_s = now_s + random.uniform(0.0, pace.renew_within_s)

    def close(self) -> None:
        """Disconnect if connected."""
        if self._inner is not None:
            self._inner.close()

    @property
    def _opened(self) -> BrokerConnection:
        if self._inner is None:
            raise BrokerError("not connected yet")
        return self._inner


def try_brokers(settings: BrokerSettings, *, client_id: str) -> list[BrokerError]:
    """Connect to each broker once, and return what went wrong. Raises BrokerError for a file that is no good."""
    problems = []
    connector = Connector(settings, client_id=client_id)
    if any(url.is_tls for url in settings.url):
        connector.tls.context()
    for url in settings.url:
        try:
            connector.open_one(url, client_id, None, Callbacks()).close()
        except BrokerError as error:
            problems.append(error)
    return problems
