"""The alerts, silences and undelivered notifications in the panel's file."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from edgewise_fleet.alerts.engine import Alert, Target
from edgewise_fleet.alerts.silences import Silence
from edgewise_fleet.panel_db import PanelDb

KEPT_ALERTS = 100_000
"""The oldest cleared ones beyond this are forgotten."""
_COLUMNS = "id, rule, group_name, device, pipeline, severity, since_ms, raised_ms, cause, remedy, cleared_ms"


@dataclass(frozen=True)
class KeptAlert:
    """An alert with its number."""

    number: int
    alert: Alert


@dataclass(frozen=True)
class KeptSilence:
    """A silence that somebody made on the page."""

    number: int
    silence: Silence
    made_by: str


@dataclass(frozen=True)
class Delivery:
    """One notification to one receiver that has not arrived yet."""

    number: int
    channel: str
    body: bytes
    made_ms: int
    tries: int


class AlertBook:
    """Reads and writes; every method may be called from any thread and may raise StoreUnusable."""

    def __init__(self, db: PanelDb) -> None:
        self._db = db

    def keep(self, changed: tuple[Alert, ...], *, judged_ms: int) -> None:
        """Remember what was raised and cleared, and until when the fleet was judged, in one transaction."""
        with self._db.transaction():
            for alert in changed:
                self._keep_one(alert)
            self._db.write("INSERT OR REPLACE INTO settings VALUES ('judged_ms', ?)", (str(judged_ms),))
            if changed:
                self._db.write(
                    "DELETE FROM alerts WHERE cleared_ms > 0 AND id <= (SELECT max(id) FROM alerts) - ?",
                    (KEPT_ALERTS,),
                )

    def _keep_one(self, alert: Alert) -> None:
        target = alert.target
        key = (alert.rule, target.group, target.device, target.pipeline)
        if alert.is_active:
            self._db.write(
                "INSERT INTO alerts (rule, group_name, device, pipeline, severity, since_ms, raised_ms, cause, remedy)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, alert.severity, alert.since_ms, alert.raised_ms, alert.cause, alert.remedy),
            )
            return
        self._db.write(
            "UPDATE alerts SET cleared_ms = ? WHERE cleared_ms = 0"
            " AND rule = ? AND group_name = ? AND device = ? AND pipeline = ?",
            (alert.cleared_ms, *key),
        )

    def judged_ms(self) -> int:
        """Until when the fleet was judged; 0 for never."""
        rows = self._db.read("SELECT value FROM settings WHERE name = 'judged_ms'")
        return int(rows[0][0]) if rows else 0

    def active(self) -> tuple[KeptAlert, ...]:
        """What holds now, newest first."""
        return self._alerts("WHERE cleared_ms = 0 ORDER BY raised_ms DESC, id DESC", ())

    def history(self, *, limit: int, before: int = 0) -> tuple[KeptAlert, ...]:
        """Cleared ones, newest first; ``before`` is the number to go on from."""
        where = "WHERE cleared_ms > 0 AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?"
        return self._alerts(where, (before, before, limit))

    def untold(self) -> tuple[KeptAlert, ...]:
        """Raised and never notified, or notified and its end not; oldest first."""
        return self._alerts(
            "WHERE (cleared_ms = 0 AND told_ms = 0)"
            " OR (cleared_ms > 0 AND told_ms > 0 AND told_clear_ms = 0) ORDER BY id",
            (),
        )

    def tell(
        self, told: tuple[KeptAlert, ...], bodies: tuple[tuple[str, bytes], ...], *, now_ms: int
    ) -> None:
        """Mark alerts as notified and put what is to be sent into the queue, in one transaction."""
        with self._db.transaction():
            for kept in told:
                column = "told_ms" if kept.alert.is_active else "told_clear_ms"
                self._db.write(f"UPDATE alerts SET {column} = ? WHERE id = ?", (now_ms, kept.number))
            for channel, body in bodies:
                self._db.write(
                    "INSERT INTO deliveries (channel, body, made_ms, next_ms) VALUES (?, ?, ?, ?)",
                    (channel, body, now_ms, now_ms),
                )

    def due(self, now_ms: int) -> tuple[Delivery, ...]:
        """What is to be sent now, oldest first."""
        rows = self._db.read(
            "SELECT id, channel, body, made_ms, tries FROM deliveries WHERE next_ms <= ? ORDER BY id",
            (now_ms,),
        )
        return tuple(Delivery(*row) for row in rows)

    def delivered(self, number: int) -> None:
        """It arrived, or is given up."""
        self._db.write("DELETE FROM deliveries WHERE id = ?", (number,))

    def put_off(self, number: int, *, until_ms: int, trouble: str) -> None:
        """It did not arrive; try again then."""
        self._db.write(
            "UPDATE deliveries SET tries = tries + 1, next_ms = ?, trouble = ? WHERE id = ?",
            (until_ms, trouble, number),
        )

    def waiting(self) -> tuple[int, str]:
        """How many notifications wait, and the latest trouble with one."""
        rows = self._db.read("SELECT count(*), max(trouble) FROM deliveries")
        return int(rows[0][0]), str(rows[0][1] or "")

    def silences(self, now_ms: int) -> tuple[KeptSilence, ...]:
        """Those made on the page that are not over."""
        rows = self._db.read(
            "SELECT id, body, made_by FROM silences WHERE until_ms > ? ORDER BY until_ms", (now_ms,)
        )
        return tuple(
            KeptSilence(number, msgspec.json.decode(body, type=Silence), made_by)
            for number, body, made_by in rows
        )

    def add_silence(self, silence: Silence, *, made_by: str) -> int:
        """Keep a silence that ends at its ``until_ms``; returns its number."""
        with self._db.transaction():
            self._db.write(
                "INSERT INTO silences (body, made_by, until_ms) VALUES (?, ?, ?)",
                (msgspec.json.encode(silence), made_by, silence.until_ms or 0),
            )
            return int(self._db.read("SELECT last_insert_rowid()")[0][0])

    def end_silence(self, number: int) -> bool:
        """Forget one; whether it was there."""
        return self._db.write("DELETE FROM silences WHERE id = ?", (number,)) > 0

    def _alerts(self, where: str, values: tuple[int, ...]) -> tuple[KeptAlert, ...]:
        rows = self._db.read(f"SELECT {_COLUMNS} FROM alerts {where}", values)
        return tuple(
            KeptAlert(
                row[0],
                Alert(
                    row[1], Target(row[2], row[3], row[4]), row[5], row[6], row[7], row[8], row[9], row[10]
                ),
            )
            for row in rows
        )
