"""Joins the drift monitor to the agent: events, metrics, and a state that outlives the process."""

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgewise.atomic_file import write_bytes
from edgewise_agent.drift import Change, DriftMonitor, Observation, Reference, message_of
from edgewise_agent.pipelines.settings import DriftSettings
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_messages import Severity

log = logging.getLogger("edgewise.agent.drift")


class DriftWatch:
    """Takes every observation of a pipeline; `metrics` and `save` may be called from any thread."""

    def __init__(
        self,
        reference: Reference,
        recorder: Recorder,
        settings: DriftSettings,
        *,
        state_file: Path,
        model_sha256: str,
        pipeline: str = "",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Goes on from ``state_file`` where that is of the same model; whatever else it holds is ignored."""
        self._monitor = DriftMonitor(reference, false_alarm_inputs=settings.false_alarm_inputs)
        self._recorder, self._every_s, self._now_s = recorder, settings.every_s, now_s
        self._state_file, self._model_sha256 = state_file, model_sha256
        self._whose: dict[str, Scalar] = {"pipeline": pipeline} if pipeline else {}
        self._lock = threading.Lock()
        self._next_s = now_s()
        self._restore()

    def see(self, observation: Observation) -> None:
        """Take one in; an event tells when a drift starts or ends with it."""
        now_s = self._now_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        with self._lock:
            was_settled = self._monitor.is_settled
            change = self._monitor.add(observation)
            settles = self._monitor.is_settled and not was_settled
        if change is not None:
            self._tell(change)
        if change is not None or settles:
            self.save()

    def metrics(self) -> dict[str, float | int]:
        """By their standard names."""
        with self._lock:
            return self._monitor.readings()

    def save(self) -> None:
        """Keep the state for the next start; where the disk refuses, the next start begins anew."""
        with self._lock:
            state = {"model_sha256": self._model_sha256, **self._monitor.state()}
        try:
            write_bytes(self._state_file, [json.dumps(state, separators=(",", ":")).encode()])
        except OSError as error:
            log.warning("%s: %s", self._state_file, error.strerror or error)

    def _tell(self, change: Change) -> None:
        message = message_of(change, self._monitor)
        log.warning("drift %s: %s", "started" if change.is_start else "ended", message)
        data: dict[str, Scalar] = {
            **self._whose,
            "moved": ", ".join(one.name for one in change.moved),
            "inputs": change.inputs,
        }
        if change.is_start:
            data["window"] = change.moved[0].window
            self._recorder.event("drift.started", message, severity=Severity.WARNING, data=data)
        else:
            self._recorder.event("drift.ended", message, data=data)

    def _restore(self) -> None:
        try:
            state = json.loads(self._state_file.read_bytes())
            if state["model_sha256"] == self._model_sha256:
                self._monitor.restore(state)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            log.warning("%s: not understood (%r); the drift monitor begins anew", self._state_file, error)
