"""A LiveModel over one of the agent's pipelines."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from edgewise_agent.memory import give_back
from edgewise_agent.pipelines.answers import timings_of
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.pipeline import Pipeline
from edgewise_agent.pipelines.seams import Answered
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.updates.live_model import ModelHealth, ShadowReport
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.updates.shadowing import Heard, ShadowRun

LATENCIES = 256
FEWEST_FOR_P95 = 2


class LivePipeline:
    """Hears the pipeline's answers."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: PipelineSettings,
        updates: UpdateSettings,
        *,
        on_switch: Callable[[], None] = lambda: None,
        tidy: Callable[[], object] = give_back,
    ) -> None:
        """``on_switch`` is called when another model runs, ``tidy`` when a candidate was closed."""
        self._tidy = tidy
        self._pipeline, self._on_switch = pipeline, on_switch
        self._run: ShadowRun | None = None
        self._settings, self._updates = settings, updates
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
        """Ask another model about what this one answers, see `ShadowRun`."""
        try:
            return self._beside(path, inputs, within_s, should_stop)
        finally:
            self._tidy()

    def _beside(
        self, path: Path, inputs: int, within_s: float, should_stop: Callable[[], bool]
    ) -> ShadowReport:
        running: Any = self._pipeline.slot
        with contextlib.closing(ModelSlot(self._settings, path)) as candidate:
            run = ShadowRun(candidate, running, self._updates, dropped=lambda: self._pipeline.dropped)
            self._run, heard = run, Heard(running)
            self._pipeline.follow(heard)
            try:
                return run.run(heard, inputs=inputs, within_s=within_s, should_stop=should_stop)
            finally:
                self._pipeline.follow(None)
                self._run = None

    def switch(self, path: Path) -> None:
        """Between two inputs."""
        self._pipeline.exchange(path)
        self._on_switch()
        self._latencies_ms.clear()

    @property
    def candidate_busy_s(self) -> float:
        """See `LiveModel.candidate_busy_s`."""
        run = self._run
        began_s = run.busy_since_s if run is not None else None
        return time.monotonic() - began_s if began_s is not None else 0.0

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


def _p95(latencies_ms: Sequence[float]) -> float | None:
    if len(latencies_ms) < FEWEST_FOR_P95:
        return None
    return quantiles(latencies_ms, n=20, method="inclusive")[-1]
