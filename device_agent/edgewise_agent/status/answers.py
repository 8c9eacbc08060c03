"""Answers those who ask for the page, /metrics, /healthz and /status.json: the standard library's server.

It is a megabyte with what it imports, so it is loaded when somebody asks for the first time.
"""

import ipaddress
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgewise_agent.status.exposition import CONTENT_TYPE, expose
from edgewise_agent.status.page import page
from edgewise_agent.status.status_board import Snapshot, StatusBoard

_REQUEST_TIMEOUT_S = 5.0
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


class Answers(ThreadingHTTPServer):
    """On a socket that listens and does not block; `handle_request` takes the next who waits, or nobody."""

    daemon_threads = True
    block_on_close = False
    timeout = 0

    def __init__(self, listener: socket.socket, board: StatusBoard, *, is_local: bool) -> None:
        """``is_local``: only names of this machine are answered."""
        address = listener.getsockname()[:2]
        super().__init__(address, _handler(board, is_local=is_local), bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no error of ours."""
        log.debug("a request for the status page broke off", exc_info=True)


def _handler(board: StatusBoard, *, is_local: bool) -> type[BaseHTTPRequestHandler]:
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

    return Handler


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
