"""A certificate authority for tests, by the openssl command."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.pair = Pair(folder / "ca.pem", folder / "ca.key")
        _openssl(
            "req", "-x509", *_new_key(self.pair.key), "-days", "3650", "-subj", "/CN=test authority",
            "-addext", "basicConstraints=critical,CA:TRUE", "-out", str(self.pair.certificate),
        )  # fmt: skip

    def sign(self, name: str, *, made_on: str = "", days: int = 30) -> Pair:
        """``made_on`` is a time (UTC) at which openssl is made to believe it runs."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, more = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        more.write_text("subjectAltName=IP:127.0.0.1\n")
        _openssl("req", *_new_key(pair.key), "-subj", f"/CN={name}", "-out", str(request))
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.pair.certificate), "-CAkey", str(self.pair.key),
            "-days", str(days), "-extfile", str(more), "-out", str(pair.certificate), made_on=made_on,
        )  # fmt: skip
        return pair


def _new_key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(path)]


def _openssl(*arguments: str, made_on: str = "") -> None:
    # With -f the clock stands still: where it runs on, a busy machine writes the second after.
    pretend = ["faketime", "-f", made_on] if made_on else []
    subprocess.run(
        [*pretend, "openssl", *arguments], check=True, capture_output=True, env={**os.environ, "TZ": "UTC"}
    )
