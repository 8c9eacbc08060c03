"""Snapshots in a table, whichever database it is in, within limits: the oldest go first."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgewise_fleet.snapshots.kept import KeptSnapshot, State
from edgewise_fleet.store.database import Database, Writer, reading
from edgewise_messages import DeviceAddress

STALE_MS = 1_200_000
"""A request that is waiting for longer was made by a server that ended."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept."""

    device_count: int = 50
    """Requests of one device, whatever came of them."""
    device_bytes: int = 64 * 1024 * 1024
    all_bytes: int = 1024 * 1024 * 1024


class SnapshotBook:
    """Every method may be called from any thread and may raise StoreUnusable."""

    def __init__(self, database: Database, limits: Limits | None = None) -> None:
        """The database is closed with this."""
        self._database = database
        self._limits = limits or Limits()

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def begin(self, asked: KeptSnapshot) -> None:
        """Note a request before it is sent."""
        with self._database.writing() as writer:
            writer.run(
                "INSERT INTO snapshots (id, group_name, device, asked_ms, state, about) VALUES (?, ?, ?, ?, ?, ?)",
                (asked.id, asked.group, asked.device, asked.asked_ms, asked.state.value, _encode(asked)),
            )
            self._trim_device(writer, asked.address)

    def end(self, ended: KeptSnapshot, content: bytes = b"", thumbnail: bytes = b"") -> bool:
        """What came of it. False when it was deleted meanwhile, or somebody else ended it."""
        with self._database.writing() as writer:
            written = writer.run(
                "UPDATE snapshots SET state = ?, size_bytes = ?, about = ?, content = ?, thumbnail = ?"
                " WHERE id = ? AND state = 'waiting'",
                (ended.state.value, len(content), _encode(ended), content, thumbnail, ended.id),
            )
            self._trim_device(writer, ended.address)
            self._trim_all(writer)
        return written == 1

    def of_device(self, address: DeviceAddress) -> tuple[KeptSnapshot, ...]:
        """Newest request first."""
        rows = self._database.read(
            "SELECT about FROM snapshots WHERE group_name = ? AND device = ?"
            f" ORDER BY asked_ms DESC, {self._database.insertion} DESC",
            (address.group, address.device),
        )
        return tuple(self._decode(about) for (about,) in rows)

    def find(self, address: DeviceAddress, request: str) -> KeptSnapshot | None:
        """One of this device by the request's id."""
        rows = self._read_one("about", address, request)
        return self._decode(rows[0]) if rows else None

    def content(self, address: DeviceAddress, request: str) -> bytes | None:
        """What the device sent; None for what is not here."""
        return self._bytes("content", address, request)

    def thumbnail(self, address: DeviceAddress, request: str) -> bytes | None:
        """A small JPEG of it; None for what is not here or no picture."""
        return self._bytes("thumbnail", address, request)

    def delete(self, address: DeviceAddress, request: str) -> bool:
        """Whether there was one."""
        with self._database.writing() as writer:
            query = "DELETE FROM snapshots WHERE id = ? AND group_name = ? AND device = ?"
            return writer.run(query, (request, address.group, address.device)) > 0

    def prune(self, before_ms: int) -> int:
        """Forget what was asked for before this time; how many."""
        with self._database.writing() as writer:
            return writer.run("DELETE FROM snapshots WHERE asked_ms < ?", (before_ms,))

    def end_stale(self, now_ms: int) -> int:
        """End requests whose server ended; how many."""
        rows = self._database.read(
            "SELECT about FROM snapshots WHERE state = 'waiting' AND asked_ms < ?", (now_ms - STALE_MS,)
        )
        for (about,) in rows:
            stale = self._decode(about)
            reason = "the server that asked ended before it was here"
            self.end(msgspec.structs.replace(stale, state=State.FAILED, reason=reason, ended_ms=now_ms))
        return len(rows)

    def _read_one(self, column: str, address: DeviceAddress, request: str) -> Sequence[bytes]:
        rows = self._database.read(
            f"SELECT {column} FROM snapshots WHERE id = ? AND group_name = ? AND device = ?",
            (request, address.group, address.device),
        )
        return rows[0] if rows else ()

    def _bytes(self, column: str, address: DeviceAddress, request: str) -> bytes | None:
        found = self._read_one(column, address, request)
        return bytes(found[0]) if found and found[0] else None

    def _trim_device(self, writer: Writer, address: DeviceAddress) -> None:
        rows = writer.ask(
            "SELECT id, size_bytes FROM snapshots WHERE group_name = ? AND device = ?"
            f" ORDER BY asked_ms DESC, {self._database.insertion} DESC",
            (address.group, address.device),
        )
        _forget(writer, rows, most_bytes=self._limits.device_bytes, most=self._limits.device_count)

    def _trim_all(self, writer: Writer) -> None:
        ((held,),) = writer.ask("SELECT coalesce(sum(size_bytes), 0) FROM snapshots")
        if held > self._limits.all_bytes:
            rows = writer.ask(
                "SELECT id, size_bytes FROM snapshots WHERE size_bytes > 0"
                f" ORDER BY asked_ms DESC, {self._database.insertion} DESC"
            )
            _forget(writer, rows, most_bytes=self._limits.all_bytes, most=len(rows))

    def _decode(self, about: bytes) -> KeptSnapshot:
        with reading(self._database.where):
            return msgspec.json.decode(about, type=KeptSnapshot)


def _encode(one: KeptSnapshot) -> bytes:
    return msgspec.json.encode(one)


def _forget(writer: Writer, newest_first: Sequence[Sequence[object]], *, most_bytes: int, most: int) -> None:
    held, gone = 0, []
    for number, (request, size) in enumerate(newest_first):
        held += int(str(size))
        if number >= most or held > most_bytes:
            gone.append((request,))
    if gone:
        writer.run_many("DELETE FROM snapshots WHERE id = ?", gone)
