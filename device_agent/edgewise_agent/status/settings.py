"""[status]: the local status page."""

import ipaddress
from typing import Annotated

from msgspec import Meta, Struct

from edgewise_agent.errors import Problem

DEFAULT_PORT = 9477


class StatusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[status]: a page for people, /metrics for Prometheus and /healthz for probes, on this device."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = DEFAULT_PORT
    """0 turns it off."""
    address: str = "127.0.0.1"
    """Of this device only. "0.0.0.0" lets everybody in the network read it, as a container's probes need it."""


def contradictions(status: StatusSettings) -> list[Problem]:
    """What the types do not tell; empty when all is well."""
    try:
        ipaddress.ip_address(status.address)
    except ValueError:
        return [
            Problem("status.address", f"got {status.address!r}, expected an IP address such as '127.0.0.1'")
        ]
    return []
