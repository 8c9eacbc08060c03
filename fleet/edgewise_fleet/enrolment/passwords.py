"""mosquitto's password file: ``name:$7$iterations$salt$digest``, PBKDF2 with SHA-512 (mosquitto_passwd(1)). Pure."""

import base64
import hashlib
import secrets

ITERATIONS = 101
"""mosquitto's own number: our passwords are of 192 random bits, which no stretching makes safer."""
SALT_BYTES = 12
DIGEST_BYTES = 64


def make_password() -> str:
    """192 bits."""
    return secrets.token_urlsafe(24)


def password_line(name: str, password: str) -> str:
    """A line of the file."""
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, DIGEST_BYTES)
    texts = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{name}:$7${ITERATIONS}${'$'.join(texts)}"


def with_line(text: str, name: str, line: str | None) -> str:
    """The file with this user's line replaced, added, or (None) taken out."""
    kept = [one for one in text.splitlines() if one and one.partition(":")[0] != name]
    return "".join(f"{one}\n" for one in [*kept, *([line] if line else [])])
