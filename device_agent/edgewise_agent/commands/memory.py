"""Which signed commands were begun and how they ended, over restarts: so that none is ever done twice.

A bounded file is enough for that: ids are forgotten in the order of their issue, and from then on whatever was issued
no later than the last one forgotten is refused. No clock is needed, and a fleet that never sends commands out
of order by more than `REMEMBERED` of them notices nothing.
"""

import logging
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edgewise.atomic_file import write_bytes
from edgewise_agent.clock import TimeSource
from edgewise_agent.errors import CommandsForgotten
from edgewise_messages import Clock, Response

REMEMBERED = 128
LIMIT_BYTES = 1 << 20

log = logging.getLogger("edgewise.agent.commands")


class _Entry(Struct, frozen=True):
    id: str
    issued_ms: int
    response: Response | None = None
    """None while it is being done."""


class _Memory(Struct, frozen=True):
    entries: tuple[_Entry, ...] = ()
    watermark_ms: Annotated[int, Meta(ge=0)] = 0
    """Nothing issued up to here is done any more."""


class CommandMemory:
    """One file; not safe between threads."""

    def __init__(self, path: Path, clock: TimeSource) -> None:
        """Read what is remembered. Raises CommandsForgotten when the file cannot be read.

        In place of a damaged one a new one begins, that refuses all that was issued before now; that needs a clock
        that is set.
        """
        self._path = path
        try:
            self._memory = _read(path)
        except CommandsForgotten:
            if clock.state() is Clock.UNSYNCED:
                raise
            log.warning("%s is damaged; commands issued before now are refused", path)
            self._memory = _Memory((), clock.now_ms())

    def known(self, command_id: str) -> bool:
        """Whether this id was begun before."""
        return self._find(command_id) is not None

    def response(self, command_id: str) -> Response | None:
        """How it ended; None for a command that was cut off, or is under way."""
        entry = self._find(command_id)
        return entry.response if entry else None

    def is_too_old(self, issued_ms: int) -> bool:
        """Whether a command of that time may have been forgotten."""
        return issued_ms <= self._memory.watermark_ms

    def begin(self, command_id: str, issued_ms: int) -> None:
        """Remember, on the disk, that it is done now. Raises OSError, and then it must not be done."""
        entries = sorted(
            [*self._memory.entries, _Entry(command_id, issued_ms)], key=lambda entry: entry.issued_ms
        )
        forgotten, kept = entries[:-REMEMBERED], entries[-REMEMBERED:]
        watermark_ms = max([self._memory.watermark_ms, *(entry.issued_ms for entry in forgotten)])
        self._write(_Memory(tuple(kept), watermark_ms))

    def end(self, response: Response) -> None:
        """Remember how it ended. Raises OSError; it is then known as begun."""
        entries = tuple(
            _Entry(entry.id, entry.issued_ms, response) if entry.id == response.id else entry
            for entry in self._memory.entries
        )
        self._write(_Memory(entries, self._memory.watermark_ms))

    def _find(self, command_id: str) -> _Entry | None:
        return next((entry for entry in self._memory.entries if entry.id == command_id), None)

    def _write(self, memory: _Memory) -> None:
        write_bytes(self._path, [msgspec.json.encode(memory)])
        self._memory = memory


def _read(path: Path) -> _Memory:
    try:
        with path.open("rb") as stream:
            data = stream.read(LIMIT_BYTES + 1)
    except FileNotFoundError:
        return _Memory()
    except OSError as error:
        raise CommandsForgotten(f"{path}: {error.strerror}; signed commands are refused meanwhile") from error
    try:
        if len(data) > LIMIT_BYTES:
            raise ValueError(f"more than {LIMIT_BYTES} bytes")
        return msgspec.json.decode(data, type=_Memory)
    except ValueError as error:  # msgspec's errors are such
        raise CommandsForgotten(
            f"{path}: damaged ({error}), so a repeated command cannot be told from a new one until the clock is set"
        ) from error
