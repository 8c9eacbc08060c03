"""Inputs kept on the device: a file for each and beside it what is known of it, within limits.

The input is written first and its JSON last, each beside, flushed and renamed: a snapshot is there when its JSON is.
What a killed process left without one is removed at the next start.
"""

import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.atomic_file import write_bytes
from edgewise_agent.snapshots.encoding import SUFFIXES, Encoded
from edgewise_agent.snapshots.settings import SnapshotSettings

CLOCK_WAS_SET_MS = 1_577_836_800_000
"""2020-01-01: a snapshot with an earlier time was taken before the clock was set, and has no age."""
_ID = re.compile(r"[0-9]{13}-[0-9]{6}-[A-Za-z_][A-Za-z0-9_-]{0,63}")
_DAY_MS = 86_400_000
_MB = 1024 * 1024

log = logging.getLogger("edgewise.agent.snapshots")


@dataclass(frozen=True)
class Snapshot:
    """One input that was kept."""

    id: str
    ts_ms: int
    rule: str
    media: str
    size_bytes: int
    """With its JSON."""
    sha256: str
    """Of the input's file."""
    path: Path
    details: Mapping[str, Any]
    """What else its JSON holds: result, model_sha256, input, reason."""

    def encoded(self) -> Encoded:
        """The input. Raises OSError, and ValueError for a file that is not the one that was kept."""
        data = self.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"snapshot {self.id}: its file has changed since it was kept")
        return Encoded(self.media, data)


@dataclass(frozen=True)
class Erased:
    """What `erase_all` did."""

    count: int
    size_bytes: int
    failed: int
    """Files that could not be removed."""


