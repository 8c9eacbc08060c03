"""Ed25519 signatures of commands: the only place in the agent that knows cryptography.

That is imported when there is a key: without keys no signed command is taken, and the memory is saved.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise_agent.errors import KeyUnusable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_LIMIT_BYTES = 64 * 1024

_SIGNATURE = re.compile(r"[0-9a-f]{128}")
"""One way to write each, so that a changed message is never the same command."""


class TrustedKeys:
    """Public keys, any of which may have signed."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read PEM files of ed25519 public keys. Raises KeyUnusable, naming the file."""
        self._keys = {key_name(key): key for key in map(_read, files)}

    def __len__(self) -> int:
        return len(self._keys)

    def signer_of(self, data: bytes, signature_hex: str) -> str:
        """The name of the key that signed ``data``; empty when none of ours did."""
        if not _SIGNATURE.fullmatch(signature_hex):  # bytes.fromhex would skip blanks
            return ""
        from cryptography.exceptions import InvalidSignature

        signature = bytes.fromhex(signature_hex)
        for name, key in self._keys.items():
            try:
                key.verify(signature, data)
            except InvalidSignature:
                continue
            return name
        return ""


def key_name(key: "Ed25519PublicKey") -> str:
    """How a key is called in logs: the first 16 hexadecimal digits of its SHA-256."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _read(path: Path) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    where = f"commands.keys {path}"
    try:
        with path.open("rb") as stream:
            key = load_pem_public_key(stream.read(KEY_LIMIT_BYTES))
    except OSError as error:
        raise KeyUnusable(f"{where}: {error.strerror}; copy the public key file to the device") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(
            f"{where}: not a public key in PEM; `edgewise fleet make-key` writes one, ending in .pub"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyUnusable(f"{where}: got a {type(key).__name__}, expected an ed25519 key")
    return key
