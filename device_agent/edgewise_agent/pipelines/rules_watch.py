"""Joins rules, sampling, snapshots and offload to the agent: what becomes an event, and what is kept."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.streams import Frame
from edgewise.tasks.classification import Classification
from edgewise_agent.pipelines.answers import told_of
from edgewise_agent.pipelines.seams import Answered
from edgewise_agent.privacy.names import Names
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_agent.snapshots import SnapshotStore, encode_input
from edgewise_messages import Severity

if TYPE_CHECKING:  # rules load a library, which an agent without any does not need
    from edgewise_agent.offload import Offloader, OffloadOutcome
    from edgewise_agent.rules import Fired, RuleSet, Sampler
    from edgewise_agent.rules.facts import Facts

TELL_FAILURES_EVERY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class WatchParts:
    """What it works with; what is None is not done."""

    recorder: Recorder
    rules: "RuleSet | None" = None
    sampler: "Sampler | None" = None
    snapshots: SnapshotStore | None = None
    offloader: "Offloader | None" = None
    names: Names = field(default_factory=lambda: Names(names_leave=True))
    pipeline: str = ""
    """Told in every event, where it is not the main one."""


class RulesWatch:
    """A listener of one pipeline, on its thread. Raises for no answer of a task and for no disk."""

    def __init__(self, parts: WatchParts, *, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._parts, self._mono_s = parts, mono_s
        self._told_failed, self._next_failure_s = 0, 0.0

    def hear(self, answered: Answered) -> None:
        """One answer, and the input it is about. A pipeline's `Listener`."""
        mono_s = self._mono_s()
        outcome = self._consider(answered)
        self._look(answered, mono_s)
        self._sample(answered, mono_s)
        if outcome is not None:
            self._event("offload", "", Severity.INFO, {**outcome.data(), **self._input(answered)})
        self._tell_snapshot_failures(mono_s)

    def metrics(self) -> dict[str, float | int]:
        """For telemetry: counts since the start."""
        found: dict[str, float | int] = {}
        if self._parts.rules is not None:
            found["rules.failures"] = self._parts.rules.failures
        if self._parts.sampler is not None:
            found["sampling.left_out"] = self._parts.sampler.left_out
        return found

    def _look(self, answered: Answered, mono_s: float) -> None:
        if self._parts.rules is None:
            return
        for fired in self._parts.rules.look(answered.answer, mono_s=mono_s, ts_ms=answered.ts_ms):
            data: dict[str, Scalar] = {**fired.data, **self._input(answered)}
            if fired.snapshot and self._parts.snapshots is not None:
                data["snapshot"] = self._keep(fired, answered, self._parts.snapshots)
            self._event(fired.event, fired.message, fired.severity, data)
        trouble = self._parts.rules.take_trouble(mono_s=mono_s)
        if trouble is not None:
            self._event("rule.failed", trouble.last, Severity.WARNING, {**trouble.counts})

    def _consider(self, answered: Answered) -> "OffloadOutcome | None":
        is_asked_about = isinstance(answered.item, Frame) and isinstance(answered.answer, Classification)
        if self._parts.offloader is None or not is_asked_about:
            return None
        facts = _facts_of(answered.answer)
        return self._parts.offloader.consider(
            lambda: encode_input(answered.item), label=facts.label, score=facts.score
        )

    def _keep(self, fired: "Fired", answered: Answered, store: SnapshotStore) -> str:
        """The snapshot's id, or "" when it could not be kept."""
        answer = answered.answer
        details: dict[str, Any] = {
            "message": fired.message,
            "result": answer.to_dict() if hasattr(answer, "to_dict") else str(answer),
            "model_sha256": answered.model_sha256,
            "pipeline": self._parts.pipeline,
            "input": answered.input_name,
        }
        try:
            encoded = encode_input(answered.item, jpeg_quality=store.jpeg_quality)
        except (OSError, ValueError) as error:
            store.fail(f"{fired.rule}: {error}")
            return ""
        kept = store.keep(encoded, rule=fired.rule, ts_ms=fired.ts_ms, details=details)
        return kept.id if kept else ""

    def _sample(self, answered: Answered, mono_s: float) -> None:
        if self._parts.sampler is None:
            return
        label = _facts_of(answered.answer).label
        weight = self._parts.sampler.weight(label, mono_s=mono_s)
        if weight is not None:
            told = {**told_of(answered.answer), "weight": round(weight, 3), **self._input(answered)}
            self._event("prediction", "", Severity.INFO, told)

    def _tell_snapshot_failures(self, mono_s: float) -> None:
        store = self._parts.snapshots
        if store is None or store.failed == self._told_failed or mono_s < self._next_failure_s:
            return
        self._told_failed, self._next_failure_s = store.failed, mono_s + TELL_FAILURES_EVERY_S
        self._event(
            "snapshot.failed", store.last_failure, Severity.WARNING, {"failures_so_far": store.failed}
        )

    def _input(self, answered: Answered) -> dict[str, Scalar]:
        path = getattr(answered.item, "image", None)
        return {"input": self._parts.names.of(path) if isinstance(path, Path) else answered.input_name}

    def _event(self, name: str, message: str, severity: Severity, data: Mapping[str, Scalar]) -> None:
        more: dict[str, Scalar] = {"pipeline": self._parts.pipeline} if self._parts.pipeline else {}
        self._parts.recorder.event(name, message, severity=severity, data={**data, **more})


def _facts_of(answer: Any) -> "Facts":
    from edgewise_agent.rules.facts import (
        facts_of,
    )  # knows every kind of answer; needed by rules, sampling, offload

    return facts_of(answer)
