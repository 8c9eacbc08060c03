"""Ed25519 keys of the fleet's owner, in files nobody else can read: the only place here that knows cryptography."""

import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edgewise_fleet.errors import KeyProblem


def make_key(path: Path) -> Path:
    """Write a new private key (mode 0600) and, beside it, its public one, ending in .pub; that one's path.

    A key that exists is never overwritten. Raises KeyProblem.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public_path = path.with_name(f"{path.name}.pub")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_new(path, private, 0o600)
        try:
            _write_new(public_path, public, 0o644)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
    except FileExistsError as error:
        raise KeyProblem(f"{error.filename}: exists already; name another file") from error
    except OSError as error:
        raise KeyProblem(f"{error.filename or path}: {error.strerror}") from error
    return public_path


def read_key(path: Path) -> Ed25519PrivateKey:
    """Raises KeyProblem for a file that is missing, no ed25519 key, or readable by others."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyProblem(f"{path}: others can read this private key; chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        if isinstance(error, KeyProblem):
            raise
        hint = "; `edgewise fleet make-key` makes one" if isinstance(error, FileNotFoundError) else ""
        raise KeyProblem(f"{path}: {error.strerror}{hint}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{path}: not a private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyProblem(f"{path}: got a {type(key).__name__}, expected an ed25519 key")
    return key


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
