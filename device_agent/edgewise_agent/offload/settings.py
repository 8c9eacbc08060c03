"""What a user says about asking edge servers."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from edgewise_agent.errors import Problem

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class OffloadServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[offload.servers]]: one that may be asked."""

    url: Annotated[str, Meta(min_length=1, max_length=512)]
    """http://host[:port] or https://host[:port]."""
    region: Annotated[str, Meta(max_length=64)] = ""
    """Where it is, for privacy.allowed_regions."""


class OffloadSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[offload]: whom to ask about inputs that the model here is not sure of."""

    enabled: bool = False
    """Whether anybody is asked."""
    servers: Annotated[tuple[OffloadServerSettings, ...], Meta(max_length=16)] = ()
    """The nearest one that is allowed is asked."""
    below_confidence: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    """Inputs whose score is lower are asked about."""
    max_latency_ms: Annotated[float, Meta(ge=10.0, le=60_000.0)] = 500.0
    """From the question to the answer, redaction and all; a later answer does not count."""
    max_per_minute: Annotated[int, Meta(ge=1, le=600)] = 30
    """So many inputs at most."""
    probe_every_s: Annotated[float, Meta(ge=1.0, le=3600.0)] = 30.0
    """How often the round trip to each server is measured."""
    key_file: Path | None = None
    """Its first line is the key that servers ask for; over https only, or to this machine."""
    ca_file: Path | None = None
    """For https: the certificate authority to trust instead of the system's."""


def offload_problems(settings: OffloadSettings) -> list[Problem]:
    """What contradicts itself, for `edgewise agent check` and before a start."""
    problems = []
    if settings.enabled and not settings.servers:
        problems.append(
            Problem("offload.servers", "missing: offload.enabled is true, and there is nobody to ask")
        )
    for place, server in enumerate(settings.servers):
        where = f"offload.servers[{place}].url"
        parts = urlsplit(server.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(server.url):
            problems.append(Problem(where, f"got {server.url!r}, expected http(s)://host[:port]"))
        elif parts.username or parts.path.strip("/") or parts.query or parts.fragment:
            problems.append(Problem(where, f"got {server.url!r}, expected nothing but http(s)://host[:port]"))
        elif settings.key_file and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            problems.append(
                Problem(where, f"{server.url} would get the key of offload.key_file unencrypted; use https")
            )
    return problems


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
