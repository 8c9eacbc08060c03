"""A small edge server for `Offloader`: a model behind HTTP, for a machine in the same house.

It is the reference of what a server has to say, on the standard library's http.server: bounded in threads, time and
bytes, but made for a local network and no place on the internet.
"""

import hmac
import http.server
import io
import json
import logging
import socket
import ssl
import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import edgewise
from edgewise.errors import EdgewiseError
from edgewise.preprocess.picture import upright
from edgewise_agent.errors import InvalidSettings, Problem
from edgewise_agent.offload.servers import read_key
from edgewise_agent.offload.settings import LOOPBACK
from edgewise_agent.rules.facts import facts_of

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 8
SOCKET_TIMEOUT_S = 10.0

log = logging.getLogger("edgewise.agent.serve-offload")


@dataclass(frozen=True)
class ServeOptions:
    """How to serve."""

    host: str = "127.0.0.1"
    port: int = 8190
    key_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None


class OffloadServer(http.server.ThreadingHTTPServer):
    """Answers about pictures with one model, one at a time; at most eight connections wait."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, model: Path, options: ServeOptions) -> None:
        """Load the model and listen. Raises InvalidSettings, EdgewiseError, and OSError when the port is taken."""
        self._key, tls = _read_options(options)
        self._model = edgewise.load(model)
        self._sha256 = self._model.file.sha256()
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in options.host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((options.host, options.port), _Handler)
        except BaseException:
            self._model.close()
            raise
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """The one it listens on."""
        return int(self.server_address[1])

    def is_allowed(self, given: str) -> bool:
        """Whether an Authorization header has the key."""
        return not self._key or hmac.compare_digest(given.encode(), f"Bearer {self._key}".encode())

    def predict(self, data: bytes) -> dict[str, Any]:
        """The answer about a picture. Raises EdgewiseError."""
        picture = upright(io.BytesIO(data))
        with self._turn:
            result = self._model.predict(picture)
        facts = facts_of(result)
        return {
            "label": facts.label, "score": min(max(facts.score, 0.0), 1.0), "model": self._model.name,
            "model_sha256": self._sha256, "result": result.to_dict(),
        }  # fmt: skip

    def process_request(self, request: Any, client_address: Any) -> None:
        """Beyond the limit a connection is closed at once."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """On its own thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no traceback."""
        log.info("%s: the connection ended", client_address)

    def server_close(self) -> None:
        """Stop to listen, and let go of the model."""
        super().server_close()
        self._model.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: OffloadServer
    timeout = SOCKET_TIMEOUT_S
    server_version = "edgewise-offload"
    sys_version = ""

    def do_GET(self) -> None:
        """A ping, by which the round trip is measured."""
        if self.path != "/v1/ping":
            self._say(HTTPStatus.NOT_FOUND, {"error": f"no such path {self.path[:100]!r}"})
            return
        self._say(HTTPStatus.OK, {})

    def do_POST(self) -> None:
        """A picture to answer about."""
        self.close_connection = True
        length = self.headers.get("Content-Length", "")
        refusal = self._refusal(length)
        if refusal is None:
            self._answer(int(length))
            return
        if (
            length.isdecimal() and len(length) <= 9
        ):  # a reply to a client that is still sending would get lost
            self.rfile.read(min(int(length), MAX_BODY_BYTES))
        self._say(*refusal)

    def _refusal(self, length: str) -> tuple[HTTPStatus, dict[str, Any]] | None:
        if self.path != "/v1/predict":
            return HTTPStatus.NOT_FOUND, {"error": f"no such path {self.path[:100]!r}"}
        if not self.server.is_allowed(self.headers.get("Authorization", "")):
            return HTTPStatus.UNAUTHORIZED, {"error": "no key, or another one"}
        if not length.isdecimal():
            return HTTPStatus.LENGTH_REQUIRED, {"error": "Content-Length is missing"}
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"expected at most {MAX_BODY_BYTES} bytes"}
        if not self.headers.get("Content-Type", "").startswith("image/"):
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"error": "expected image/..."}
        return None

    def _answer(self, length: int) -> None:
        data = self.rfile.read(length)
        if len(data) != length:
            return
        try:
            self._say(HTTPStatus.OK, self.server.predict(data))
        except EdgewiseError as error:
            self._say(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)[:500]})
        except (TypeError, ValueError) as error:
            log.error("%r", error)
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the answer cannot be said"})

    def _say(self, status: HTTPStatus, values: dict[str, Any]) -> None:
        body = json.dumps(values, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """To our log."""
        log.info("%s %s", self.client_address[0], format % args)


def _read_options(options: ServeOptions) -> tuple[str, ssl.SSLContext | None]:
    problems, key, tls = [], "", None
    if options.host not in LOOPBACK and options.key_file is None:
        problems.append(
            Problem("--host", f"{options.host} can be reached by others; give a key with --key-file")
        )
    if options.key_file is not None:
        try:
            key = read_key(options.key_file)
        except (OSError, ValueError) as error:
            problems.append(Problem("--key-file", f"{options.key_file}: {error}"))
    if options.certificate is not None:
        try:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(options.certificate, options.private_key)
        except (OSError, ssl.SSLError) as error:
            problems.append(Problem("--certificate", f"{options.certificate}: {error.strerror or error}"))
    if problems:
        raise InvalidSettings("serve-offload", tuple(problems))
    return key, tls
