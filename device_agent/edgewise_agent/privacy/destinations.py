"""Where data may go: by url and by region."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgewise_agent.errors import Problem
from edgewise_agent.privacy.settings import PrivacySettings

_PORTS = {"mqtt": 1883, "mqtts": 8883, "http": 80, "https": 443}


@dataclass(frozen=True)
class Destination:
    """Someone that bytes could be sent to."""

    url: str
    region: str = ""
    """As the settings say it; "" where they do not."""

    def __str__(self) -> str:
        return f"{self.url} (region {self.region})" if self.region else self.url


def destination_of(url: str, settings: PrivacySettings, *, region: str = "") -> Destination:
    """A url with its region: the one given, else the one in the settings."""
    known = {normalized(one): label for one, label in settings.regions.items()}
    return Destination(normalized(url), region or known.get(normalized(url), ""))


def may_get_inputs(to: Destination, settings: PrivacySettings) -> bool:
    """Whether a destination is on the lists: its url, or its region. Two empty lists allow nobody."""
    brokers = {normalized(one) for one in settings.allowed_brokers}
    return normalized(to.url) in brokers or (bool(to.region) and to.region in settings.allowed_regions)


def may_get_records(to: Destination, settings: PrivacySettings) -> bool:
    """Whether telemetry and events may go there: anywhere, unless regions are named."""
    return not settings.allowed_regions or may_get_inputs(to, settings)


def privacy_problems(settings: PrivacySettings, *, broker_urls: Sequence[str]) -> list[Problem]:
    """What contradicts itself, for `edgewise agent check` and before a start."""
    problems = []
    if settings.raw_leaves and not settings.allowed_brokers and not settings.allowed_regions:
        problems.append(
            Problem(
                "privacy.raw_leaves", "is true, but neither allowed_brokers nor allowed_regions say where to"
            )
        )
    for broker in [destination_of(url, settings) for url in broker_urls]:
        if may_get_records(broker, settings):
            continue
        where = f"is in region {broker.region!r}" if broker.region else "has no region in privacy.regions"
        problems.append(
            Problem(
                "privacy.allowed_regions",
                f"the broker {broker.url} {where}; allowed are {settings.allowed_regions}",
            )
        )
    if settings.raw_leaves and "faces" in settings.redact and settings.face_model is None:
        problems.append(
            Problem(
                "privacy.face_model",
                "missing: faces are to be blurred, so without it no picture could leave; name a face detector,"
                ' or leave "faces" out of privacy.redact',
            )
        )
    problems += [
        Problem("privacy", f"got the url {url!r}, expected mqtt(s):// or http(s)://host[:port]")
        for url in (*settings.allowed_brokers, *settings.regions)
        if urlsplit(url).scheme not in _PORTS or not urlsplit(url).hostname
    ]
    return problems


def normalized(url: str) -> str:
    """Scheme, host and port in small letters: two spellings of one place are one."""
    parts = urlsplit(url.strip())
    try:
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        port = None
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{host}:{port}" if host and port else url
