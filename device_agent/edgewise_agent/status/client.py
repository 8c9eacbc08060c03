"""Asks a running agent how it is, and says what is wrong when there is none."""

import fcntl
import http.client
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise_agent.errors import NotRunning
from edgewise_agent.state_folder import LOCK_NAME
from edgewise_agent.status.settings import StatusSettings

_TIMEOUT_S = 5.0
_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Holder:
    """Who holds the state folder."""

    pid: int | None
    """None where the lock's file does not say."""


def find_holder(state_dir: Path) -> Holder | None:
    """The agent that holds the state folder; None when nobody does. Changes nothing. Raises PermissionError."""
    try:
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        return Holder(int(text) if text.isdigit() else None)
    finally:
        os.close(descriptor)
    return None


def read_status(settings: StatusSettings, *, state_dir: Path) -> dict[str, Any]:
    """What /status.json says. Raises NotRunning with what is wrong and what to do."""
    try:
        holder = find_holder(state_dir)
    except PermissionError:
        return _read_without_lock(settings, state_dir)
    who = f"process {holder.pid}" if holder and holder.pid else "a process that does not say its number"
    if holder is None:
        raise NotRunning(
            f"no agent runs on {state_dir}; start one: edgewise agent run, or systemctl start edgewise-agent"
        )
    if not settings.port:
        raise NotRunning(f"an agent runs ({who}), but its status page is off: status.port = 0")
    try:
        document = _get(settings)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotRunning(
            f"an agent runs on {state_dir} ({who}), but nobody answers on port {settings.port}: {_why(error)}; "
            "it may be starting, or another program had the port when it started: see edgewise agent logs"
        ) from error
    if holder.pid is not None and document.get("pid") != holder.pid:
        raise NotRunning(
            f"port {settings.port} belongs to another agent (process {document.get('pid')}), {state_dir} to {who}; "
            "give each agent a status.port of its own"
        )
    return document


def _read_without_lock(settings: StatusSettings, state_dir: Path) -> dict[str, Any]:
    """By a user who may not look into the folder, as of a service with a user of its own."""
    try:
        return _get(settings)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotRunning(
            f"nobody answers on port {settings.port}: {_why(error)}; whether an agent runs on {state_dir} this user "
            "may not see: try sudo"
        ) from error


def _get(settings: StatusSettings) -> dict[str, Any]:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.address, settings.address)
    connection = http.client.HTTPConnection(address, settings.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/status.json")
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise ValueError(f"it answers {response.status}")
        document = json.loads(response.read(_MOST_BYTES))
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise ValueError("its answer is no status")
    return document


def _why(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return f"no answer within {_TIMEOUT_S:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
