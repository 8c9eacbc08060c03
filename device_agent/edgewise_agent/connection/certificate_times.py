"""Are certificates valid now, on a board that does not know what time it is?

OpenSSL compares them with the system's clock. With a clock that nobody set it would refuse every broker, and without
a connection some boards never learn the time. Such a connection has everything else verified by OpenSSL as ever, the
chain of signatures and the name, and here that no certificate of the chain had expired by the time that has passed
for certain (known_time.py). That one is not valid yet by then proves nothing: it may be later than we know.
"""

import ssl
from typing import Any

from edgewise_agent.connection.known_time import KnownTime

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h; Python's ssl has no name for it."""


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho forgets it open."""

    def do_handshake(self, block: bool = False) -> None:
        """As in the standard library, and then the times."""
        try:
            super().do_handshake(block)
            if isinstance(self.context, TimesCheckedContext):
                self.context.check_times(self)
        except BaseException:
            self.close()
            raise


class TimesCheckedContext(ssl.SSLContext):
    """For clients: the peer's chain and name are verified, its times by the clock or by what is known of it."""

    sslsocket_class = _TlsSocket
    _time: KnownTime | None = None

    def use_time(self, time: KnownTime | None) -> None:
        """Check times against ``time`` whenever the clock cannot be trusted."""
        self._time = time

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """As in the standard library; whether the clock can be trusted is asked anew for each connection."""
        lenient = self._time is not None and not self._time.is_trusted
        flags = int(self.verify_flags) & ~_NO_CHECK_TIME
        self.verify_flags = ssl.VerifyFlags(flags | _NO_CHECK_TIME if lenient else flags)
        return super().wrap_socket(*arguments, **options)

    def check_times(self, peer: ssl.SSLSocket) -> None:
        """Raises SSLCertVerificationError for a chain that has expired for certain."""
        if self._time is None:
            return
        now_s = self._time.at_least_s()
        for certificate in _chain(peer):
            if ssl.cert_time_to_seconds(str(certificate["notAfter"])) < now_s:
                error = ssl.SSLCertVerificationError("certificate has expired")
                error.verify_message = f"certificate has expired on {certificate['notAfter']}"
                raise error


def _chain(peer: ssl.SSLSocket) -> list[dict[str, Any]]:
    """The verified chain; only the broker's own certificate on a Python that does not give out the others."""
    inner: Any = getattr(peer, "_sslobj", None)
    if hasattr(inner, "get_verified_chain"):
        return [certificate.get_info() for certificate in inner.get_verified_chain()]
    return [dict(peer.getpeercert() or {})]
