"""Logging in and staying so: sessions, tokens, and a login that grows slower with every failure."""

import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgewise_fleet.access.audit import AuditLog
from edgewise_fleet.access.roles import Role
from edgewise_fleet.access.users import Users, digest
from edgewise_fleet.panel_db import PanelDb

IDLE_MS = 12 * 3_600_000
LONGEST_MS = 7 * 86_400_000
FORGOTTEN_MS = 24 * 3_600_000
"""Failures are forgotten this long after the last."""
FREE_FAILURES, ACCOUNT_MAX_S, ADDRESS_MAX_S = 3, 60.0, 900.0
"""From the fourth failure on the wait doubles from a second. For an account it stays short, so that nobody can
lock its owner out from elsewhere for long."""
OPEN_CALLER_NAME = "local"


@dataclass(frozen=True)
class Caller:
    """Who asks, in which role, from which address."""

    name: str
    role: Role
    address: str = ""
    session: bytes = b""
    """Digest of the session; empty for a token and where nobody must log in."""


@dataclass(frozen=True)
class Refused:
    """A login that was not let in; ``wait_s`` until it is worth trying again."""

    reason: str
    wait_s: float = 0.0


class Gate:
    """Every method may be called from any thread and may raise StoreUnusable."""

    def __init__(
        self, db: PanelDb, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self.users = Users(db)
        self.audit = AuditLog(db)
        self._db = db
        self._now_ms = now_ms

    def is_open(self) -> bool:
        """Whether nobody must log in, because there are no users."""
        return not self.users.any()

    def login(self, name: str, password: str, *, address: str) -> str | Refused:
        """The secret of a new session."""
        now_ms = self._now_ms()
        keys = ((f"account:{name[:64]}", ACCOUNT_MAX_S), (f"address:{_network(address)}", ADDRESS_MAX_S))
        wait_s = max(self._wait_s(key, most_s, now_ms) for key, most_s in keys)
        if wait_s > 0:
            return Refused(f"too many failures; try again in {wait_s:.0f} s", wait_s)
        # Counted before the slow check: attempts at the same time must not all slip in.
        for key, _ in keys:
            self._fail(key, now_ms)
        user = self.users.check(name, password)
        if user is None:
            self.audit.add(who=name[:64], address=address, what="login failed")
            return Refused("user or password is wrong")
        for key, _ in keys:
            self._db.write("DELETE FROM attempts WHERE who = ?", (key,))
        secret = secrets.token_urlsafe(32)
        self._db.write("INSERT INTO sessions VALUES (?, ?, ?, ?)", (digest(secret), name, now_ms, now_ms))
        self._db.write(
            "DELETE FROM sessions WHERE seen_ms < ? OR made_ms < ?", (now_ms - IDLE_MS, now_ms - LONGEST_MS)
        )
        self.audit.add(who=name, address=address, what="login")
        return secret

    def logout(self, caller: Caller) -> None:
        """End the caller's session."""
        self._db.write("DELETE FROM sessions WHERE digest = ?", (caller.session,))
        self.audit.add(who=caller.name, address=caller.address, what="logout")

    def caller(self, *, session: str = "", token: str = "", address: str = "") -> Caller | None:
        """Who presents this; None for nobody that is known."""
        if token:
            owner = self.users.of_token(token)
            return None if owner is None else Caller(f"token {owner.name}", owner.role, address)
        if self.is_open():
            return Caller(OPEN_CALLER_NAME, Role.ADMIN, address)
        return self._of_session(digest(session), address) if session else None

    def still(self, caller: Caller, needed: Role) -> bool:
        """Whether who opened a page is still logged in, and may do this."""
        if caller.session:
            now = self._of_session(caller.session, caller.address)
            return now is not None and now.role.may(needed)
        return caller.role.may(needed) and (caller.name != OPEN_CALLER_NAME or self.is_open())

    def _of_session(self, key: bytes, address: str) -> Caller | None:
        now_ms = self._now_ms()
        rows = self._db.read(
            "SELECT users.name, role, seen_ms, sessions.made_ms FROM sessions JOIN users ON users.name = user"
            " WHERE digest = ?",
            (key,),
        )
        if not rows:
            return None
        name, role, seen_ms, made_ms = rows[0]
        if now_ms - seen_ms > IDLE_MS or now_ms - made_ms > LONGEST_MS:
            return None
        if now_ms - seen_ms > 60_000:
            self._db.write("UPDATE sessions SET seen_ms = ? WHERE digest = ?", (now_ms, key))
        return Caller(name, Role(role), address, key)

    def _wait_s(self, key: str, most_s: float, now_ms: int) -> float:
        rows = self._db.read("SELECT failures, last_ms FROM attempts WHERE who = ?", (key,))
        if not rows or rows[0][0] < FREE_FAILURES or now_ms - rows[0][1] > FORGOTTEN_MS:
            return 0.0
        failures, last_ms = int(rows[0][0]), int(rows[0][1])
        # A clock that was set back must not lock anybody out for longer than the longest wait.
        since_s = max(0.0, (now_ms - last_ms) / 1000)
        return max(0.0, min(most_s, 2.0 ** min(failures - FREE_FAILURES, 20)) - since_s)

    def _fail(self, key: str, now_ms: int) -> None:
        self._db.write(
            "INSERT INTO attempts VALUES (?1, 1, ?2) ON CONFLICT (who) DO UPDATE SET"
            " failures = CASE WHEN ?2 - last_ms > ?3 THEN 1 ELSE failures + 1 END, last_ms = ?2",
            (key, now_ms, FORGOTTEN_MS),
        )
        self._db.write("DELETE FROM attempts WHERE last_ms < ?", (now_ms - FORGOTTEN_MS,))


def _network(address: str) -> str:
    """The address, or of IPv6 the /64 that one household has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
