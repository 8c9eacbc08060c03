"""Registry and rollouts in tables of their own in the fleet store's SQLite file.

Apart from the records: the command line writes here while a server runs, so nobody owns these tables; each save is one
transaction, and a rollout's version number tells who was later. The statements are those that PostgreSQL takes too,
but for the placeholders.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edgewise_fleet.errors import StoreUnusable
from edgewise_fleet.rollouts.state import Decision, DeviceProgress, Rollout
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_fleet.store import SqliteStore
from edgewise_fleet.store.sqlite_file import as_store_error
from edgewise_messages import DeviceAddress

BUSY_TIMEOUT_S = 10.0
STEERING_VERSION = 1

TABLES = """
CREATE TABLE IF NOT EXISTS steering_version (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS registry (
    group_name TEXT NOT NULL, device TEXT NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (group_name, device)
);
CREATE TABLE IF NOT EXISTS rollouts (
    id TEXT PRIMARY KEY, created_ms BIGINT NOT NULL, version BIGINT NOT NULL, state BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS rollout_devices (
    rollout_id TEXT NOT NULL, group_name TEXT NOT NULL, device TEXT NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (rollout_id, group_name, device)
);
CREATE TABLE IF NOT EXISTS rollout_history (
    rollout_id TEXT NOT NULL, number BIGINT NOT NULL, decision BLOB NOT NULL, PRIMARY KEY (rollout_id, number)
);
"""


class SqliteSteering:
    """A Registry and a RolloutStore."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Raises StoreUnusable; without ``create`` also for a store that is not there."""
        self.path = path
        self._lock = threading.Lock()
        if create and not path.exists():
            SqliteStore(path).close()
        SqliteStore(path, read_only=True).close()  # says what is no fleet store
        with self._as_store_error():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            # A command is sent after the state that knows of it is on the disk.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._prepare()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def entries(self) -> tuple[DeviceEntry, ...]:
        """All, by group and device."""
        rows = self._read("SELECT entry FROM registry ORDER BY group_name, device")
        return tuple(msgspec.json.decode(entry, type=DeviceEntry) for (entry,) in rows)

    def put(self, entries: Sequence[DeviceEntry]) -> None:
        """Add or replace, all or none."""
        rows = [(entry.group, entry.device, msgspec.json.encode(entry)) for entry in entries]
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO registry (group_name, device, entry) VALUES (?, ?, ?)"
                " ON CONFLICT (group_name, device) DO UPDATE SET entry = excluded.entry",
                rows,
            )

    def remove(self, address: DeviceAddress) -> bool:
        """Whether there was one."""
        with self._writing() as connection:
            gone = connection.execute(
                "DELETE FROM registry WHERE group_name = ? AND device = ?", (address.group, address.device)
            )
            return gone.rowcount > 0

    def rollouts(self) -> tuple[Rollout, ...]:
        """All, oldest first."""
        rows = self._read("SELECT state, version FROM rollouts ORDER BY created_ms, rowid")
        return tuple(
            msgspec.structs.replace(msgspec.json.decode(state, type=Rollout), version=version)
            for state, version in rows
        )

    def progress(self, rollout_id: str) -> dict[DeviceAddress, DeviceProgress]:
        """The devices of one."""
        rows = self._read(
            "SELECT state FROM rollout_devices WHERE rollout_id = ? ORDER BY group_name, device", rollout_id
        )
        found = (msgspec.json.decode(state, type=DeviceProgress) for (state,) in rows)
        return {one.address: one for one in found}

    def save(
        self, rollout: Rollout, changed: Sequence[DeviceProgress] = (), decisions: Sequence[Decision] = ()
    ) -> bool:
        """All of it or nothing. False when somebody saved a later state than ``rollout`` was made from."""
        state = msgspec.json.encode(rollout)
        with self._writing() as connection:
            if rollout.version == 0:
                connection.execute(
                    "INSERT INTO rollouts (id, created_ms, version, state) VALUES (?, ?, 1, ?)",
                    (rollout.id, rollout.created_ms, state),
                )
            else:
                written = connection.execute(
                    "UPDATE rollouts SET state = ?, version = version + 1 WHERE id = ? AND version = ?",
                    (state, rollout.id, rollout.version),
                )
                if written.rowcount != 1:
                    return False
            connection.executemany(
                "INSERT INTO rollout_devices (rollout_id, group_name, device, state) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (rollout_id, group_name, device) DO UPDATE SET state = excluded.state",
                [(rollout.id, one.group, one.device, msgspec.json.encode(one)) for one in changed],
            )
            (last,) = connection.execute(
                "SELECT coalesce(max(number), 0) FROM rollout_history WHERE rollout_id = ?", (rollout.id,)
            ).fetchone()
            connection.executemany(
                "INSERT INTO rollout_history (rollout_id, number, decision) VALUES (?, ?, ?)",
                [
                    (rollout.id, number, msgspec.json.encode(decision))
                    for number, decision in enumerate(decisions, last + 1)
                ],
            )
        return True

    def history(self, rollout_id: str) -> tuple[Decision, ...]:
        """Oldest first."""
        rows = self._read(
            "SELECT decision FROM rollout_history WHERE rollout_id = ? ORDER BY number", rollout_id
        )
        return tuple(msgspec.json.decode(decision, type=Decision) for (decision,) in rows)

    def _prepare(self) -> None:
        with self._lock:
            self._connection.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
            row = self._connection.execute("SELECT max(version) FROM steering_version").fetchone()
            if row[0] is None:
                self._connection.execute("INSERT INTO steering_version VALUES (?)", (STEERING_VERSION,))
            elif row[0] > STEERING_VERSION:
                raise StoreUnusable(
                    f"store {self.path}: registry of version {row[0]}, expected at most {STEERING_VERSION};"
                    " update edgewise here"
                )

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._as_store_error():
            return list(self._connection.execute(query, values))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._as_store_error():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            with as_store_error(self.path):
                yield
        except msgspec.MsgspecError as error:
            raise StoreUnusable(f"store {self.path}: {error}") from error
