"""A LiveModel over one of the agent's pipelines."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import edgewise
from edgewise.streams import Frame
from edgewise_agent.pipelines.answers import timings_of, told_of
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.pipeline import Answered, Pipeline
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.updates.live_model import ModelHealth, ShadowReport

LATENCIES = 256
WAITING = 4
"""Live inputs that wait for a candidate; while it is behind, others pass it by, and the pipeline is not held up."""
LOOK_S = 0.5
COMPARED = ("label", "detections", "labels", "poses", "anomalous")
"""What of an answer must be equal; of other tasks only errors and latency are judged."""
FEWEST_FOR_P95 = 2


class LivePipeline:
    """Hears the pipeline's answers. Sound and measurements, which come in windows, are not shadowed."""

    def __init__(self, pipeline: Pipeline, settings: PipelineSettings) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        pipeline.listen(self)

    def hear(self, answered: Answered) -> None:
        """Each live answer, on the pipeline's thread."""
        timings = timings_of(answered.answer)
        if timings is not None:
            self._latencies_ms.append(timings.total_ms)

    def shadow(
        self, path: Path, *, inputs: int, within_s: float, should_stop: Callable[[], bool]
    ) -> ShadowReport:
        """Ask another model about the pictures that this one answers."""
        heard = _Heard()
        slot = ModelSlot(self._settings, path)
        self._pipeline.listen(heard)
        try:
            return _compare(slot, heard.until(time.monotonic() + within_s, should_stop), inputs)
        finally:
            self._pipeline.unlisten(heard)
            slot.close()

    def switch(self, path: Path) -> None:
        """Between two inputs."""
        self._pipeline.exchange(path)
        self._latencies_ms.clear()

    def health(self) -> ModelHealth:
        """Counters since the agent started; latencies since the last switch."""
        inferences, errors = self._pipeline.counts
        return ModelHealth(
            inferences,
            errors,
            p95_ms=_p95(list(self._latencies_ms)),
            promise_ms=self._pipeline.slot.promise_ms,
            drift_moved=self._pipeline.drift_moved,
            busy_s=self._pipeline.busy_s,
        )


class _Heard:
    """Live answers to pictures, for one shadow run."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Answered] = queue.Queue(WAITING)

    def hear(self, answered: Answered) -> None:
        if isinstance(answered.item, Frame) and not self._waiting.full():
            self._waiting.put_nowait(answered)

    def until(self, give_up_s: float, should_stop: Callable[[], bool]) -> Iterator[Answered]:
        while time.monotonic() < give_up_s and not should_stop():
            try:
                yield self._waiting.get(timeout=LOOK_S)
            except queue.Empty:
                continue


def _compare(slot: ModelSlot, heard: Iterator[Answered], inputs: int) -> ShadowReport:
    agreed = errors = seen = 0
    own: list[float] = []
    others: list[float] = []
    for answered in heard:
        seen += 1
        try:
            answers = [answer for answer, _ in slot.answers(answered.item)]
        except (edgewise.EdgewiseError, OSError):
            errors += 1
        else:
            agreed += len(answers) == 1 and _is_alike(answers[0], answered.answer)
            for answer, latencies_ms in ((answered.answer, own), (answers[0], others)):
                timings = timings_of(answer)
                if timings is not None:
                    latencies_ms.append(timings.total_ms)
        if seen >= inputs:
            break
    return ShadowReport(seen, agreed, errors, _median(others), _median(own))


def _is_alike(one: Any, other: Any) -> bool:
    told, told_by_other = told_of(one), told_of(other)
    return all(told.get(name) == told_by_other.get(name) for name in COMPARED)


def _median(latencies_ms: Sequence[float]) -> float | None:
    return median(latencies_ms) if latencies_ms else None


def _p95(latencies_ms: Sequence[float]) -> float | None:
    if len(latencies_ms) < FEWEST_FOR_P95:
        return None
    return quantiles(latencies_ms, n=20, method="inclusive")[-1]
