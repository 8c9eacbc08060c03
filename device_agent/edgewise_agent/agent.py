"""The loop beside the pipelines: report, answer commands, until told to stop."""

import logging
import math
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgewise_agent.clock import TimeSource
from edgewise_agent.commands.desk import Action, CommandDesk
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.diagnosis import LatencyWatch
from edgewise_agent.memory import MemoryKeeper
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.state import written_metrics
from edgewise_agent.pipelines.pipeline import MAIN, Pipeline
from edgewise_agent.recorder import Recorder
from edgewise_agent.service.heartbeat import Beat, never_mind
from edgewise_messages import Command, CommandName, Response
from edgewise_messages.codec import MAX_MESSAGE_BYTES
from edgewise_messages.metrics import split_name

PIPELINE_PATIENCE_S = 10.0
"""What a stop waits for the inputs at hand; a thread that is stuck goes with the process."""

WAITING_LIMIT = 100
"""Commands in memory, each within the limit for messages."""

LONGEST_STEP_S = 60.0
"""Within this the loop is through a report, a command or a slow disk, and an inference is over."""

log = logging.getLogger("edgewise.agent.loop")


@dataclass(frozen=True)
class Parts:
    """What the loop works with."""

    pipelines: Sequence[Pipeline]
    recorder: Recorder
    outbox: Outbox
    clock: TimeSource
    health: Callable[[], Mapping[str, float | int]]
    parse_command: Callable[[bytes], Command]
    respond: Callable[[Response], None]
    guard: CommandGuard
    actions: Mapping[str, Action] = field(default_factory=dict)
    """Of commands beside those that the loop does itself."""
    latency: Mapping[str, LatencyWatch] = field(default_factory=dict)
    """By pipeline."""
    beat: Beat = never_mind


@dataclass(frozen=True)
class _Ended:
    """A pipeline whose source will give nothing any more."""

    pipeline: str


@dataclass(frozen=True)
class _Exchanged:
    """A pipeline that runs another model from now on."""

    pipeline: str
    text: str


