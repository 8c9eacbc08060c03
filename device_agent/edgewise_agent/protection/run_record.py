"""How often a model hung or crashed the agent in a row: a small file that is written at a start and at an end.

``run.json`` is whole before or after each change. At a start it tells whether the run before ended in order. If not,
and the machine's boot is still the same, the process died; of the model, when an inference was at hand, or when nobody
can say. Another boot means that the power was cut or the machine was started again, which no model is blamed for.
"""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from edgewise.atomic_file import write_bytes
from edgewise_agent.protection.marker import Hand, Marker

FILE_NAME = "run.json"
_LIMIT_BYTES = 1 << 16
_MODELS = 4
"""Remembered at once: both slots, the factory model, and one that was replaced."""

log = logging.getLogger("edgewise.agent.protection")

Count = Annotated[int, Meta(ge=0)]


class Failures(Struct, frozen=True):
    """Of one model, in a row."""

    halves: Count = 0
    """A hang and a crash are two; a process that was killed, of which nobody can say why, is one."""
    reason: str = ""
    """Of the last one."""
    is_known: bool = False
    """At least one was a hang or a crash."""

    @property
    def count(self) -> float:
        """In whole failures."""
        return self.halves / 2


class RunRecord(Struct, frozen=True, kw_only=True):
    """What is in the file."""

    model: str = ""
    """Which one ran last."""
    is_running: bool = False
    boot: str = ""
    failures: dict[str, Failures] = {}
    """By model, the latest ones last."""
    schema: Annotated[int, Meta(ge=1, le=1)] = 1


class RunKeeper:
    """Of one pipeline. Safe between threads as far as each method is one write."""

    def __init__(
        self, folder: Path, marker: Marker, *, boot: str, signal: str = "", enabled: bool = True
    ) -> None:
        """``signal`` is what the process before died of, "" where nobody knows.

        ``boot`` tells the machine's boots apart; "" where the kernel does not, and every end is the agent's own.
        """
        self._folder, self._boot, self._signal, self.marker = folder, boot, signal, marker
        self._enabled = enabled
        self.record = self._saved = self._read() if enabled else RunRecord()

    def judge(self, *, excused: bool = False) -> None:
        """Once at the start: how did the run before end? ``excused`` when something else was blamed for that."""
        before = self.record
        if not before.is_running:
            return
        record = replace(before, is_running=False)
        if not excused and before.boot == self._boot and self.marker.last is not Hand.IDLE:
            when = " during an inference" if self.marker.last is Hand.BUSY else ""
            how = f"died of a {self._signal}" if self._signal else "was killed"
            record = _failed(record, f"the agent {how}{when}", halves=2 if self._signal else 1)
        self.record = record  # written by `begin`, or by `stopped`

    def failures(self, model: str) -> Failures:
        """Of this model."""
        return self.record.failures.get(model, Failures())

    def begin(self, model: str) -> None:
        """It is opened next."""
        if self._enabled:
            self._write(replace(self.record, model=model, is_running=True, boot=self._boot))

    def stopped(self) -> None:
        """No model is run at all."""
        self._write(replace(self.record, is_running=False))

    def end(self) -> None:
        """The agent ends in order, or for a reason that is not this model's."""
        if self.record.is_running:
            self._write(replace(self.record, is_running=False))

    def fail(self, reason: str) -> None:
        """The model that runs hangs: the agent ends for it."""
        if self.record.is_running:
            self._write(_failed(replace(self.record, is_running=False), reason))

    def forget(self) -> None:
        """It has run long enough: what failed before is no row any more. Writes only where something did."""
        if self.record.model in self.record.failures:
            kept = {model: one for model, one in self.record.failures.items() if model != self.record.model}
            self._write(replace(self.record, failures=kept))

    def close(self) -> None:
        """In order."""
        self.end()
        self.marker.close()

    def _read(self) -> RunRecord:
        path = self._folder / FILE_NAME
        try:
            with path.open("rb") as stream:
                return msgspec.json.decode(stream.read(_LIMIT_BYTES), type=RunRecord)
        except FileNotFoundError:
            return RunRecord()
        except (OSError, ValueError) as error:
            log.warning("%s: not understood (%s); failures are counted from now on", path, error)
            return RunRecord()

    def _write(self, record: RunRecord) -> None:
        """A disk that refuses costs the count, not the start."""
        self.record = record
        if record == self._saved:
            return
        try:
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self._folder / FILE_NAME, [msgspec.json.encode(record)])
            self._saved = record
        except OSError as error:
            log.error("%s: %s", self._folder / FILE_NAME, error.strerror or error)


def _failed(record: RunRecord, reason: str, *, halves: int = 2) -> RunRecord:
    before = record.failures.get(record.model, Failures())
    now = Failures(before.halves + halves, reason, before.is_known or halves > 1)
    others = {model: one for model, one in record.failures.items() if model != record.model}
    kept = {**others, record.model: now}
    return replace(record, failures=dict(list(kept.items())[-_MODELS:]))
