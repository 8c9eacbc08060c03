"""Does this runtime still give the answers that the model file says it must?"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.tensors import Array, FloatArray, Quantization

EXACT_DB = 200.0
"""Said of identical answers, whose ratio is infinite; float32 arithmetic ends near 150 dB."""


@dataclass(frozen=True)
class CaseResult:
    """One output of one golden case."""

    case: int
    output: str
    db: float
    """Signal-to-noise ratio against the kept answer; 200 when they are identical, -200 for nonsense."""


@dataclass(frozen=True)
class SelfTest:
    """How a model did on its golden cases."""

    results: tuple[CaseResult, ...]
    tolerance_db: float
    backend: str

    @property
    def worst_db(self) -> float:
        """The least agreement of all outputs of all cases."""
        return min(result.db for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether every output reached the tolerance."""
        return self.worst_db >= self.tolerance_db

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "worst_db": self.worst_db, "passed": self.passed}

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        cases = len({result.case for result in self.results})
        return (
            f"{verdict}: {counted(cases, 'golden case')} in {self.backend}, "
            f"worst {describe_db(self.worst_db)}, needed {self.tolerance_db:.0f} dB"
        )


def counted(count: int, noun: str) -> str:
    """How many of them, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def describe_db(db: float) -> str:
    """A ratio in words."""
    if db >= EXACT_DB:
        return "identical"
    return "nothing in common" if db <= -EXACT_DB else f"{db:.1f} dB"


def agreement_db(kept: Array, got: Array, quantization: Quantization | None = None) -> float:
    """10 log10(signal power / noise power) of ``got`` against ``kept``, between -200 and 200.

    NaN and infinities that both have in the same place are no noise; what one alone has is all noise.
    """
    if kept.shape != got.shape:
        return -EXACT_DB
    signal, answer = _real(kept, quantization), _real(got, quantization)
    if np.array_equal(signal, answer, equal_nan=True):
        return EXACT_DB
    same = (signal == answer) | (np.isnan(signal) & np.isnan(answer))
    signal, answer = np.where(same & ~np.isfinite(signal), 0, [signal, answer])
    noise_power = float(np.square(signal - answer).sum())
    signal_power = float(np.square(signal).sum())
    if not np.isfinite(noise_power) or signal_power == 0:
        return -EXACT_DB
    return float(np.clip(10 * np.log10(signal_power / noise_power), -EXACT_DB, EXACT_DB))


def _real(values: Array, quantization: Quantization | None) -> FloatArray:
    real = quantization.dequantize(values) if quantization else values
    return real.astype(np.float64)