class SnapshotStore:
    """Safe between threads. Nothing it meets on the disk makes `keep` raise: what cannot be kept is counted."""

    def __init__(
        self,
        folder: Path,
        settings: SnapshotSettings,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Makes the folder at the first snapshot; looks through what is in it."""
        self._folder, self._settings, self._now_ms = folder, settings, now_ms
        self._lock = threading.RLock()
        self._kept: dict[str, Snapshot] = {}
        self._number = 0
        self.failed = 0
        """How many could not be kept."""
        self.last_failure = ""
        self._restore()

    @property
    def jpeg_quality(self) -> int:
        """Of pictures that come as arrays."""
        return self._settings.jpeg_quality

    @property
    def size_bytes(self) -> int:
        """Of all."""
        return sum(one.size_bytes for one in self._kept.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._kept)

    def keep(
        self, given: Encoded, *, rule: str, ts_ms: int, details: Mapping[str, Any] | None = None
    ) -> Snapshot | None:
        """Keep an input; older ones make room. None, and counted, when it cannot be kept."""
        with self._lock:
            return self._keep(given, rule, ts_ms, details or {})

    def _keep(self, given: Encoded, rule: str, ts_ms: int, details: Mapping[str, Any]) -> Snapshot | None:
        self._number += 1
        name = f"{max(ts_ms, 0) % 10**13:013d}-{self._number % 10**6:06d}-{rule}"
        try:
            return self._write(name, given, rule, ts_ms, dict(details))
        except (OSError, ValueError, TypeError) as error:
            self.fail(f"{name}: {getattr(error, 'strerror', None) or error}")
            for leftover in (self._folder / f"{name}{given.suffix}", self._folder / f"{name}.json"):
                with suppress(OSError):
                    leftover.unlink()
            return None

    def list(self) -> tuple[Snapshot, ...]:
        """The oldest first."""
        with self._lock:
            self._thin()
            return tuple(self._kept[name] for name in sorted(self._kept))

    def get(self, name: str) -> Snapshot | None:
        """The snapshot of this id, if it is there."""
        return self._kept.get(name)

    def erase_all(self) -> Erased:
        """Overwrite and remove every snapshot, and whatever else lies in their folder.

        On flash and on file systems that copy on write the old blocks may stay readable for whoever takes the card
        out: only an encrypted file system whose key is destroyed is safe from that.
        """
        with self._lock:
            return self._erase_all()

    def _erase_all(self) -> Erased:
        count, size_bytes, failed = len(self._kept), 0, 0
        for path in self._files():
            try:
                size_bytes += _overwrite_and_remove(path)
            except OSError as error:
                failed += 1
                log.error("%s cannot be erased: %s", path, error.strerror or error)
        self._kept.clear()
        self._restore()
        return Erased(count - len(self._kept), size_bytes, failed)

    def _write(self, name: str, given: Encoded, rule: str, ts_ms: int, details: dict[str, Any]) -> Snapshot:
        sha256 = hashlib.sha256(given.data).hexdigest()
        known = {"id": name, "ts_ms": ts_ms, "rule": rule, "media": given.media, "sha256": sha256, **details}
        side = json.dumps(known, ensure_ascii=False, default=str).encode(errors="replace")
        if not _ID.fullmatch(name):
            raise ValueError(f"rule: got {rule!r}, expected letters, digits, _ and -")
        size = len(given.data) + len(side)
        if size > self._settings.max_mb * _MB:
            raise ValueError(f"got {size} bytes, more than snapshots.max_mb allows for all")
        self._thin(room_bytes=size, room_count=1)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free - size < self._settings.min_free_mb * _MB:
            raise ValueError(f"the disk has {free // _MB} MB left, and snapshots.min_free_mb is kept free")
        path = self._folder / f"{name}{given.suffix}"
        write_bytes(path, [given.data])
        write_bytes(self._folder / f"{name}.json", [side])
        one = Snapshot(name, ts_ms, rule, given.media, size, sha256, path, details)
        self._kept[name] = one
        return one

    def _thin(self, *, room_bytes: int = 0, room_count: int = 0) -> None:
        """Let go of the oldest until the limits hold with that much more."""
        oldest = sorted(self._kept)
        size = self.size_bytes
        born_ms = self._now_ms() - self._settings.max_age_days * _DAY_MS
        for name in oldest:
            one = self._kept[name]
            is_old = CLOCK_WAS_SET_MS <= one.ts_ms < born_ms
            is_too_much = (
                size + room_bytes > self._settings.max_mb * _MB
                or len(self._kept) + room_count > self._settings.max_count
            )
            if not is_old and not is_too_much:
                continue
            if self._remove(one):
                size -= one.size_bytes

    def _remove(self, one: Snapshot) -> bool:
        try:  # the JSON first: without it the other is a leftover
            (self._folder / f"{one.id}.json").unlink(missing_ok=True)
            one.path.unlink(missing_ok=True)
        except OSError as error:
            self.fail(f"{one.id}: {error.strerror or error}")
            return False
        self._kept.pop(one.id, None)
        return True

    def _restore(self) -> None:
        found = {path.stem: path for path in self._files() if path.suffix == ".json"}
        for name, side in found.items():
            one = _read(side)
            if one is not None and _ID.fullmatch(name) and one.id == name:
                self._kept[name] = one
                self._number = max(self._number, int(name[14:20]))
        known = {path for one in self._kept.values() for path in (one.path, one.path.with_suffix(".json"))}
        for path in self._files():
            if path not in known:
                log.warning("%s: left over from a snapshot that was not finished; removed", path)
                with suppress(OSError):
                    path.unlink()

    def _files(self) -> tuple[Path, ...]:
        try:
            return tuple(path for path in self._folder.iterdir() if path.is_file() or path.is_symlink())
        except OSError:
            return ()

    def fail(self, reason: str) -> None:
        """Count a snapshot that cannot be kept."""
        self.failed += 1
        self.last_failure = reason
        log.warning("snapshot %s", reason)


def _read(side: Path) -> Snapshot | None:
    try:
        known = json.loads(side.read_bytes())
        path = side.with_suffix(SUFFIXES[known["media"]])
        details = {
            key: value
            for key, value in known.items()
            if key not in ("id", "ts_ms", "rule", "media", "sha256")
        }
        return Snapshot(
            str(known["id"]), int(known["ts_ms"]), str(known["rule"]), known["media"],
            path.stat().st_size + side.stat().st_size, str(known["sha256"]), path, details,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _overwrite_and_remove(path: Path) -> int:
    if path.is_symlink():
        path.unlink()
        return 0
    size = path.stat().st_size
    try:
        with path.open("r+b") as stream:
            for _ in range(0, size, _MB):
                stream.write(bytes(min(_MB, size - stream.tell())))
            stream.flush()

            os.fsync(stream.fileno())
    finally:
        path.unlink()
    return size
