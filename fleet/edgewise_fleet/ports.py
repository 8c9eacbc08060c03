"""TCP ports: ours to listen on or not, answered before anything is started."""

import socket

from edgewise_fleet.errors import PortTaken


def listen(host: str, port: int, *, purpose: str, remedy: str) -> socket.socket:
    """A bound socket of this host and port (0 picks a free one). Raises PortTaken; the caller closes it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(
            f"{purpose}: cannot listen on {host!r}: {error.strerror}; name another with --host"
        ) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"{purpose}: port {port} on {host}: {(error.strerror or str(error)).lower()}; {remedy}"
        ) from error
    return bound


def free_port(host: str, port: int, *, purpose: str, remedy: str) -> int:
    """The port itself if it can be listened on now, a free one for 0. Raises PortTaken."""
    with listen(host, port, purpose=purpose, remedy=remedy) as bound:
        return int(bound.getsockname()[1])


def answers(host: str, port: int) -> bool:
    """Whether something accepts a connection there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
