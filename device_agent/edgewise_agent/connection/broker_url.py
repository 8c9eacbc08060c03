"""Where the broker is: an address that was checked when it was made."""

import re
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerUrl(str):
    """``mqtt://host[:port]`` or ``mqtts://host[:port]``, checked when it is made."""

    __slots__ = ()

    def __new__(cls, text: str) -> "BrokerUrl":
        """Raises ValueError with what was expected."""
        _check_url(text)
        return super().__new__(cls, text)

    @property
    def host(self) -> str:
        """Name or address of the broker."""
        return urlsplit(self).hostname or ""

    @property
    def port(self) -> int:
        """1883 or 8883 unless given."""
        parts = urlsplit(self)
        return parts.port or DEFAULT_PORTS[parts.scheme]

    @property
    def is_tls(self) -> bool:
        """True for mqtts."""
        return urlsplit(self).scheme == "mqtts"


def _check_url(text: str) -> None:
    expected = "expected mqtt://host[:port] or mqtts://host[:port]"
    try:
        parts: SplitResult = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{expected} ({error})") from error
    if parts.username or parts.password:
        raise ValueError(
            f"{expected}; the name goes to broker.username, the password to broker.password_file"
        )
    odd = parts.path.strip("/") or parts.query or parts.fragment or re.search(r"\s", text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0 or odd:
        raise ValueError(expected)
