"""Edge servers for tests: real ones, and ones that misbehave."""

import contextlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgewise_agent.offload.server import OffloadServer, ServeOptions

PONG = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.contextmanager
def serving(model: Path, **options: object) -> Iterator[OffloadServer]:
    """A real one, on a free port."""
    server = OffloadServer(model, ServeOptions(port=0, **options))  # type: ignore[arg-type]  # keywords by name, checked when called
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def whole_request(connection: socket.socket) -> bytes:
    """All of it: a reply to a client that is still sending can get lost."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65_536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]) and (piece := connection.recv(65_536)):
        body += piece
    return head


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None], *, ping_s: float = 0.0) -> Iterator[int]:
    """A socket that pongs to pings, after a while, and does what ``answer`` does with anything else; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    ends = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            head = whole_request(connection)
            if head.startswith(b"GET /v1/ping"):
                time.sleep(ping_s)
                connection.sendall(PONG)
            elif head:
                answer(connection)

    def accept() -> None:
        while not ends.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                thread = threading.Thread(target=serve, args=(connection,))
                thread.start()
                threads.append(thread)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ends.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), timeout=1).close()
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


def late(seconds: float) -> Callable[[socket.socket], None]:
    """A good answer, but after a while."""

    def answer(connection: socket.socket) -> None:
        time.sleep(seconds)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{"label":"late","score":1.0}')

    return answer


def saying(*pieces: bytes, pause_s: float = 0.0) -> Callable[[socket.socket], None]:
    """These bytes, whatever was asked."""

    def answer(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)

    return answer


def certificate(folder: Path, *, host: str = "localhost") -> tuple[Path, Path]:
    """A self-signed one and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        + [
            "-subj",
            f"/CN={host}",
            "-addext",
            f"subjectAltName=DNS:{host}",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key
