"""Where a broker is: mqtt://[user[:password]@]host[:port], or mqtts:// for TLS; of a cluster, each node's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from edgewise_fleet.errors import InvalidBrokerUrl

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class BrokerUrl:
    """A broker's address, and those of its cluster's other nodes; printing it never shows the password."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    others: tuple["BrokerUrl", ...] = ()
    """Without others of their own."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return ",".join(
            (f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}", *(str(one) for one in self.others))
        )

    @property
    def nodes(self) -> "tuple[BrokerUrl, ...]":
        """Each address by itself, in the order given."""
        return (replace(self, others=()), *self.others)


class NodeTurns:
    """Which node to connect to: one that works stays, one that failed gives way to the next. Not locked."""

    def __init__(self, url: BrokerUrl) -> None:
        self._nodes: Sequence[BrokerUrl] = url.nodes
        self._at = 0

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def node(self) -> BrokerUrl:
        """Whose turn it is."""
        return self._nodes[self._at]

    def next(self) -> BrokerUrl:
        """The one after it; after the last the first, and one that is alone itself."""
        self._at = (self._at + 1) % len(self._nodes)
        return self.node


def join_broker_urls(texts: Sequence[str]) -> str:
    """Several `--broker` as one text for `parse_broker_url`."""
    return ",".join(texts)


def parse_broker_url(text: str) -> BrokerUrl:
    """Read a broker's address, or the addresses of a cluster's nodes with commas. Raises InvalidBrokerUrl."""
    # A comma may also stand in a password.
    first, *rest = [_parse_one(one) for one in re.split(r",\s*(?=mqtts?://)", text)]
    if any(one.tls != first.tls for one in rest):
        raise InvalidBrokerUrl(
            f"broker: got {replace(first, others=tuple(rest))}, expected mqtt:// for all nodes, or mqtts:// for all"
        )
    for number, one in enumerate(rest):
        if one in (first, *rest[:number]):
            raise InvalidBrokerUrl(f"broker: got {one} twice, expected each node once")
    return replace(first, others=tuple(rest))


def _parse_one(text: str) -> BrokerUrl:
    shown = text.rsplit("@", 1)[-1]  # without a password
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidBrokerUrl(f"broker: got {shown!r}, {_EXPECTED}") from None
    if (
        parts.scheme not in DEFAULT_PORTS
        or not host
        or "," in host
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
    return all(node.host in LOOPBACK_HOSTS for node in parse_broker_url(url).nodes)


_EXPECTED = (
    "expected mqtt://host:port, for example mqtt://127.0.0.1:1883 (mqtts:// for TLS);"
    " of a cluster's nodes mqtt://a:1883,mqtt://b:1883"
)
