"""What a model did since the last report."""

import threading
from dataclasses import dataclass, field

from ddsketch import DDSketch

from edgewise.tasks.timings import Timings

RELATIVE_ERROR = 0.01
"""Of each percentile: the law of the sketch (Masson, Rim, Lee: "DDSketch", VLDB 2019), whatever the distribution."""
SHORTEST_S = 0.1
"""A throughput over less than this would be noise; it is left out."""


def _sketch() -> DDSketch:
    return DDSketch(RELATIVE_ERROR)


@dataclass
class _Interval:
    began_ns: int
    latency_ms: DDSketch = field(default_factory=_sketch)
    preprocess_ms: DDSketch = field(default_factory=_sketch)
    invoke_ms: DDSketch = field(default_factory=_sketch)
    postprocess_ms: DDSketch = field(default_factory=_sketch)
    pixels: int = 0
    pictures: int = 0
    inferences: int = 0
    confidence_sum: float = 0.0
    confidences: int = 0


class ModelMetrics:
    """Counts since the agent started, distributions since the last `take`. Safe between threads."""

    def __init__(self, *, now_ns: int) -> None:
        self._lock = threading.Lock()
        self._inferences = self._errors = self._dropped = 0
        self._interval = _Interval(now_ns)

    def inference(self, *, latency_ms: float, timings: Timings | None, confidence: float | None) -> None:
        """One input was read and answered; ``timings`` is of its stages, where the SDK tells."""
        with self._lock:
            self._inferences += 1
            now = self._interval
            now.inferences += 1
            now.latency_ms.add(latency_ms)
            if timings is not None:
                now.preprocess_ms.add(timings.preprocess_ms)
                now.invoke_ms.add(timings.invoke_ms)
                now.postprocess_ms.add(timings.postprocess_ms)
            if confidence is not None:
                now.confidence_sum += confidence
                now.confidences += 1

    def error(self) -> None:
        """One input could not be read or run."""
        with self._lock:
            self._errors += 1

    def picture(self, pixels: int) -> None:
        """How large an input was; not of each need it be told."""
        with self._lock:
            self._interval.pixels += pixels
            self._interval.pictures += 1

    def dropped(self, count: int) -> None:
        """So many more inputs were left out because the model was busy."""
        with self._lock:
            self._dropped += count

    @property
    def inferences(self) -> int:
        """Since the agent started."""
        return self._inferences

    @property
    def errors(self) -> int:
        """Inputs that could not be read or run since the agent started."""
        return self._errors

    @property
    def dropped_inputs(self) -> int:
        """Inputs left out since the agent started."""
        return self._dropped

    def take(self, *, now_ns: int) -> dict[str, float | int]:
        """The metrics by their standard names; begins the next interval."""
        with self._lock:
            done, self._interval = self._interval, _Interval(now_ns)
            counts = {"model.inferences": self._inferences, "model.errors": self._errors}
            if self._dropped:
                counts["model.dropped_inputs"] = self._dropped
        seconds = max(now_ns - done.began_ns, 1) / 1e9
        readings: dict[str, float | int | None] = {
            **counts,
            "model.throughput_per_s": done.inferences / seconds if seconds >= SHORTEST_S else None,
            "model.latency_p50_ms": done.latency_ms.get_quantile_value(0.5),
            "model.latency_p95_ms": done.latency_ms.get_quantile_value(0.95),
            "model.latency_p99_ms": done.latency_ms.get_quantile_value(0.99),
            "model.preprocess_p50_ms": done.preprocess_ms.get_quantile_value(0.5),
            "model.preprocess_p95_ms": done.preprocess_ms.get_quantile_value(0.95),
            "model.invoke_p50_ms": done.invoke_ms.get_quantile_value(0.5),
            "model.invoke_p95_ms": done.invoke_ms.get_quantile_value(0.95),
            "model.postprocess_p95_ms": done.postprocess_ms.get_quantile_value(0.95),
            "model.input_pixels": done.pixels / done.pictures if done.pictures else None,
            "model.confidence_mean": done.confidence_sum / done.confidences if done.confidences else None,
        }
        return {name: _rounded(value) for name, value in readings.items() if value is not None}


def _rounded(value: float | int) -> float | int:
    """Four significant digits: the sketch knows two, and more costs bytes on every report."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
