"""The loop: look, infer, report, answer, until told to stop."""

import contextlib
import logging
import math
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import edgewise
from edgewise_agent.clock import TimeSource
from edgewise_agent.commands import Action, CommandDesk
from edgewise_agent.config import ReportSettings, SourceSettings
from edgewise_agent.diagnosis import LatencyWatch
from edgewise_agent.drift_watch import DriftWatch
from edgewise_agent.errors import SourceError
from edgewise_agent.memory import MemoryKeeper
from edgewise_agent.model_metrics import ModelMetrics
from edgewise_agent.model_runner import Prediction, Runner
from edgewise_agent.outbox import Outbox
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_agent.service.heartbeat import Beat, never_mind
from edgewise_agent.sources.source import Source
from edgewise_agent.vitals.power import PowerWatch
from edgewise_messages import Command, CommandName, Response, Severity

FAILURE_EVENT_EVERY_S = 60.0
"""A folder full of broken images makes one event per this time; all of them are counted."""
NOTHING_TO_READ_WAIT_S = 5.0
AFTER_TROUBLE_WAIT_S = 1.0
LONGEST_STEP_S = 60.0
"""An inference, a report or a command that takes longer hangs."""

log = logging.getLogger("edgewise.agent.loop")


@dataclass(frozen=True)
class Parts:
    """What the loop works with."""

    source: Source
    runner: Runner
    recorder: Recorder
    outbox: Outbox
    clock: TimeSource
    health: Callable[[], Mapping[str, float | int]]
    parse_command: Callable[[bytes], Command]
    respond: Callable[[Response], None]
    drift: DriftWatch | None = None
    beat: Beat = never_mind
    """Hears that the loop lives."""
    power: PowerWatch | None = None
    latency: LatencyWatch | None = None


