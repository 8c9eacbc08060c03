"""All that running unattended needs, in one place: heartbeats, watchdog, systemd's notices, status page."""

from types import TracebackType
from typing import Self

from edgewise_agent.service.heartbeat import Heartbeats, Watchdog
from edgewise_agent.service.notify import Notifier
from edgewise_agent.status.server import StatusServer, try_to_serve
from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.status.status_board import StatusBoard


class Unattended:
    """A context manager around the agent's life."""

    def __init__(
        self,
        *,
        group: str,
        device: str,
        status: StatusSettings,
        version: str = "",
        notifier: Notifier | None = None,
    ) -> None:
        self.heartbeats = Heartbeats()
        self.notifier = notifier or Notifier()
        self.board = StatusBoard(group=group, device=device, version=version, silent=self.heartbeats.silent)
        self._status = status
        self._watchdog = Watchdog(self.heartbeats, self.notifier)
        self._server: StatusServer | None = None

    def __enter__(self) -> Self:
        """Begin to watch and to serve the page."""
        self._server = try_to_serve(self._status, self.board)
        self._watchdog.start()
        return self

    def ready(self, text: str) -> None:
        """The start is over; ``text`` is what `systemctl status` shows."""
        self.notifier.ready()
        self.notifier.status(text)

    def stopping(self, reason: str) -> None:
        """The end has begun; sending what waits may take a while."""
        self.notifier.stopping()
        self.notifier.status(f"stopping: {reason or 'after an error'}")

    def on_connection(self, connected: bool, why: str) -> None:
        """For the courier: shows on the page whether the broker is there."""
        self.board.tell("broker", connected=connected, last_trouble=why or None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching and serving."""
        self._watchdog.stop()
        if self._server is not None:
            self._server.close()
