"""How far each edge server is, measured again and again on a thread of its own."""

import logging
import socket
import ssl
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from edgewise_agent.errors import InvalidSettings, OffloadError, Problem
from edgewise_agent.offload.http_call import Target, exchange
from edgewise_agent.offload.settings import OffloadServerSettings, OffloadSettings

NEW_SHARE = 0.25
"""How much of the average the newest round trip is: about the last seven count."""
PROBE_TIMEOUT_S = 5.0
PING = "/v1/ping"

log = logging.getLogger("edgewise.agent.offload")


@dataclass(frozen=True)
class Server:
    """What is known of one."""

    settings: OffloadServerSettings
    target: Target | None = None
    """None until its name was looked up."""
    round_trip_ms: float | None = None
    """Of a ping, an average of the latest; None while it does not answer."""
    work_ms: float = 0.0
    """What an answer took beyond that, an average."""
    penalty_ms: float = 0.0
    """What it is thought to take longer since it failed; a quarter is forgotten with each ping that it answers."""
    trouble: str = "not measured yet"
    """Why it does not answer."""

    @property
    def expected_ms(self) -> float | None:
        """How long an answer will take; None while it is not to be had."""
        return None if self.round_trip_ms is None else self.round_trip_ms + self.work_ms + self.penalty_ms


class Servers:
    """Safe between threads. `close` ends the thread."""

    def __init__(self, settings: OffloadSettings) -> None:
        """Raises InvalidSettings when the key or the authority cannot be read."""
        self._settings = settings
        self._tls, self._key = _read_files(settings)
        self._servers = [Server(one) for one in settings.servers]
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._probe_on, name="offload-probe", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; a look-up of a name that hangs is waited for no longer than a probe."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(PROBE_TIMEOUT_S + 1)

    def known(self) -> list[Server]:
        """As they are now, the nearest first, those that do not answer last."""
        with self._lock:
            return sorted(self._servers, key=lambda one: (one.expected_ms is None, one.expected_ms or 0.0))

    def answered(self, url: str, latency_ms: float) -> None:
        """An answer came after so long."""
        server = self._get(url)
        if server.round_trip_ms is not None:
            work_ms = max(latency_ms - server.round_trip_ms, 0.0)
            self._put(replace(server, work_ms=_average(server.work_ms or None, work_ms), penalty_ms=0.0))

    def failed(self, url: str, reason: str, waited_ms: float) -> None:
        """No answer came in so long: it is not asked again before a ping reached it, and others are preferred then."""
        self._put(replace(self._get(url), round_trip_ms=None, trouble=reason, penalty_ms=waited_ms))

    def probe(self) -> None:
        """Measure every server once. Raises nothing."""
        for one in self._settings.servers:
            if self._end.is_set():
                return
            try:
                target = self._look_up(one.url)
                began_s = time.monotonic()
                exchange(target, "GET", PING, deadline_s=began_s + PROBE_TIMEOUT_S)
                measured_ms = (time.monotonic() - began_s) * 1000
            except OffloadError as error:
                log.info("%s", error)
                self._put(replace(self._get(one.url), round_trip_ms=None, trouble=str(error)))
                continue
            latest = self._get(one.url)
            self._put(
                replace(
                    latest,
                    target=target,
                    round_trip_ms=_average(latest.round_trip_ms, measured_ms),
                    penalty_ms=latest.penalty_ms * (1 - NEW_SHARE),
                )
            )

    def _probe_on(self) -> None:
        while not self._end.is_set():
            try:
                self.probe()
            except Exception as error:  # the thread must not end before the agent does
                log.error("unexpected error: %r", error)
            self._end.wait(self._settings.probe_every_s)

    def _look_up(self, url: str) -> Target:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise OffloadError(f"{host}: {error}") from error
        tls = self._tls if parts.scheme == "https" else None
        return Target(host, port, str(found[0][4][0]), tls, self._key)

    def _get(self, url: str) -> Server:
        with self._lock:
            return next(one for one in self._servers if one.settings.url == url)

    def _put(self, server: Server) -> None:
        with self._lock:
            self._servers = [
                server if one.settings.url == server.settings.url else one for one in self._servers
            ]


def _read_files(settings: OffloadSettings) -> tuple[ssl.SSLContext | None, str]:
    problems, tls, key = [], None, ""
    if any(one.url.startswith("https:") for one in settings.servers):
        try:
            tls = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            problems.append(Problem("offload.ca_file", f"{settings.ca_file}: {error.strerror or error}"))
    if settings.key_file is not None:
        try:
            key = read_key(settings.key_file)
        except (OSError, ValueError) as error:
            problems.append(Problem("offload.key_file", f"{settings.key_file}: {error}"))
    if problems:
        raise InvalidSettings("offload", tuple(problems))
    return tls, key


def read_key(path: Path) -> str:
    """The first line of a file. Raises OSError, and ValueError for one that is no key."""
    key = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("got no key in its first line, expected visible ASCII characters")
    return key


def _average(before: float | None, new: float) -> float:
    return new if before is None else (1 - NEW_SHARE) * before + NEW_SHARE * new
