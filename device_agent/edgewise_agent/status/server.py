"""Listens for whoever asks about the agent: see answers.py."""

import ipaddress
import logging
import select
import socket
import threading

from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.status.status_board import StatusBoard

log = logging.getLogger("edgewise.agent.status")


class StatusServer:
    """Listens until closed, and sleeps as long as nobody asks."""

    def __init__(self, settings: StatusSettings, board: StatusBoard) -> None:
        """Raises OSError when the port is taken or may not be used."""
        address = ipaddress.ip_address(settings.address)
        self._is_local, self._board = address.is_loopback, board
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        self._listener = socket.create_server((settings.address, settings.port), family=family)
        self._listener.setblocking(False)
        self._end, self._ended = socket.socketpair()
        if not self._is_local:
            log.warning("status.address %s: whoever reaches this device can read the page", settings.address)
        self._thread = threading.Thread(target=self._serve, name="status", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        self._end.close()
        self._thread.join()
        self._listener.close()
        self._ended.close()

    def _serve(self) -> None:
        answers = None
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        while all(descriptor == self._listener.fileno() for descriptor, _ in poll.poll()):
            if answers is None:
                from edgewise_agent.status.answers import Answers

                answers = Answers(self._listener, self._board, is_local=self._is_local)
            answers.handle_request()


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
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    log.info("status page on http://%s:%d/", host, server.port)
    return server
