"""What the model did since the last report."""

import random
from dataclasses import dataclass, field

SAMPLES = 2048
"""Latencies kept per interval. Above it each further one replaces a random one (Vitter 1985, algorithm R), so
the percentiles stay unbiased and the memory bounded."""
SHORTEST_S = 0.1
"""A throughput over less than this would be noise; it is left out."""


class Sample:
    """A uniform sample of at most SAMPLES of the values added."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._values: list[float] = []
        self._seen = 0

    def add(self, value: float) -> None:
        """Take one value into account."""
        self._seen += 1
        if len(self._values) < SAMPLES:
            self._values.append(value)
            return
        place = self._random.randrange(self._seen)
        if place < SAMPLES:
            self._values[place] = value

    def percentile(self, share: float) -> float | None:
        """The smallest kept value that ``share`` of the values do not exceed; None without values."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        rank = max(-int(-share * len(ordered) // 1), 1)
        return ordered[rank - 1]


@dataclass
class _Interval:
    began_ns: int
    latency_ms: Sample = field(default_factory=Sample)
    invoke_ms: Sample = field(default_factory=Sample)
    read_ms: Sample = field(default_factory=Sample)
    decode_ms: Sample = field(default_factory=Sample)
    inferences: int = 0
    confidence_sum: float = 0.0
    confidences: int = 0
    pixels: int = 0
    pictures: int = 0


class ModelMetrics:
    """Counts since the agent started, distributions since the last `take`."""

    def __init__(self, *, now_ns: int) -> None:
        self._inferences = 0
        self._errors = 0
        self._dropped = 0
        self._interval = _Interval(now_ns)

    def inference(
        self,
        *,
        latency_ms: float,
        invoke_ms: float | None,
        confidence: float | None,
        read_ms: float | None = None,
        decode_ms: float | None = None,
        pixels: int | None = None,
    ) -> None:
        """One input was read and answered; the stages and the picture's size where they are known."""
        if pixels is not None:
            self._interval.pixels += pixels
            self._interval.pictures += 1
        self._inferences += 1
        self._interval.inferences += 1
        self._interval.latency_ms.add(latency_ms)
        stages = (
            (self._interval.read_ms, read_ms),
            (self._interval.invoke_ms, invoke_ms),
            (self._interval.decode_ms, decode_ms),
        )
        for sample, value in stages:
            if value is not None:
                sample.add(value)
        if confidence is not None:
            self._interval.confidence_sum += confidence
            self._interval.confidences += 1

    def error(self) -> None:
        """One input could not be read or run."""
        self._errors += 1

    def dropped(self, inputs: int = 1) -> None:
        """So many inputs came too fast to be looked at."""
        self._dropped += inputs

    @property
    def errors(self) -> int:
        """Inputs that could not be read or run since the agent started."""
        return self._errors

    def take(self, *, now_ns: int) -> dict[str, float | int]:
        """The metrics by their standard names; begins the next interval."""
        done, self._interval = self._interval, _Interval(now_ns)
        seconds = max(now_ns - done.began_ns, 1) / 1e9
        readings: dict[str, float | int | None] = {
            "model.inferences": self._inferences,
            "model.errors": self._errors,
            "model.throughput_per_s": done.inferences / seconds if seconds >= SHORTEST_S else None,
            "model.latency_p50_ms": done.latency_ms.percentile(0.5),
            "model.latency_p95_ms": done.latency_ms.percentile(0.95),
            "model.latency_p99_ms": done.latency_ms.percentile(0.99),
            "model.read_p50_ms": done.read_ms.percentile(0.5),
            "model.read_p95_ms": done.read_ms.percentile(0.95),
            "model.invoke_p95_ms": done.invoke_ms.percentile(0.95),
            "model.decode_p95_ms": done.decode_ms.percentile(0.95),
            "model.dropped_inputs": self._dropped or None,
            "model.invoke_p50_ms": done.invoke_ms.percentile(0.5),
            "model.input_pixels": done.pixels / done.pictures if done.pictures else None,
            "model.confidence_mean": done.confidence_sum / done.confidences if done.confidences else None,
        }
        return {name: _rounded(value) for name, value in readings.items() if value is not None}


def _rounded(value: float | int) -> float | int:
    """Six significant digits: more is noise that costs bytes on every report."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
