"""Stamps what happened with clock, boot and sequence number, and puts it into the outbox."""

import math
from collections.abc import Mapping

from edgewise_agent.clock import TimeSource
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.status.status_board import StatusBoard
from edgewise_messages import Clock, Event, Severity, Telemetry, encode_record
from edgewise_messages.topics import Channel

TEXT_LIMIT = 1000
"""Characters of a message or a text value: enough for a person, and far below what the schema refuses."""
NAME_LIMIT = 128
_UNLISTED = frozenset({"prediction"})
"""Too many for the status page's short list."""

Scalar = float | int | bool | str | None


class Recorder:
    """Makes records of one boot."""

    def __init__(
        self, outbox: Outbox, clock: TimeSource, *, boot: str, board: StatusBoard | None = None
    ) -> None:
        """``board`` shows what is recorded on the device itself."""
        self._board = board
        self._outbox = outbox
        self._clock = clock
        self.boot = boot

    def telemetry(self, metrics: Mapping[str, float | int], *, durable: bool = False) -> int:
        """Record the metrics; a value that is not finite is no reading and is left out."""
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if self._board is not None:
            self._board.metrics(finite)

        def build(seq: int) -> bytes:
            now_ms, mono_ns, state = (
                self._now()
            )  # under the outbox's lock: numbers and times are in one order
            return encode_record(
                Telemetry(
                    ts_ms=now_ms, mono_ns=mono_ns, boot=self.boot, seq=seq, clock=state, metrics={**finite}
                )
            )

        return self._outbox.append(Channel.TELEMETRY, build, durable=durable)

    def event(
        self,
        name: str,
        message: str = "",
        *,
        severity: Severity = Severity.INFO,
        data: Mapping[str, Scalar] | None = None,
        durable: bool = False,
    ) -> int:
        """Record that something happened once; texts are cut to what a fleet accepts."""
        values = {key[:NAME_LIMIT]: _cut(value) for key, value in (data or {}).items() if key}
        if self._board is not None and name not in _UNLISTED:
            self._board.event(name, _text(message), severity=severity.value)

        def build(seq: int) -> bytes:
            now_ms, mono_ns, state = (
                self._now()
            )  # under the outbox's lock: numbers and times are in one order
            return encode_record(
                Event(
                    ts_ms=now_ms,
                    mono_ns=mono_ns,
                    boot=self.boot,
                    seq=seq,
                    clock=state,
                    name=name[:NAME_LIMIT],
                    severity=severity,
                    message=_text(message),
                    data=values,
                )
            )

        return self._outbox.append(Channel.EVENT, build, durable=durable)

    def now_ms(self) -> int:
        """The wall clock, milliseconds since 1970 UTC."""
        return self._clock.now_ms()

    def mono_ns(self) -> int:
        """The monotonic clock of this boot, nanoseconds."""
        return self._clock.mono_ns()

    def _now(self) -> tuple[int, int, Clock]:
        mono_ns = self._clock.mono_ns()  # first: see SparkplugSession._births
        return self._clock.now_ms(), mono_ns, self._clock.state()


def _cut(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(value: str) -> str:
    """Cut to length; a file's name may hold bytes that are no text, and a record holds text only."""
    return value[:TEXT_LIMIT].encode(errors="replace").decode()
