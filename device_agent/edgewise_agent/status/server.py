"""Serves the page, /metrics, /healthz and /status.json: the standard library's server on a thread."""

import ipaddress
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgewise_agent.status.exposition import CONTENT_TYPE, expose
from edgewise_agent.status.page import page
from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.status.status_board import Snapshot, StatusBoard

_REQUEST_TIMEOUT_S = 5.0
_POLL_S = 0.5
"""How often the thread looks whether it should end; requests do not wait for it."""
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = logging.getLogger("edgewise.agent.status")


def _health(snapshot: Snapshot) -> bytes:
    return b"ok\n" if snapshot.is_healthy else f"not heard from: {', '.join(snapshot.silent)}\n".encode()


_PLACES: dict[str, tuple[str, Callable[[Snapshot], bytes]]] = {
    "/": ("text/html; charset=utf-8", page),
    "/metrics": (CONTENT_TYPE, expose),
    "/status.json": ("application/json", Snapshot.to_json),
    "/healthz": ("text/plain; charset=utf-8", _health),
}


class StatusServer:
    """Listens until closed."""

    def __init__(self, settings: StatusSettings, board: StatusBoard) -> None:
        """Raises OSError when the port is taken or may not be used."""
        is_local = ipaddress.ip_address(settings.address).is_loopback
        self._server = _make_server(settings, board, is_local=is_local)
        if not is_local:
            log.warning("status.address %s: whoever reaches this device can read the page", settings.address)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="status", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def try_to_serve(settings: StatusSettings, board: StatusBoard) -> StatusServer | None:
    """None when it is turned off, and, with a warning, when the port is taken: the agent's work goes on."""
    if not settings.port:
        return None
    try:
        server = StatusServer(settings, board)
    except OSError as error:
        log.warning(
            "status.port %d on %s: %s; there is no status page; name another port, or 0",
            settings.port,
            settings.address,
            error.strerror or error,
        )
        return None
    log.info("status page on http://%s:%d/", settings.address, server.port)
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no error of ours."""
        log.debug("a request for the status page broke off", exc_info=True)


def _make_server(settings: StatusSettings, board: StatusBoard, *, is_local: bool) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT_S
        server_version, sys_version = "edgewise", ""

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
            """Requests are not worth a line."""

        def _answer(self, *, with_body: bool) -> None:
            place = _PLACES.get(self.path.partition("?")[0])
            # A page elsewhere must not read this one by giving its own name this address (DNS rebinding).
            if is_local and not _is_local_name(self.headers.get("Host", "")):
                self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"ask for 127.0.0.1\n", with_body)
            elif place is None:
                known = " ".join(_PLACES)
                self._send(HTTPStatus.NOT_FOUND, "text/plain", f"there is {known}\n".encode(), with_body)
            else:
                snapshot = board.snapshot()
                is_ill = place[1] is _health and not snapshot.is_healthy
                status = HTTPStatus.SERVICE_UNAVAILABLE if is_ill else HTTPStatus.OK
                self._send(status, place[0], place[1](snapshot), with_body)

        def _send(self, status: HTTPStatus, kind: str, body: bytes, with_body: bool) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **_SECURITY}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    return _Server((settings.address, settings.port), Handler)


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
