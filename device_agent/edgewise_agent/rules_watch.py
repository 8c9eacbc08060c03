"""Joins rules, sampling, snapshots and offload to the agent: what becomes an event, and what is kept."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise_agent.offload import Offloader, OffloadOutcome
from edgewise_agent.privacy.names import Names
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_agent.rules import Fired, RuleSet, Sampler, facts_of
from edgewise_agent.snapshots import SnapshotStore, encode_input
from edgewise_messages import Severity

TELL_FAILURES_EVERY_S = 60.0

log = logging.getLogger("edgewise.agent.rules")


@dataclass(frozen=True, kw_only=True)
class WatchParts:
    """What it works with; what is None is not done."""

    recorder: Recorder
    rules: RuleSet | None = None
    sampler: Sampler | None = None
    snapshots: SnapshotStore | None = None
    offloader: Offloader | None = None
    names: Names = field(default_factory=lambda: Names(names_leave=True))
    pipeline: str = ""
    """Told in every event, where there are several."""
    model_sha256: str = ""


class RulesWatch:
    """Takes every answer of one pipeline, on its thread. Raises for no answer and no disk."""

    def __init__(
        self,
        parts: WatchParts,
        *,
        mono_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._parts, self._mono_s, self._now_ms = parts, mono_s, now_ms
        self._told_failed, self._next_failure_s = 0, 0.0

    def see(self, result: Any, given: Any) -> None:
        """The answer of a task, and the input it is about: whatever `encode_input` takes."""
        try:
            self._see(result, given)
        except Exception as error:  # rules must not end a pipeline
            log.error("unexpected error: %r", error, exc_info=log.isEnabledFor(logging.DEBUG))

    def metrics(self) -> dict[str, float | int]:
        """For telemetry: counts since the start, and what lies on the disk."""
        found: dict[str, float | int] = {}
        if self._parts.rules is not None:
            found["rules.failures"] = self._parts.rules.failures
        if self._parts.sampler is not None:
            found["sampling.left_out"] = self._parts.sampler.left_out
        if self._parts.snapshots is not None:
            found["snapshots.count"] = len(self._parts.snapshots)
            found["snapshots.bytes"] = self._parts.snapshots.size_bytes
            found["snapshots.failures"] = self._parts.snapshots.failed
        if self._parts.offloader is not None:
            found["offload.asked"] = self._parts.offloader.asked
            found["offload.answered"] = self._parts.offloader.answered
        return found

    def _see(self, result: Any, given: Any) -> None:
        mono_s, ts_ms = self._mono_s(), self._now_ms()
        outcome = self._consider(result, given)
        if self._parts.rules is not None:
            for fired in self._parts.rules.look(result, mono_s=mono_s, ts_ms=ts_ms):
                self._tell(fired, result, given)
            trouble = self._parts.rules.take_trouble(mono_s=mono_s)
            if trouble is not None:
                data: dict[str, Scalar] = {**trouble.counts}
                self._event("rule.failed", trouble.last, Severity.WARNING, data)
        self._sample(result, given, mono_s)
        if outcome is not None:
            self._event("offload", "", Severity.INFO, {**outcome.data(), **self._input(given)})
        self._tell_snapshot_failures(mono_s)

    def _consider(self, result: Any, given: Any) -> OffloadOutcome | None:
        if self._parts.offloader is None:
            return None
        facts = facts_of(result)
        if facts.kind != "classification":
            return None
        return self._parts.offloader.consider(
            lambda: encode_input(given), label=facts.label, score=facts.score
        )

    def _tell(self, fired: Fired, result: Any, given: Any) -> None:
        data: dict[str, Scalar] = {**fired.data, **self._input(given)}
        if fired.snapshot and self._parts.snapshots is not None:
            data["snapshot"] = self._keep(fired, result, given)
        self._event(fired.event, fired.message, fired.severity, data)

    def _keep(self, fired: Fired, result: Any, given: Any) -> str:
        """The snapshot's id, or "" when it could not be kept."""
        store = self._parts.snapshots
        if store is None:
            return ""
        details: dict[str, Any] = {
            "message": fired.message,
            "result": result.to_dict() if hasattr(result, "to_dict") else str(result),
            "model_sha256": self._parts.model_sha256,
            "pipeline": self._parts.pipeline,
            **self._input(given),
        }
        try:
            encoded = encode_input(given, jpeg_quality=store.jpeg_quality)
        except (OSError, ValueError) as error:
            store.fail(f"{fired.rule}: {error}")
            return ""
        kept = store.keep(encoded, rule=fired.rule, ts_ms=fired.ts_ms, details=details)
        return kept.id if kept else ""

    def _sample(self, result: Any, given: Any, mono_s: float) -> None:
        if self._parts.sampler is None:
            return
        facts = facts_of(result)
        weight = self._parts.sampler.weight(facts.label, mono_s=mono_s)
        if weight is not None:
            data: dict[str, Scalar] = {
                "label": facts.label,
                "score": round(facts.score, 6),
                "total": facts.total,
            }
            self._event(
                "prediction", "", Severity.INFO, {**data, "weight": round(weight, 3), **self._input(given)}
            )

    def _tell_snapshot_failures(self, mono_s: float) -> None:
        store = self._parts.snapshots
        if store is None or store.failed == self._told_failed or mono_s < self._next_failure_s:
            return
        self._told_failed, self._next_failure_s = store.failed, mono_s + TELL_FAILURES_EVERY_S
        self._event(
            "snapshot.failed", store.last_failure, Severity.WARNING, {"failures_so_far": store.failed}
        )

    def _input(self, given: Any) -> dict[str, Scalar]:
        path = getattr(given, "image", given)
        return {"input": self._parts.names.of(path)} if isinstance(path, Path) else {}

    def _event(self, name: str, message: str, severity: Severity, data: Mapping[str, Scalar]) -> None:
        more: dict[str, Scalar] = {"pipeline": self._parts.pipeline} if self._parts.pipeline else {}
        self._parts.recorder.event(name, message, severity=severity, data={**data, **more})