class Agent:
    """Runs on the calling thread; `stop` and `command` may be called from any thread or signal handler."""

    def __init__(
        self, parts: Parts, *, source: SourceSettings, report: ReportSettings, phase_s: float = 0.0
    ) -> None:
        """``phase_s`` shifts all reports but the first, so that devices started together get out of step."""
        self._parts = parts
        self._source_settings = source
        self._report_settings = report
        self._began_ns = parts.clock.mono_ns()
        self._metrics = ModelMetrics(now_ns=self._began_ns)
        self._inbox: queue.SimpleQueue[tuple[bytes, bool] | None] = queue.SimpleQueue()
        self._memory = MemoryKeeper()
        self._stop_reason = ""
        self._told_failure_s: dict[str, float] = {}
        self._next_input_s = self._next_report_s = self._now_s()
        self._schedule_s = self._now_s() + phase_s - report.interval_s / 2
        actions: dict[str, Action] = {
            CommandName.REPORT_NOW: self._report_now,
            CommandName.STOP: self._stop_by,
        }
        self._desk = CommandDesk(actions, parse=parts.parse_command, clock=parts.clock)

    @property
    def stop_reason(self) -> str:
        """Why it stops or stopped; empty while it runs."""
        return self._stop_reason

    def stop(self, reason: str) -> None:
        """End the loop after the input at hand."""
        self._stop_reason = self._stop_reason or reason
        self._inbox.put(None)

    def command(self, payload: bytes, retained: bool) -> None:
        """Take in a command for the loop to answer."""
        self._inbox.put((payload, retained))

    def run(self) -> None:
        """Until stopped, or until the source ends."""
        while not self._stop_reason:
            if self._now_s() >= self._next_report_s:
                self._schedule_report()
                self._guarded(self._report)
            if self._now_s() >= self._next_input_s:
                self._guarded(self._look)
            self._memory.turn()
            self._wait()
        self._parts.beat(LONGEST_STEP_S)
        self._guarded(self._report)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Whatever goes wrong in one step, the device goes on."""
        try:
            step()
        except Exception as error:
            log.error("unexpected error: %r", error, exc_info=log.isEnabledFor(logging.DEBUG))
            self._next_input_s = max(self._next_input_s, self._now_s() + AFTER_TROUBLE_WAIT_S)

    def _look(self) -> None:
        """One input, or the reason why there is none."""
        self._next_input_s = self._now_s() + self._source_settings.interval_s
        try:
            path = next(self._parts.source)
        except StopIteration:
            self._parts.recorder.event("source.ended", "every input was looked at once")
            self.stop("source ended")
            return
        except SourceError as error:
            self._failed("source.failed", str(error))
            path = None
        if path is None:
            self._next_input_s = self._now_s() + max(self._source_settings.interval_s, NOTHING_TO_READ_WAIT_S)
            return
        self._infer(path)

    def _infer(self, path: Path) -> None:
        try:
            with self._parts.power.inference() if self._parts.power else contextlib.nullcontext():
                prediction = self._parts.runner.predict(path)
        except Exception as error:  # whatever one input breaks, the device goes on
            self._metrics.error()
            expected = isinstance(error, edgewise.EdgewiseError | OSError)
            self._failed("input.failed", str(error) if expected else repr(error), input_name=path.name)
            return
        self._metrics.inference(
            latency_ms=prediction.latency_ms,
            invoke_ms=prediction.invoke_ms,
            confidence=prediction.confidence,
            read_ms=prediction.read_ms,
            decode_ms=prediction.decode_ms,
            pixels=prediction.pixels,
        )
        if self._parts.drift is not None and prediction.observation is not None:
            self._parts.drift.see(prediction.observation)
        if self._report_settings.events == "all":
            self._tell_prediction(path, prediction)

    def _tell_prediction(self, path: Path, prediction: Prediction) -> None:
        self._parts.recorder.event(
            "prediction",
            data={
                "input": path.name,
                "label": prediction.label,
                "score": round(prediction.score, 6),
                "latency_ms": round(prediction.latency_ms, 3),
            },
        )

    def _failed(self, name: str, message: str, *, input_name: str = "") -> None:
        log.warning("%s", message)
        now_s = self._now_s()
        if now_s - self._told_failure_s.get(name, -math.inf) < FAILURE_EVENT_EVERY_S:
            return
        self._told_failure_s[name] = now_s
        data: dict[str, Scalar] = {"errors_so_far": self._metrics.errors}
        if input_name:
            data["input"] = input_name
        self._parts.recorder.event(name, message, severity=Severity.WARNING, data=data)

    def _schedule_report(self) -> None:
        """The next place on this device's own grid; after a long inference the missed ones are left out."""
        interval_s = self._report_settings.interval_s
        missed = max(math.floor((self._now_s() - self._schedule_s) / interval_s), 0)
        self._schedule_s += (missed + 1) * interval_s
        self._next_report_s = self._schedule_s

    def _report(self) -> None:
        for notice in self._parts.outbox.take_notices():
            self._parts.recorder.event("outbox.replaced", notice, severity=Severity.ERROR)
        outbox = self._parts.outbox.state()
        metrics = {
            **self._metrics.take(now_ns=self._parts.clock.mono_ns()),
            **self._parts.health(),
            **(self._parts.drift.metrics() if self._parts.drift else {}),
            "agent.outbox_records": outbox.records,
            "agent.outbox_bytes": outbox.size_bytes,
            "agent.dropped_records": outbox.dropped,
            "agent.uptime_s": round((self._parts.clock.mono_ns() - self._began_ns) / 1e9, 1),
        }
        self._parts.recorder.telemetry(metrics)
        if self._parts.latency is not None:
            self._parts.latency.see(metrics)

    def _wait(self) -> None:
        """Sleep until something is due; answer commands as they come."""
        while not self._stop_reason:
            due_s = min(self._next_input_s, self._next_report_s) - self._now_s()
            self._parts.beat(max(due_s, 0.0) + LONGEST_STEP_S)
            try:
                item = self._inbox.get(timeout=due_s) if due_s > 0 else self._inbox.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                response = self._desk.handle(item[0], retained=item[1])
                if response is not None:
                    self._parts.respond(response)

    def _report_now(self, command: Command) -> str:
        self._report()
        return "reported"

    def _stop_by(self, command: Command) -> str:
        self.stop(f"asked by command {command.id}")
        return "stopping"

    def _now_s(self) -> float:
        return time.monotonic()
