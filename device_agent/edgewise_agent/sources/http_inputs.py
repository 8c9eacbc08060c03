"""`push:PORT`: inputs by HTTP POST, from this machine unless told otherwise."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgewise.errors import SourceError
from edgewise_agent.sources.payloads import MOST_BYTES
from edgewise_agent.sources.pushed import Inbox

READ_TIMEOUT_S = 10.0


class HttpReceiver:
    """A Receiver: POST the bytes of a picture, a WAV file or JSON to any path.

    202 when they are taken, 429 when an older input had to go for them, 411 and 413 for no or too much length.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The one it listens on, also when 0 was asked for."""
        return self._server.server_port if self._server else self._address[1]

    def start(self, inbox: Inbox) -> None:
        """See `Receiver.start`."""
        try:
            self._server = _Server(self._address, inbox)
        except OSError as error:
            host, port = self._address
            raise SourceError(
                f"push:{host}:{port}: {error.strerror or error}; is the port in use?"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="push", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """See `Receiver.stop`."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], inbox: Inbox) -> None:
        self.inbox = inbox
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    timeout = READ_TIMEOUT_S
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._answer(411, "send a Content-Length")
        elif int(length) > MOST_BYTES:
            self._answer(413, f"got {int(length)} bytes, expected at most {MOST_BYTES}")
        else:
            data = self.rfile.read(int(length))
            if len(data) == int(length):
                is_taken = self.server.inbox.put(data)
                self._answer(
                    202 if is_taken else 429, "taken" if is_taken else "taken, and an older input dropped"
                )

    def _answer(self, code: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Not into the agent's log: one line for each input would drown it."""