class Agent:
    """Runs on the calling thread; `stop`, `command` and `ended` may be called from any thread or signal handler."""

    def __init__(self, parts: Parts, *, report_interval_s: float, phase_s: float = 0.0) -> None:
        """``phase_s`` shifts all reports but the first, so that devices started together get out of step."""
        self._parts = parts
        self._interval_s = report_interval_s
        self._began_ns = parts.clock.mono_ns()
        self._inbox: queue.SimpleQueue[tuple[bytes, bool] | _Ended | _Exchanged | None] = queue.SimpleQueue()
        self._stop_reason = ""
        self._memory = MemoryKeeper()
        self._running = {pipeline.name for pipeline in parts.pipelines}
        self.left_behind: list[str] = []
        """Pipelines whose thread did not come back from its last input."""
        self._next_report_s = self._now_s()
        self._schedule_s = self._now_s() + phase_s - report_interval_s / 2
        actions: dict[str, Action] = {
            CommandName.REPORT_NOW: self._report_now,
            CommandName.STOP: self._stop_by,
            **parts.actions,
        }
        self._desk = CommandDesk(actions, parse=parts.parse_command, clock=parts.clock, guard=parts.guard)

    @property
    def stop_reason(self) -> str:
        """Why it stops or stopped; empty while it runs."""
        return self._stop_reason

    def stop(self, reason: str) -> None:
        """End the loop, and the pipelines after their inputs at hand."""
        self._stop_reason = self._stop_reason or reason
        self._inbox.put(None)

    def command(self, payload: bytes, retained: bool) -> None:
        """Take in a command for the loop to answer; a flood of them is cut off, so that it fills no memory."""
        if len(payload) > MAX_MESSAGE_BYTES:
            log.warning("a command of %d bytes is dropped", len(payload))
        elif self._inbox.qsize() >= WAITING_LIMIT:
            log.warning("%d commands wait already; one is dropped", WAITING_LIMIT)
        else:
            self._inbox.put((payload, retained))

    def ended(self, pipeline: str) -> None:
        """A pipeline's source has ended for good; with the last one the agent stops."""
        self._inbox.put(_Ended(pipeline))

    def exchanged(self, pipeline: str, text: str) -> None:
        """A pipeline runs another model, such as ``lite0 was replaced by lite1``."""
        self._inbox.put(_Exchanged(pipeline, text))

    def run(self) -> None:
        """Until stopped, or until every source has ended."""
        for pipeline in self._parts.pipelines:
            pipeline.start()
        try:
            while not self._stop_reason:
                if self._now_s() >= self._next_report_s:
                    self._schedule_report()
                    self._guarded(self._report)
                self._guarded(self._turn_memory)
                self._guarded(self._wait)
        finally:
            self._stop_pipelines()
        self._guarded(self._report)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Whatever goes wrong in one step, the device goes on."""
        try:
            step()
        except Exception as error:
            log.error("unexpected error: %r", error, exc_info=log.isEnabledFor(logging.DEBUG))

    def _stop_pipelines(self) -> None:
        for pipeline in self._parts.pipelines:
            pipeline.stop()
        give_up_s = self._now_s() + PIPELINE_PATIENCE_S
        for pipeline in self._parts.pipelines:
            if pipeline.join(max(give_up_s - self._now_s(), 0.0)):
                pipeline.save()
            else:
                log.warning("%s: still at its last input; left behind", pipeline.name)
                self.left_behind.append(pipeline.name)

    def _schedule_report(self) -> None:
        """The next place on this device's own grid; after a long delay the missed ones are left out."""
        missed = max(math.floor((self._now_s() - self._schedule_s) / self._interval_s), 0)
        self._schedule_s += (missed + 1) * self._interval_s
        self._next_report_s = self._schedule_s

    def _turn_memory(self) -> None:
        self._memory.turn()

    def _report(self) -> None:
        for notice in self._parts.outbox.take_notices():
            self._parts.recorder.event(notice.name, notice.message, severity=notice.severity)
        of_pipelines: dict[str, float | int] = {}
        for pipeline in self._parts.pipelines:
            of_pipelines |= pipeline.metrics()
        metrics = {**of_pipelines, **self._parts.health(), **self._own_metrics()}
        self._parts.recorder.telemetry(metrics)
        for name, watch in self._parts.latency.items():
            watch.see(_as_seen_by(name, metrics))

    def _own_metrics(self) -> dict[str, float | int]:
        outbox = self._parts.outbox.state()
        return {
            "agent.outbox_records": outbox.records,
            "agent.outbox_bytes": outbox.size_bytes,
            "agent.dropped_records": outbox.dropped,
            "agent.quarantined_records": outbox.quarantined,
            **written_metrics(outbox),
            "agent.uptime_s": round((self._parts.clock.mono_ns() - self._began_ns) / 1e9, 1),
        }

    def _wait(self) -> None:
        """Sleep until a report is due; answer commands as they come."""
        while not self._stop_reason:
            due_s = self._next_report_s - self._now_s()
            self._parts.beat(max(due_s, 0.0) + LONGEST_STEP_S)
            try:
                item = self._inbox.get(timeout=due_s) if due_s > 0 else self._inbox.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                self._take(item)

    def _take(self, item: tuple[bytes, bool] | _Ended | _Exchanged) -> None:
        if isinstance(item, _Ended):
            self._running.discard(item.pipeline)
            if not self._running:
                self.stop("source ended" if len(self._parts.pipelines) == 1 else "every source ended")
        elif isinstance(item, _Exchanged):
            self._memory.again()
            if item.pipeline in self._parts.latency:
                self._parts.latency[item.pipeline].model_changed(item.text)
        else:
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


def _as_seen_by(pipeline: str, metrics: Mapping[str, float | int]) -> dict[str, float | int]:
    """The device's metrics and those of one pipeline, by their plain names."""
    mine = "" if pipeline == MAIN else pipeline
    found: dict[str, float | int] = {}
    for key, value in metrics.items():
        whose, name = split_name(key)
        if whose == mine or (not whose and not name.startswith("model.")):
            found[name] = value
    return found
