"""Tells systemd how the service is: sd_notify(3), datagrams to the socket that NOTIFY_SOCKET names."""

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger("edgewise.agent.service")

_ONE_LINE = str.maketrans("\r\n", "  ")
_MOST_TEXT = 200


class Notifier:
    """Says nothing where no service manager listens. Safe between threads: each call is one datagram."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """``environment`` is read now; what is told goes to the service manager that it names."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment)
        """How often systemd wants to hear that all is well; None when it does not watch."""

    @property
    def is_heard(self) -> bool:
        """True under a service manager that asked for notices."""
        return self._address is not None

    def ready(self) -> None:
        """The start is over."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feeds the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text.translate(_ONE_LINE)[:_MOST_TEXT]}")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(1.0)
                channel.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning("the service manager does not hear: %s", error.strerror or error)


def _address(value: str) -> str | None:
    """A path, or with @ a name in Linux's abstract space; other kinds (vsock) are for virtual machines."""
    if value.startswith("@"):
        return "\0" + value[1:]
    return value if value.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3): microseconds, and the process that they are for."""
    try:
        timeout_us = int(environment.get("WATCHDOG_USEC", ""))
        pid = int(environment.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return timeout_us / 1e6 if timeout_us > 0 and pid == os.getpid() else None
