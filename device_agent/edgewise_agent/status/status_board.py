"""What the agent's parts say about themselves, for the page and for Prometheus. Safe between threads."""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEPT_EVENTS = 20

Fact = str | int | float | bool | None


@dataclass(frozen=True)
class StatusEvent:
    """One line of the page's list."""

    ts_ms: int
    name: str
    severity: str
    message: str


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment; what is sent as /status.json."""

    group: str
    device: str
    pid: int
    version: str
    started_ms: int
    now_ms: int
    silent: tuple[str, ...]
    """Parts of the agent that are overdue."""
    facts: dict[str, dict[str, Fact]] = field(default_factory=dict)
    metrics: dict[str, float | int] = field(default_factory=dict)
    metrics_ms: int = 0
    """When the metrics were taken; 0 for never."""
    events: tuple[StatusEvent, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """True while every part is heard from."""
        return not self.silent

    def to_json(self) -> bytes:
        """As /status.json sends it."""
        document: dict[str, Any] = {
            **{name: getattr(self, name) for name in ("group", "device", "pid", "version")},
            **{name: getattr(self, name) for name in ("started_ms", "now_ms", "metrics_ms")},
            "healthy": self.is_healthy,
            "silent": list(self.silent),
            "facts": self.facts,
            "metrics": self.metrics,
            "events": [vars(event) for event in self.events],
        }
        return json.dumps(document, ensure_ascii=False).encode(errors="replace")


class StatusBoard:
    """Parts write, the server reads."""

    def __init__(
        self,
        *,
        group: str,
        device: str,
        version: str = "",
        silent: Callable[[], Mapping[str, float]] = dict,
        now_ms: Callable[[], int] = lambda: max(time.time_ns() // 1_000_000, 0),
    ) -> None:
        """``silent`` tells which parts are overdue."""
        self._group, self._device, self._version, self._silent = group, device, version, silent
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._lock = threading.Lock()
        self._facts: dict[str, dict[str, Fact]] = {}
        self._metrics: dict[str, float | int] = {}
        self._metrics_ms = 0
        self._events: deque[StatusEvent] = deque(maxlen=KEPT_EVENTS)

    def tell(self, part: str, **facts: Fact) -> None:
        """Facts of one part, such as ``tell("broker", url="mqtt://...", connected=True)``; they add up."""
        with self._lock:
            self._facts.setdefault(part, {}).update(facts)

    def forget(self, part: str) -> None:
        """A part that is no more, such as a pipeline that was taken away."""
        with self._lock:
            self._facts.pop(part, None)

    def metrics(self, metrics: Mapping[str, float | int]) -> None:
        """The latest report, instead of the one before."""
        with self._lock:
            self._metrics, self._metrics_ms = dict(metrics), self._now_ms()

    def event(self, name: str, message: str = "", *, severity: str = "info") -> None:
        """One more line; the oldest of KEPT_EVENTS goes."""
        with self._lock:
            self._events.append(StatusEvent(self._now_ms(), name, severity, message))

    def snapshot(self) -> Snapshot:
        """A copy that nobody changes any more; the newest event first."""
        silent = tuple(self._silent())
        with self._lock:
            return Snapshot(
                group=self._group,
                device=self._device,
                pid=os.getpid(),
                version=self._version,
                started_ms=self._started_ms,
                now_ms=self._now_ms(),
                silent=silent,
                facts={part: dict(facts) for part, facts in self._facts.items()},
                metrics=dict(self._metrics),
                metrics_ms=self._metrics_ms,
                events=tuple(reversed(self._events)),
            )
