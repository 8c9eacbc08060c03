"""One connection to a broker: a socket that is read and written in large pieces, by one thread."""

import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.message import Message
from edgewise_fleet.receiving.packets import (
    CONNACK,
    DISCONNECT,
    GOODBYE,
    PINGREQ,
    SUBACK,
    NotMqtt,
    Welcome,
    encode_connect,
    encode_subscribe,
    read_connack,
    read_disconnect,
    read_suback,
)
from edgewise_fleet.receiving.parsing import Parser

QOS = 1
KEEPALIVE_S = 30
READ_BYTES = 256 * 1024
MOST_UNSENT_BYTES = 4 * 1024 * 1024
"""A broker that takes no acknowledgements for so long is none to wait for."""


class ConnectionEnded(Exception):
    """The connection is of no more use; says why in words."""


class Connection:
    """Connected, but not yet greeted. Not for several threads at once; `close` it."""

    def __init__(
        self, url: BrokerUrl, *, level: int, number: int, timeout_s: float, wake: socket.socket
    ) -> None:
        """Raises OSError. ``wake``: readable when the caller's thread is wanted for something else."""
        self.level = level
        self.number = number
        self.welcome: Welcome | None = None
        """The answer to `greet`, once it is there."""
        self.refused_filter: str | None = None
        """The answer to `subscribe`, once it is there: why a filter was refused; empty when none was."""
        self._wake = wake
        self._parser = Parser(level=level, connection=number, now_ms=_now_ms)
        self._unsent = bytearray()
        self._keepalive_s = float(KEEPALIVE_S)
        self._asked_at: float | None = None
        """When a ping went out that is not answered yet."""
        self._socket = _connect(url, timeout_s)
        self._socket.setblocking(False)
        self._sent_at = time.monotonic()

    def greet(self, url: BrokerUrl, *, client_id: str, receive_maximum: int) -> None:
        """Say who we are."""
        self.send(
            encode_connect(
                url,
                level=self.level,
                client_id=client_id,
                keepalive_s=KEEPALIVE_S,
                receive_maximum=receive_maximum,
            )
        )

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for these topics."""
        self.send(encode_subscribe(filters, level=self.level, qos=QOS))

    def send(self, data: bytes) -> None:
        """Send it with the next `turn`, or as soon as the broker takes it."""
        self._unsent += data
        if len(self._unsent) > MOST_UNSENT_BYTES:
            raise ConnectionEnded("the broker reads nothing of what we send")

    def turn(self, *, wait_s: float, reads: bool = True) -> list[Message]:
        """Wait for something to do, do it once, and return what came. Raises ConnectionEnded.

        Without ``reads`` what comes stays in the network, and with it the broker's attention.
        """
        try:
            self._flush()
            self._stay_alive(reads)
            # Bytes that TLS has decrypted already are invisible to the system.
            pending = reads and isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
            wanted = {self._wake: select.POLLIN}
            if events := select.POLLIN * reads | select.POLLOUT * bool(self._unsent):
                wanted[self._socket] = events
            ready = _wait(wanted, 0.0 if pending else wait_s)
            if self._wake in ready:
                _drain(self._wake)
            if self._socket in ready:
                self._flush()
            return self._read() if reads and (pending or self._socket in ready) else []
        except NotMqtt as error:
            raise ConnectionEnded(f"it sent {error}; is this an MQTT broker?") from error
        except OSError as error:
            raise ConnectionEnded(error.strerror or str(error)) from error

    def leave(self, *, timeout_s: float) -> None:
        """Send what is unsent, say goodbye and close; the broker keeps the session."""
        deadline = time.monotonic() + timeout_s
        try:
            self._unsent += GOODBYE
            with suppress(OSError):
                while self._unsent and (left_s := deadline - time.monotonic()) > 0:
                    _wait({self._socket: select.POLLOUT}, left_s)
                    self._flush()
        finally:
            self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _read(self) -> list[Message]:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        if not data:
            raise ConnectionEnded("the broker closed it")
        self._asked_at = None
        heard = self._parser.feed(data)
        for head, body in heard.others:
            self._hear(head, body)
        if self.welcome is None and heard.messages:
            raise NotMqtt("a publish before its CONNACK")
        return heard.messages

    def _hear(self, head: int, body: bytes) -> None:
        if head == CONNACK:
            self.welcome = read_connack(body, level=self.level)
            if self.welcome.keepalive_s is not None:
                # Zero: the broker wants no pings (3.1.2.10).
                self._keepalive_s = float(self.welcome.keepalive_s or "inf")
        elif head == SUBACK:
            self.refused_filter = read_suback(body, level=self.level)
        elif head == DISCONNECT:
            raise ConnectionEnded(read_disconnect(body))

    def _stay_alive(self, reads: bool) -> None:
        now = time.monotonic()
        if not reads:
            # Its answer may wait behind what is not read now.
            self._asked_at = None
        elif self._asked_at is not None and now - self._asked_at > self._keepalive_s:
            raise ConnectionEnded(f"no answer for {self._keepalive_s:.0f} s")
        if self.welcome is not None and now - self._sent_at >= self._keepalive_s / 2:
            self._unsent += PINGREQ
            self._asked_at = self._asked_at or now
            self._sent_at = now
            self._flush()

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._unsent[:sent]
            self._sent_at = time.monotonic()


def _wait(sockets: dict[socket.socket, int], wait_s: float) -> list[socket.socket]:
    """Those of them that poll's events, or an error, have come to; unlike select() for descriptors of any number."""
    poll = select.poll()
    for one, events in sockets.items():
        poll.register(one, events)
    found = dict(poll.poll(max(0.0, wait_s) * 1000))
    return [one for one in sockets if one.fileno() in found]


def _connect(url: BrokerUrl, timeout_s: float) -> socket.socket:
    plain = socket.create_connection((url.host, url.port), timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not url.tls:
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=url.host)
    except BaseException:
        plain.close()
        raise


def _drain(wake: socket.socket) -> None:
    with suppress(BlockingIOError):
        wake.recv(4096)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
