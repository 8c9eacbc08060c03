"""What was changed, when, by whom and from where; never changed itself."""

import time
from dataclasses import dataclass

from edgewise_fleet.panel_db import PanelDb


@dataclass(frozen=True)
class AuditEntry:
    """One line of the log."""

    number: int
    at_ms: int
    who: str
    address: str
    what: str
    detail: str


class AuditLog:
    """Appends and reads; may raise StoreUnusable."""

    def __init__(self, db: PanelDb) -> None:
        self._db = db

    def add(self, *, who: str, address: str, what: str, detail: str = "") -> None:
        """Write one line."""
        self._db.write(
            "INSERT INTO audit (at_ms, who, address, what, detail) VALUES (?, ?, ?, ?, ?)",
            (time.time_ns() // 1_000_000, who, address, what, detail),
        )

    def latest(self, limit: int) -> tuple[AuditEntry, ...]:
        """Newest first."""
        rows = self._db.read(
            "SELECT id, at_ms, who, address, what, detail FROM audit ORDER BY id DESC LIMIT ?", (limit,)
        )
        return tuple(AuditEntry(*row) for row in rows)
