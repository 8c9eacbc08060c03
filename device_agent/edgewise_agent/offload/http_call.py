"""One HTTP/1.1 exchange that ends at its deadline, by h11: it has no sockets, so every wait is ours.

Redirects are not followed and proxies not asked: the bytes go to the server that was allowed, or nowhere.
"""

import socket
import ssl
import time
from dataclasses import dataclass

import h11

from edgewise_agent.errors import OffloadError

MAX_REPLY_BYTES = 256 * 1024
_PIECE_BYTES = 16 * 1024


@dataclass(frozen=True)
class Target:
    """A server, its name already looked up."""

    host: str
    port: int
    address: str
    """Its IP address."""
    tls: ssl.SSLContext | None = None
    key: str = ""


def exchange(
    target: Target, method: str, path: str, *, body: bytes = b"", media: str = "", deadline_s: float
) -> bytes:
    """The body of a 200 reply. ``deadline_s`` is on the monotonic clock. Raises OffloadError."""
    try:
        with socket.create_connection((target.address, target.port), timeout=_left_s(deadline_s)) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.tls is None:
                return _talk(plain, target, method, path, body, media, deadline_s)
            plain.settimeout(_left_s(deadline_s))
            with target.tls.wrap_socket(plain, server_hostname=target.host) as secret:
                return _talk(secret, target, method, path, body, media, deadline_s)
    except TimeoutError as error:
        raise OffloadError(f"{target.host}:{target.port}: no answer in time") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "verify_message", "") or getattr(error, "strerror", None) or str(error)
        raise OffloadError(f"{target.host}:{target.port}: {reason}") from error
    except h11.ProtocolError as error:
        raise OffloadError(f"{target.host}:{target.port}: no HTTP: {error}") from error


def _talk(
    stream: socket.socket, target: Target, method: str, path: str, body: bytes, media: str, deadline_s: float
) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", f"{target.host}:{target.port}"),
        ("Connection", "close"),
        ("Content-Length", str(len(body))),
    ]
    headers += [("Content-Type", media)] if media else []
    headers += [("Authorization", f"Bearer {target.key}")] if target.key else []
    _send(stream, connection.send(h11.Request(method=method, target=path, headers=headers)), deadline_s)
    if body:
        _send(stream, connection.send(h11.Data(data=body)), deadline_s)
    _send(stream, connection.send(h11.EndOfMessage()), deadline_s)
    status, received = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            stream.settimeout(_left_s(deadline_s))
            connection.receive_data(stream.recv(65_536))
        elif isinstance(event, h11.InformationalResponse):
            continue
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            received += event.data
            if len(received) > MAX_REPLY_BYTES:
                raise ValueError(f"got a reply of more than {MAX_REPLY_BYTES} bytes")
        else:
            break
    if status != 200:
        raise ValueError(f"got status {status}, expected 200: {bytes(received[:200])!r}")
    return bytes(received)


def _send(stream: socket.socket, data: bytes | None, deadline_s: float) -> None:
    view = memoryview(data or b"")
    while view:
        stream.settimeout(_left_s(deadline_s))
        view = view[stream.send(view[:_PIECE_BYTES]) :]


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
