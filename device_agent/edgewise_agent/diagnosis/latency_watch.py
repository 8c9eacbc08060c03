"""Watches the latency of one model and tells when it rose, why, and when it is as before."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewise_agent.diagnosis.causes import FINDERS, WATCHED, Cause
from edgewise_agent.diagnosis.history import History
from edgewise_agent.diagnosis.level import Level, LevelWatch, Turn, more_often
from edgewise_agent.diagnosis.wording import because, no_cause, rise
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_messages import Severity

LATENCY = "model.latency_p95_ms"
_MOVED = "drift.moved"

log = logging.getLogger("edgewise.agent.latency")


@dataclass(frozen=True)
class _Note:
    text: str
    at_s: float


class LatencyWatch:
    """Takes every report. Used on one thread."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        promise_ms: float | None = None,
        pipeline: str = "",
        now_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``promise_ms`` is the p95 that the card promises for this board, ``pipeline`` whose latency it is."""
        self._recorder, self._pipeline, self._now_s, self._now_ms = recorder, pipeline, now_s, now_ms
        self._history = History(WATCHED | {_MOVED})
        self._level = LevelWatch(promise=promise_ms)
        self._note: _Note | None = None
        self._risen_s = 0.0

    def model_changed(self, text: str) -> None:
        """Another model is run from now on, such as ``lite0 was replaced by lite1``; a cause that is known.

        The level to compare with stays the former model's for the next reports, then begins anew.
        """
        self._note = _Note(text, self._now_s())

    def see(self, metrics: Mapping[str, float | int]) -> str | None:
        """Take one report in; the sentence when latency rose or is normal again, which is recorded as an event."""
        now_s = self._now_s()
        self._history.add(metrics, at_s=now_s)
        if LATENCY not in metrics:
            return None
        level = self._level.see(float(metrics[LATENCY]), at_s=now_s)
        if level is None:
            return None
        return self._tell_rise(level, now_s) if level.turn is Turn.ROSE else self._tell_normal(level, now_s)

    def _tell_rise(self, level: Level, now_s: float) -> str:
        causes = self._causes(level)
        if causes:
            why = because(causes, now_s=now_s, now_ms=self._now_ms())
        else:
            can_tell = [finder for finder in FINDERS if finder.can_tell(self._history)]
            unknown = [finder.subject for finder in FINDERS if finder not in can_tell]
            why = no_cause([*(finder.subject for finder in can_tell), "the model"], unknown)
        message = self._named(rise(level)) + why
        self._risen_s = level.began_s
        data: dict[str, Scalar] = {
            "p95_before_ms": round(level.before, 3),
            "p95_now_ms": round(level.now, 3),
            "cause": causes[0].text if causes else None,
            "since_ms": round(self._now_ms() - (now_s - causes[0].since_s) * 1000) if causes else None,
            "remedy": causes[0].remedy if causes else None,
        }
        log.warning("latency rose: %s", message)
        self._recorder.event("latency.rose", message, severity=Severity.WARNING, data=self._with_name(data))
        if self._note is not None:
            self._note = None
            self._level.restart()
        return message

    def _tell_normal(self, level: Level, now_s: float) -> str:
        lasted_s = level.began_s - self._risen_s
        message = self._named(f"p95 is {level.now:.3g} ms again after {_duration(lasted_s)}")
        log.info("latency normal: %s", message)
        data: dict[str, Scalar] = {"p95_now_ms": round(level.now, 3), "lasted_s": round(lasted_s)}
        self._recorder.event("latency.normal", message, data=self._with_name(data))
        return message

    def _causes(self, level: Level) -> list[Cause]:
        """The change of model first, as it is known; then what was found; drift last, as it only coincides."""
        causes = []
        if self._note is not None:
            causes.append(Cause(f"a change of model: {self._note.text}", self._note.at_s, "see its card"))
        if not level.is_promise:
            found = [finder.find(self._history, level.began_s) for finder in FINDERS]
            causes += [cause for cause in found if cause is not None]
        return causes + ([] if level.is_promise else self._drift(level))

    def _drift(self, level: Level) -> list[Cause]:
        before = [value > 0 for value in self._history.before(_MOVED, level.began_s)]
        if not more_often(before, [value > 0 for value in self._history.since(_MOVED, level.began_s)]):
            return []
        since_s = self._history.began_s(_MOVED, bool)
        remedy = "look at what the camera sees"
        return [Cause("drift of the inputs", level.began_s if since_s is None else since_s, remedy)]

    def _named(self, text: str) -> str:
        return f"{self._pipeline}: {text}" if self._pipeline else text

    def _with_name(self, data: dict[str, Scalar]) -> dict[str, Scalar]:
        return {**data, "pipeline": self._pipeline} if self._pipeline else data


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
