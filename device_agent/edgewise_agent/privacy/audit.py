"""An append-only record of every input that left the device.

A line is a JSON object with its number, the SHA-256 of the line before it, and what left where. A line that is changed,
removed or put in breaks the chain. That the newest lines were cut off shows only against a number and digest known
elsewhere: every release tells them in an event, so the fleet has them.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise_agent.errors import AuditError

FIRST = "0" * 64
"""What the first line of all says of the one before it."""
PARTS = 4
"""The log is kept in so many files; the oldest goes as a whole."""
NAME = "audit.jsonl"
_MAX_LINE_BYTES = 64 * 1024

log = logging.getLogger("edgewise.agent.audit")


@dataclass(frozen=True)
class Head:
    """The newest line: tell it elsewhere, and a log that was cut shows."""

    number: int
    sha256: str


@dataclass(frozen=True)
class Verified:
    """What a look through the whole log found."""

    lines: int
    first_number: int
    """More than 1 when older parts went to make room, or were removed."""
    head: Head
    problems: tuple[str, ...]


class AuditLog:
    """One process writes, from any thread; `append` returns when the line is on the disk, and sending comes after."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """Goes on after the last whole line. Raises AuditError when the files cannot be read."""
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._part_bytes = max(max_bytes // PARTS, 4096)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._repair()
            self.head = self._last()
        except OSError as error:
            raise AuditError(f"{self._path}: {error.strerror or error}") from error

    def append(self, what: Mapping[str, Any], *, ts_ms: int) -> Head:
        """Add a line and flush it to the disk. Raises AuditError; then nothing was added."""
        with self._lock:
            return self._append(what, ts_ms)

    def _append(self, what: Mapping[str, Any], ts_ms: int) -> Head:
        known = {"n": self.head.number + 1, "prev": self.head.sha256, "ts_ms": ts_ms, **what}
        line = json.dumps(known, ensure_ascii=True, separators=(",", ":"), default=str).encode() + b"\n"
        if len(line) > _MAX_LINE_BYTES:
            raise AuditError(f"got a line of {len(line)} bytes, expected at most {_MAX_LINE_BYTES}")
        try:
            self._rotate(len(line))
            self._write(line)
        except OSError as error:
            raise AuditError(f"{self._path}: {error.strerror or error}") from error
        self.head = Head(self.head.number + 1, _digest(line))
        return self.head

    def _write(self, line: bytes) -> None:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            _sync(self._path.parent)

    def _rotate(self, more_bytes: int) -> None:
        if not self._path.exists() or self._path.stat().st_size + more_bytes <= self._part_bytes:
            return
        for number in range(PARTS - 1, 0, -1):  # audit.3.jsonl is the oldest
            newer = _part(self._path, number - 1)
            if newer.exists():
                newer.replace(_part(self._path, number))
        _sync(self._path.parent)

    def _repair(self) -> None:
        """A pulled plug may leave half a line: nothing left the device for it, since sending comes after."""
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            log.warning(
                "%s: %d bytes of a line that was not finished are removed", self._path, len(data) - whole
            )
            with self._path.open("r+b") as stream:
                stream.truncate(whole)
                os.fsync(stream.fileno())

    def _last(self) -> Head:
        last = None
        for part in (_part(self._path, 0), _part(self._path, 1)):
            for line in _lines(part):
                last = line
            if last is not None:
                break
        if last is None:
            return Head(0, FIRST)
        return Head(_number_of(last), _digest(last))


def read_audit(folder: Path) -> Iterator[dict[str, Any]]:
    """Every line that can be read, the oldest first."""
    for line in _all_lines(folder):
        known = _parsed(line)
        if known is not None:
            yield known


def verify_audit(folder: Path, *, expected: Head | None = None) -> Verified:
    """Look through the chain; ``expected`` is a head that was told earlier, which must be in it."""
    problems: list[str] = []
    before, number, first, count = "", 0, 0, 0
    has_expected = expected is None or expected.number == 0
    for line in _all_lines(folder):
        count += 1
        known = _parsed(line)
        found = known.get("n") if known else None
        if known is None or not isinstance(found, int):
            problems.append(f"line {count}: cannot be read")
        elif not first and not before:
            first = found
            if found == 1 and known.get("prev") != FIRST:
                problems.append("line 1: is not the first of its chain")
        elif found != number + 1 or known.get("prev") != before:
            problems.append(
                f"line {count} (number {found}): does not follow number {number}; lines were changed or removed"
            )
        number = found if isinstance(found, int) else number + 1
        before = _digest(line)
        if expected is not None and (number, before) == (expected.number, expected.sha256):
            has_expected = True
    if not has_expected and expected is not None:
        problems.append(
            f"number {expected.number} with digest {expected.sha256} is not in the log: it was cut or rewritten"
        )
    return Verified(count, first, Head(number, before or FIRST), tuple(problems))


def _all_lines(folder: Path) -> Iterator[bytes]:
    for number in range(PARTS - 1, -1, -1):
        yield from _lines(_part(folder / NAME, number))


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from stream
    except FileNotFoundError:
        return


def _part(path: Path, number: int) -> Path:
    return path if number == 0 else path.with_name(f"audit.{number}.jsonl")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        known = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return known if isinstance(known, dict) else None


def _number_of(line: bytes) -> int:
    found = (_parsed(line) or {}).get("n")
    return found if isinstance(found, int) and found > 0 else 0


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
