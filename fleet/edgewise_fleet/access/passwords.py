"""Argon2id: the only file that knows argon2-cffi."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edgewise_fleet.errors import AccessProblem

SHORTEST, LONGEST = 10, 1024
"""NIST SP 800-63B asks for 8 and more, without rules about which characters."""

# RFC 9106, second recommended option: 64 MiB, three passes, four lanes.
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password")


def hash_password(password: str) -> str:
    """The encoded hash. Raises AccessProblem for one that is too short."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccessProblem(f"password: got {len(password)} characters, expected {SHORTEST} to {LONGEST}")
    return _HASHER.hash(password)


def verify_password(password: str, encoded: str | None) -> bool:
    """Whether it is the one; takes as long for a user that does not exist (``None``)."""
    try:
        return _HASHER.verify(encoded or _NOBODY, password[:LONGEST]) and encoded is not None
    except (VerificationError, InvalidHashError):
        return False
