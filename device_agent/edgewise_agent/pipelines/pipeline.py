"""One model and what it looks at, on a thread of its own, for as long as the device runs."""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import edgewise
from edgewise.preprocess.picture import picture_size_wh
from edgewise.streams import Frame, Live
from edgewise.streams.choice import AnySource
from edgewise_agent.drift import Observation
from edgewise_agent.pipelines.answers import confidence_of, timings_of, told_of
from edgewise_agent.pipelines.drift_watch import DriftWatch
from edgewise_agent.pipelines.duty import Duty, DutyCycle
from edgewise_agent.pipelines.model_metrics import ModelMetrics
from edgewise_agent.pipelines.schedule import Schedule
from edgewise_agent.pipelines.seams import Answered, Follower, Item, Listener, Slot, name_of
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.privacy.names import Names
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_agent.service.heartbeat import Beat, never_mind
from edgewise_messages import Severity
from edgewise_messages.metrics import PIPELINE_SEPARATOR

MAIN = "main"
"""The pipeline whose metrics bear the standard names; those of others begin with their name and a slash."""
FAILURE_EVENT_EVERY_S = 60.0
"""A folder full of broken pictures makes one event per this time; all of them are counted."""
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""A source that fails is opened again, later and later."""
LONGEST_INFERENCE_S = 60.0
"""Within this an inference is over, or hangs."""
MEASURE_EVERY_S = 1.0
"""The size of so few pictures is looked at: a file is opened for it."""
IDLE_LOOK_S = 1.0
"""How often a paused pipeline looks whether it may go on."""

log = logging.getLogger("edgewise.agent.pipeline")


class Pipeline:
    """Started once, stopped once. What it does with an answer: metrics, drift, events, listeners."""

    def __init__(
        self,
        name: str,
        settings: PipelineSettings,
        slot: Slot,
        *,
        source: Callable[[], AnySource],
        recorder: Recorder,
        duty: DutyCycle | None = None,
        drift: Callable[[], DriftWatch | None] = lambda: None,
        on_end: Callable[[str], None] = lambda name: None,
        local_time: Callable[[], time.struct_time] = time.localtime,
        names: Names | None = None,
        beat: Beat = never_mind,
        at_work: Callable[[], AbstractContextManager[None]] = nullcontext,
        on_exchange: Callable[[str], None] = lambda text: None,
        mark: Callable[[bool], None] = lambda is_busy: None,
        longest_s: float = LONGEST_INFERENCE_S,
        first_wait_s: float = 0.0,
    ) -> None:
        """``source`` makes a source that is not open; ``drift`` a watch for the model that is in the slot.

        ``beat`` hears by when an inference will be over, ``at_work`` is entered around each, ``mark`` is told when
        one begins and ends. An inference is over within ``longest_s``, or hangs. The first input waits.
        """
        self._mark, self._longest_s, self._first_wait_s = mark, longest_s, first_wait_s
        self._beat, self._at_work, self._on_exchange = beat, at_work, on_exchange
        self.name, self.slot = name, slot
        self._settings, self._source, self._recorder = settings, source, recorder
        self._duty, self._make_drift, self._on_end, self._local_time = duty, drift, on_end, local_time
        self._names = names or Names(names_leave=True)
        self._schedule = Schedule(settings.schedule)
        self._listeners: list[Listener] = []
        self._follower: Follower | None = None
        self._metrics = ModelMetrics(now_ns=recorder.mono_ns())
        self._drift = drift()
        self._model_turn = threading.Lock()
        """Held during an inference, and while the model is exchanged."""
        self._busy_since_s: float | None = None
        self._next_measure_s = 0.0
        self._told_failure_s: dict[str, float] = {}
        self._stopping = threading.Event()
        self._open_source: AnySource | None = None
        self._thread = threading.Thread(target=self._work, name=f"pipeline {name}", daemon=True)

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` of every answer from now on."""
        self._listeners = [*self._listeners, listener]

    def unlisten(self, listener: Listener) -> None:
        """No longer."""
        self._listeners = [one for one in self._listeners if one is not listener]

    def follow(self, follower: Follower | None) -> None:
        """Let it see every input from now on; None ends that. There is one at a time."""
        self._follower = follower

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End after the input at hand; call `join` afterwards."""
        self._stopping.set()
        source = self._open_source
        if source is not None:
            source.close()

    def join(self, timeout_s: float) -> bool:
        """Whether it ended within this time."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def exchange(self, path: Path) -> None:
        """Another model between two inputs. On failure the old one goes on. Raises what the slot does."""
        with self._model_turn:
            before = self.slot.info().name
            self.slot.exchange(path)
            self._drift = self._make_drift()
            if self._follower is not None:
                self._follower.anew()
        self._on_exchange(f"{before} was replaced by {self.slot.info().name}")

    def metrics(self) -> dict[str, float | int]:
        """Since the last call, by standard names; those of other pipelines than `main` begin with the name."""
        drift = self._drift
        found = {
            **self._metrics.take(now_ns=self._recorder.mono_ns()),
            **(drift.metrics() if drift is not None else {}),
        }
        return {self.metric_name(name): value for name, value in found.items()}

    def metric_name(self, name: str) -> str:
        """As this pipeline reports it."""
        return name if self.name == MAIN else f"{self.name}{PIPELINE_SEPARATOR}{name}"

    @property
    def counts(self) -> tuple[int, int]:
        """Inferences and errors so far."""
        return self._metrics.inferences, self._metrics.errors

    @property
    def dropped(self) -> int:
        """Inputs that were left out because the model was busy, so far."""
        return self._metrics.dropped_inputs

    @property
    def drift_moved(self) -> int:
        """How many statistics have drifted from the model's baseline."""
        return int(self._drift.metrics().get("drift.moved", 0)) if self._drift is not None else 0

    @property
    def busy_s(self) -> float:
        """How long the inference at hand has been taking; 0 between two."""
        began_s = self._busy_since_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def save(self) -> None:
        """Keep what outlives the process."""
        if self._drift is not None:
            self._drift.save()

    def _work(self) -> None:
        retry_s = FIRST_RETRY_S
        self._stopping.wait(self._first_wait_s)
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                has_ended = self._drain()
            except Exception as error:  # whatever a source does, the device goes on
                is_known = isinstance(error, edgewise.EdgewiseError | OSError)
                self._failed("source.failed", str(error) if is_known else repr(error))
                has_ended = False
                retry_s = FIRST_RETRY_S if time.monotonic() - began_s > LONGEST_RETRY_S else retry_s
                self._stopping.wait(retry_s)
                retry_s = min(retry_s * 2, LONGEST_RETRY_S)
            if has_ended and not self._settings.loop and not self._stopping.is_set():
                self._event("source.ended", "every input was looked at once")
                self._on_end(self.name)
                return
            if has_ended:
                self._stopping.wait(min(IDLE_LOOK_S, max(self._settings.interval_s, 0.01)))

    def _drain(self) -> bool:
        """Open the source, look at all of it; True when it ended, False when the pipeline is to pause."""
        if not self._may_work():
            self._stopping.wait(IDLE_LOOK_S)
            return False
        source = self._source()
        if source.is_live and not isinstance(source, Live):
            source = Live(source)
        dropped = 0
        self.slot.begin_anew()
        if self._follower is not None:
            self._follower.anew()
        source.open()
        self._open_source = source
        try:
            while not self._stopping.is_set():
                item = source.read()
                if item is None:
                    return True
                busy_s = self._look(item)
                dropped_now = int(getattr(source, "dropped", 0))
                if dropped_now > dropped:
                    self._metrics.dropped(dropped_now - dropped)
                    dropped = dropped_now
                if isinstance(item, Frame):
                    self._pause(busy_s)
                if not self._may_work():
                    return False
            return False
        finally:
            self._open_source = None
            source.close()

    def _may_work(self) -> bool:
        is_paused = self._duty is not None and self._duty.now() is Duty.PAUSED
        return not is_paused and self._schedule.is_open(self._local_time())

    def _pause(self, busy_s: float) -> None:
        interval_s = self._settings.interval_s
        if self._duty is None:
            wait_s = max(interval_s - busy_s, 0.0)
        else:
            wait_s = self._duty.pause_s(self._duty.now(), busy_s=busy_s, interval_s=interval_s)
        if wait_s > 0:
            self._stopping.wait(wait_s)

    def _look(self, item: Item) -> float:
        """One input; how many seconds it took."""
        began_s = time.monotonic()
        self._beat(self._longest_s)
        name = name_of(item)
        follower = self._follower
        answers: list[Any] = []
        taken_ms, has_failed = 0.0, False
        try:
            with self._model_turn, self._at_work():
                self._busy_since_s = time.monotonic()
                self._mark(True)
                mark_s = time.perf_counter()
                for answer, observation in self.slot.answers(item):
                    latency_ms = (time.perf_counter() - mark_s) * 1000
                    self._take(item, name, answer, observation, latency_ms)
                    if follower is not None:
                        answers.append(answer)
                        taken_ms += latency_ms
                    self._busy_since_s, mark_s = time.monotonic(), time.perf_counter()
        except Exception as error:  # whatever one input breaks, the device goes on
            self._metrics.error()
            is_known = isinstance(error, edgewise.EdgewiseError | OSError)
            message = str(error) if is_known else repr(error)
            self._failed("input.failed", self._told(item, message), input_name=self._told(item, name))
            has_failed = True
        if follower is not None:
            self._follow(follower, item, None if has_failed else answers, taken_ms)
        self._busy_since_s = None
        self._mark(False)
        self._beat(math.inf)
        if isinstance(item, Frame) and began_s >= self._next_measure_s:
            self._next_measure_s = began_s + MEASURE_EVERY_S
            self._measure(item)
        return time.monotonic() - began_s

    def _follow(self, follower: Follower, item: Item, answers: list[Any] | None, latency_ms: float) -> None:
        try:
            follower.take(item, answers, latency_ms)
        except Exception as error:  # a model on trial is no reason to stop looking
            log.error("%s: the shadow run ends: %r", self.name, error)
            self.follow(None)

    def _measure(self, frame: Frame) -> None:
        """How large the picture is: larger ones take longer."""
        with contextlib.suppress(edgewise.EdgewiseError, OSError):
            self._metrics.picture(math.prod(picture_size_wh(frame.image)))

    def _take(
        self, item: Item, name: str, answer: Any, observation: Observation | None, latency_ms: float
    ) -> None:
        timings = timings_of(answer)
        latency_ms = timings.total_ms if timings else latency_ms
        self._metrics.inference(latency_ms=latency_ms, timings=timings, confidence=confidence_of(answer))
        if self._drift is not None and observation is not None:
            self._drift.see(observation)
        if self._settings.events == "all":
            self._event(
                "prediction",
                data={"input": self._told(item, name), **told_of(answer), "latency_ms": round(latency_ms, 3)},
            )
        if self._listeners:
            answered = Answered(item, answer, name, self._recorder.now_ms(), self.slot.info().sha256)
            for listener in self._listeners:
                self._tell(listener, answered)

    def _told(self, item: Item, text: str) -> str:
        """As it may leave the device: without the name of a file where the settings say so."""
        if isinstance(item, Frame) and isinstance(item.image, Path):
            return self._names.without(text, [item.image])
        return text

    def _tell(self, listener: Listener, answered: Answered) -> None:
        try:
            listener.hear(answered)
        except Exception as error:  # a rule that fails is no reason to stop looking
            self._failed(
                "rule.failed",
                self._told(answered.item, f"{type(listener).__name__}: {error!r}"),
                input_name=self._told(answered.item, answered.input_name),
            )

    def _failed(self, name: str, message: str, *, input_name: str = "") -> None:
        log.warning("%s: %s", self.name, message)
        now_s = time.monotonic()
        if now_s - self._told_failure_s.get(name, -math.inf) < FAILURE_EVENT_EVERY_S:
            return
        self._told_failure_s[name] = now_s
        data: dict[str, Scalar] = {"errors_so_far": self._metrics.errors}
        if input_name:
            data["input"] = input_name
        self._event(name, message, severity=Severity.WARNING, data=data)

    def _event(
        self,
        name: str,
        message: str = "",
        *,
        severity: Severity = Severity.INFO,
        data: dict[str, Scalar] | None = None,
    ) -> None:
        whose = {} if self.name == MAIN else {"pipeline": self.name}
        self._recorder.event(name, message, severity=severity, data={**whose, **(data or {})})
