"""How well one model's answers agree with another's."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.intervals import Interval, wilson

IDENTICAL_DB = 200.0
"""What is said instead of infinity; float32 cannot come near it otherwise."""


@dataclass(frozen=True)
class OutputAgreement:
    """One output, over all cases."""

    name: str
    snr_db: float
    """10 log10(sum of squares / sum of squared differences)."""
    cosine: float
    max_error: float


@dataclass(frozen=True)
class Agreement:
    """All outputs, over all cases."""

    cases: int
    outputs: tuple[OutputAgreement, ...]
    top1: float | None = None
    """Part of the distinct cases whose first answer is the same; None for what does not classify."""
    distinct: int = 0
    """Cases that are no repetition of an earlier one: what ``top1`` is counted on."""

    @property
    def top1_interval(self) -> Interval | None:
        """``top1`` with its 95 % interval."""
        if self.top1 is None or not self.distinct:
            return None
        return wilson(round(self.top1 * self.distinct), self.distinct)

    @property
    def worst_db(self) -> float:
        return min(output.snr_db for output in self.outputs)

    @property
    def worst(self) -> OutputAgreement:
        return min(self.outputs, key=lambda output: output.snr_db)


def nothing_agrees(names: Iterable[str], cases: int) -> Agreement:
    """Of a file that does not even run."""
    outputs = tuple(OutputAgreement(name, -IDENTICAL_DB, 0.0, math.inf) for name in names)
    return Agreement(cases, outputs)


@dataclass
class _Sums:
    signal: float = 0.0
    noise: float = 0.0
    product: float = 0.0
    other: float = 0.0
    max_error: float = 0.0


@dataclass
class Meter:
    """Adds up answers case by case: nothing but sums is kept."""

    classifies: bool = False
    cases: int = 0
    distinct: int = 0
    same_top: int = 0
    sums: dict[str, _Sums] = field(default_factory=dict)

    def add(
        self, expected: Mapping[str, Array], actual: Mapping[str, Array], *, repeated: bool = False
    ) -> None:
        """One case: outputs by name, in the same layout. What is no number in one of them alone counts as wrong.

        A ``repeated`` case is no further evidence of first answers.
        """
        for name, want in expected.items():
            got = np.asarray(actual[name], np.float64)
            want = np.asarray(want, np.float64)
            sums = self.sums.setdefault(name, _Sums())
            if got.shape != want.shape:  # another number of results: none can be held against another
                sums.noise = sums.max_error = math.inf
                continue
            # NaN and infinities that agree are no noise; what one side alone has is all noise.
            differs = (want != got) & ~(np.isnan(want) & np.isnan(got))
            difference = np.subtract(want, got, where=differs, out=np.zeros_like(want))
            sums.signal += float(np.sum(np.square(want, where=np.isfinite(want), out=np.zeros_like(want))))
            sums.noise += float(np.sum(np.square(difference)))
            both = np.isfinite(want) & np.isfinite(got)
            sums.product += float(np.sum(np.multiply(want, got, where=both, out=np.zeros_like(want))))
            sums.other += float(np.sum(np.square(got, where=np.isfinite(got), out=np.zeros_like(got))))
            sums.max_error = max(sums.max_error, float(np.abs(difference).max(initial=0.0)))
        self.cases += 1
        self.distinct += not repeated
        if self.classifies and not repeated:
            name = next(iter(expected))
            self.same_top += int(np.argmax(expected[name]) == np.argmax(actual[name]))

    def result(self) -> Agreement:
        """What the cases so far amount to."""
        outputs = tuple(_summary(name, sums) for name, sums in self.sums.items())
        top1 = self.same_top / self.distinct if self.classifies and self.distinct else None
        return Agreement(self.cases, outputs, top1, self.distinct)


def _summary(name: str, sums: _Sums) -> OutputAgreement:
    norm = math.sqrt(sums.signal * sums.other)
    cosine = sums.product / norm if norm else float(sums.signal == sums.other)
    return OutputAgreement(name, decibel(sums.signal, sums.noise), cosine, sums.max_error)


def decibel(signal: float, noise: float) -> float:
    """10 log10(signal / noise), two sums of squares, within plus and minus `IDENTICAL_DB`."""
    if noise == 0:
        return IDENTICAL_DB
    if not math.isfinite(noise) or signal == 0:
        return -IDENTICAL_DB
    return max(min(10 * math.log10(signal / noise), IDENTICAL_DB), -IDENTICAL_DB)
