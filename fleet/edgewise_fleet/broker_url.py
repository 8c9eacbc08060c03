"""Where a broker is: mqtt://[user[:password]@]host[:port], or mqtts:// for TLS."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from edgewise_fleet.errors import InvalidBrokerUrl

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class BrokerUrl:
    """One broker's address; printing it never shows the password."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_broker_url(text: str) -> BrokerUrl:
    """Read a broker's address. Raises InvalidBrokerUrl."""
    shown = text.rsplit("@", 1)[-1]  # without a password
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidBrokerUrl(f"broker: got {shown!r}, {_EXPECTED}") from None
    if (
        parts.scheme not in DEFAULT_PORTS
        or not host
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise InvalidBrokerUrl(f"broker: got {shown!r}, {_EXPECTED}")
    return BrokerUrl(
        host=host,
        port=DEFAULT_PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "mqtts",
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def is_loopback(url: str) -> bool:
    """Whether only this machine can reach that broker."""
    return parse_broker_url(url).host in LOOPBACK_HOSTS


_EXPECTED = "expected mqtt://host:port, for example mqtt://127.0.0.1:1883 (mqtts:// for TLS)"
