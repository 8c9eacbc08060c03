"""Local users and API tokens in the panel's file."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from edgewise_fleet.access.passwords import hash_password, verify_password
from edgewise_fleet.access.roles import Role
from edgewise_fleet.errors import AccessProblem
from edgewise_fleet.panel_db import PanelDb

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
TOKEN_PREFIX = "ewf_"


@dataclass(frozen=True)
class User:
    """One user or token: its name and what it may do."""

    name: str
    role: Role


class Users:
    """Reads and writes; every method may be called from any thread and may raise StoreUnusable."""

    def __init__(self, db: PanelDb) -> None:
        self._db = db

    def any(self) -> bool:
        """Whether anybody must log in."""
        return bool(self._db.read("SELECT 1 FROM users LIMIT 1"))

    def all(self) -> tuple[User, ...]:
        """By name."""
        return tuple(
            User(name, Role(role))
            for name, role in self._db.read("SELECT name, role FROM users ORDER BY name")
        )

    def find(self, name: str) -> User | None:
        """One user."""
        rows = self._db.read("SELECT name, role FROM users WHERE name = ?", (name,))
        return User(rows[0][0], Role(rows[0][1])) if rows else None

    def add(self, name: str, role: Role, password: str) -> None:
        """Make a user. Raises AccessProblem for a name that is taken or none."""
        _check_name(name)
        if self.find(name) is not None:
            raise AccessProblem(f"user {name!r} is there already; remove it first, or set its password")
        self._db.write(
            "INSERT INTO users VALUES (?, ?, ?, ?)", (name, role.value, hash_password(password), _now_ms())
        )

    def set_password(self, name: str, password: str) -> None:
        """Change a password; the user is logged out everywhere. Raises AccessProblem."""
        encoded = hash_password(password)
        with self._db.transaction():
            if not self._db.write("UPDATE users SET password = ? WHERE name = ?", (encoded, name)):
                raise _unknown("user", name)
            self._db.write("DELETE FROM sessions WHERE user = ?", (name,))

    def remove(self, name: str) -> None:
        """Forget a user, who is logged out everywhere. Raises AccessProblem."""
        with self._db.transaction():
            if not self._db.write("DELETE FROM users WHERE name = ?", (name,)):
                raise _unknown("user", name)
            self._db.write("DELETE FROM sessions WHERE user = ?", (name,))

    def check(self, name: str, password: str) -> User | None:
        """The user, if the password is right."""
        rows = self._db.read("SELECT password FROM users WHERE name = ?", (name,))
        if not verify_password(password, rows[0][0] if rows else None):
            return None
        return self.find(name)

    def add_token(self, name: str, role: Role) -> str:
        """Make a token for scripts; it is shown this once. Raises AccessProblem."""
        _check_name(name)
        if self._db.read("SELECT 1 FROM tokens WHERE name = ?", (name,)):
            raise AccessProblem(f"token {name!r} is there already; remove it first")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self._db.write("INSERT INTO tokens VALUES (?, ?, ?, ?)", (digest(token), name, role.value, _now_ms()))
        return token

    def remove_token(self, name: str) -> None:
        """It is refused from now on. Raises AccessProblem."""
        if not self._db.write("DELETE FROM tokens WHERE name = ?", (name,)):
            raise _unknown("token", name)

    def tokens(self) -> tuple[User, ...]:
        """By name."""
        rows = self._db.read("SELECT name, role FROM tokens ORDER BY name")
        return tuple(User(name, Role(role)) for name, role in rows)

    def of_token(self, token: str) -> User | None:
        """Whose token it is."""
        rows = self._db.read("SELECT name, role FROM tokens WHERE digest = ?", (digest(token),))
        return User(rows[0][0], Role(rows[0][1])) if rows else None


def digest(secret: str) -> bytes:
    """What is kept of a random secret of 256 bits: such a one needs no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise AccessProblem(
            f"name: got {name!r}, expected 1 to 64 of A-Z a-z 0-9 . _ @ -, a letter or digit first"
        )


def _unknown(kind: str, name: str) -> AccessProblem:
    return AccessProblem(f"{kind} {name!r} is not known; `edgewise fleet {kind}s list` lists them")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
