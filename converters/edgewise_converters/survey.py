"""The written network on all samples there are: how often it is right, and what its device should expect."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgewise.backends import Backend
from edgewise.drift_baseline import DriftBaseline
from edgewise.tensors import Array
from edgewise_converters.baseline import BaselineObserver
from edgewise_converters.errors import InvalidSamples
from edgewise_converters.intervals import ONE_SIDED_95, Interval, Paired, paired_difference, wilson
from edgewise_converters.samples import Sample, Samples, spread
from edgewise_converters.verify import Layouts, run_case, to_stored

MOST_SAMPLES = 2000
"""Asked at most: an interval is then about two points wide."""
_MOST_WANTED = 1_000_000


class Answers(Protocol):
    """A model that answers feeds, such as the original."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """First answers of the original and the converted model on the same samples, each share with its 95 % interval."""

    samples: int
    agreement: Interval
    """Share of samples with the same first answer."""
    drop_bound: float
    """One-sided 95 % bound of the accuracy lost; without labels, of the share of other answers."""
    labelled: int = 0
    original: Interval | None = None
    """Top-1 accuracy, where samples say their class."""
    converted: Interval | None = None
    drop: Interval | None = None
    """The original's accuracy less the converted one's, paired."""


@dataclass(frozen=True)
class Verdicts:
    """Counts of first answers: the same or not, and right or not where the class is known."""

    same: int
    other: int
    right: Paired

    def accuracy(self) -> Accuracy:
        """The shares with their intervals."""
        count, labelled = self.same + self.other, self.right.n
        return Accuracy(
            samples=count,
            agreement=wilson(self.same, count),
            drop_bound=self.drop_bound,
            labelled=labelled,
            original=wilson(self.right.first, labelled) if labelled else None,
            converted=wilson(self.right.second, labelled) if labelled else None,
            drop=paired_difference(self.right) if labelled else None,
        )

    @property
    def drop_bound(self) -> float:
        """See `Accuracy.drop_bound`."""
        if self.right.n:
            return paired_difference(self.right, z=ONE_SIDED_95).high
        return wilson(self.other, self.same + self.other, z=ONE_SIDED_95).high


class Survey:
    """Asks the original once, and then each network that is to be written."""

    def __init__(self, samples: Samples, calibrated_on: Samples, held_out: Samples, *, judge: bool) -> None:
        """``judge`` is for classifiers: first answers are compared on the samples that nothing was tuned on."""
        seen = {id(sample) for sample in calibrated_on.sources}
        unseen = [sample for sample in samples.sources if id(sample) not in seen] or samples.sources
        self.judged = samples.only(spread(unseen, MOST_SAMPLES) if judge else [])
        asked = seen | {id(sample) for sample in held_out.sources + self.judged.sources}
        self.asked = samples.only([sample for sample in samples.sources if id(sample) in asked])
        self._first_answers: dict[int, int] = {}

    def ask_original(self, original: Answers, tick: Callable[[], None]) -> None:
        """Remember the original's first answers."""
        for sample, feed in self.judged.read():
            self._first_answers[id(sample)] = first_answer(original.run(feed))
            tick()

    def check_provable(self, most: float) -> None:
        """Raise InvalidSamples where even a perfect file could not be shown to lose at most ``most``."""
        best = self._verdicts(self._first_answers)
        if best.drop_bound <= most:
            return
        count = best.same + best.other
        wanted = next(
            (n for n in _growing(count) if _scaled(best, n / count).drop_bound <= most), _MOST_WANTED
        )
        raise InvalidSamples(
            f"--max-drop {most:.3g}: {count} samples cannot show it, even a perfect file may lose up to "
            f"{best.drop_bound:.1%} by them (one-sided 95 % bound); give about {wanted} that are not calibrated on"
        )

    def of_network(
        self, backend: Backend, layouts: Layouts, observer: BaselineObserver | None, tick: Callable[[], None]
    ) -> tuple[DriftBaseline | None, Accuracy | None]:
        """What the network does on every sample, in one pass."""
        answers: dict[int, int] = {}
        for sample, inputs, outputs in _asked(backend, self.asked, layouts):
            if observer is not None:
                observer.add(inputs, outputs)
            if id(sample) in self._first_answers:
                answers[id(sample)] = first_answer(outputs)
            tick()
        accuracy = self._verdicts(answers).accuracy() if answers else None
        return observer.result(self.asked.described) if observer else None, accuracy

    def _verdicts(self, answers: Mapping[int, int]) -> Verdicts:
        same = sum(self._first_answers[key] == answer for key, answer in answers.items())
        both = first = second = neither = 0
        for sample in self.judged.sources:
            if sample.truth is None or id(sample) not in answers:
                continue
            before, after = (self._first_answers[id(sample)], answers[id(sample)])
            right = before == sample.truth, after == sample.truth
            both, neither = both + all(right), neither + (not any(right))
            first, second = first + (right == (True, False)), second + (right == (False, True))
        return Verdicts(same, len(answers) - same, Paired(both, first, second, neither))


def first_answer(outputs: Mapping[str, Array]) -> int:
    """The class of the highest score of the first output."""
    return int(np.argmax(next(iter(outputs.values()))))


def check_truths(samples: Samples, scores: int) -> None:
    """Raise InvalidSamples where a sample says a class the model has no score for."""
    for sample in samples.sources:
        if sample.truth is not None and not 0 <= sample.truth < scores:
            raise InvalidSamples(
                f"samples: {sample.name} is of class {sample.truth}, the model has scores 0 to {scores - 1}"
            )


def _asked(
    backend: Backend, samples: Samples, layouts: Layouts
) -> Iterator[tuple[Sample, dict[str, Array], dict[str, Array]]]:
    """Each sample with what the file really takes and gives, as real numbers."""
    specs = backend.inputs()
    for sample, feed in samples.read():
        stored = to_stored(backend, feed, layouts)
        inputs = {spec.name: spec.dequantized(array) for spec, array in zip(specs, stored, strict=True)}
        yield sample, inputs, run_case(backend, stored, layouts)


def _growing(count: int) -> Iterable[int]:
    n = count
    while n < _MOST_WANTED:
        n = n + max(n // 50, 1)
        yield n


def _scaled(verdicts: Verdicts, factor: float) -> Verdicts:
    """The same shares of more samples."""
    table = verdicts.right
    counts = (table.both, table.first_only, table.second_only, table.neither)
    return Verdicts(
        round(verdicts.same * factor),
        round(verdicts.other * factor),
        Paired(*(round(c * factor) for c in counts)),
    )
