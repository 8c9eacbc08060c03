"""What a benchmark found, in numbers with their units."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewise.device import Device


@dataclass(frozen=True)
class Latency:
    """How long calls took, in milliseconds. Percentiles are interpolated between the nearest two."""

    runs: int
    min_ms: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class Cold:
    """What the first answer costs in a fresh process, in milliseconds."""

    start_ms: float
    """Importing the SDK and the runtime, and proving that the runtime works."""
    load_ms: float
    """`edgewise.load`."""
    first_ms: float
    """The first call."""

    @property
    def total_ms(self) -> float:
        """Load and first call."""
        return self.load_ms + self.first_ms


@dataclass(frozen=True)
class Stages:
    """Where the time of a prediction goes."""

    preprocess: Latency
    invoke: Latency
    postprocess: Latency


@dataclass(frozen=True)
class FileBenchmark:
    """What one file costs."""

    path: Path
    size_bytes: int
    backend: str
    input: str
    """What it was fed, in words."""
    cold: Cold
    warm: Latency
    stages: Stages | None
    """Only where a picture was given."""
    peak_memory_bytes: int | None
    """The most its process ever held, Python and the runtime included."""
    memory_before_bytes: int | None
    """What that process held with the runtime and without the model."""
    energy_mj: float | None
    """For each call; None where the board cannot tell."""
    placement: dict[str, int] | None = None
    """How many operators ran where; None where the runtime does not tell."""

    @property
    def throughput_per_s(self) -> float:
        """Calls a second, one after the other."""
        return 1000 / self.warm.mean_ms if self.warm.mean_ms else math.inf


@dataclass(frozen=True)
class Benchmark:
    """What one or several files cost on this machine."""

    device: Device
    threads: int
    files: tuple[FileBenchmark, ...]
    energy_source: str
    """What the energy is of; where it is not known, why not."""
    remarks: tuple[str, ...]
    """What happened during the run that makes its numbers worth less."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        files = [
            {
                **asdict(file),
                "path": str(file.path),
                "cold": {**asdict(file.cold), "total_ms": file.cold.total_ms},
                "throughput_per_s": file.throughput_per_s,
            }
            for file in self.files
        ]
        return {
            "device": asdict(self.device),
            "threads": self.threads,
            "files": files,
            "energy_source": self.energy_source,
            "remarks": list(self.remarks),
        }


def latency_of(samples_ms: Sequence[float]) -> Latency:
    """The statistics of at least one sample."""
    ordered = sorted(samples_ms)
    p50, p90, p95, p99 = (_percentile(ordered, percent) for percent in (50, 90, 95, 99))
    mean = math.fsum(ordered) / len(ordered)
    return Latency(len(ordered), ordered[0], mean, p50, p90, p95, p99, ordered[-1])


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """Linear between the two nearest (Hyndman and Fan 1996, definition 7, as in NumPy)."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
