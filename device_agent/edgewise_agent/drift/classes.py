"""Whether the latest answers are of other classes than the baseline's, and whether they change more or less often."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgewise_agent.drift.draws import SUCCESSES, sequential_chance
from edgewise_agent.drift.tails import Floats, chances

Counts: TypeAlias = npt.NDArray[np.int64]

CONCENTRATIONS = (1.0, 4.0, 16.0)
"""How far a class's share may move under the alternative: from all or nothing to a little."""
_AT_ONCE = 250_000
"""Counts drawn at a time: 2 MB."""
_MOST_DRAWN = 4_000_000
"""Counts in all, about half a second of a desktop's core: only when a drift begins."""
_SAME = 1e-9
"""Two sums of the same terms in another order are equal."""
OTHER = -1
"""The class of all answers that the baseline lumps together."""


def class_chance(
    baseline: Mapping[int, int], latest: Mapping[int, int], *, least: float = 1e-4, seed: int = 0
) -> float:
    """A p-value that both are drawn from one distribution, whatever it is: it is at most a with a chance of at most a.

    Given the counts of both together, the latest are a draw without replacement of W out of N. It is drawn again and
    again, until ten draws have a likelihood ratio (Wilks' G) as large as the one seen (`sequential_chance`). Chances
    far below ``least`` are not told apart by draws; where no draw was as large, `class_bound` may say less, and holds
    as well.
    """
    classes = sorted({*baseline, *latest})
    kept = np.array([baseline.get(index, 0) for index in classes], np.int64)
    live = np.array([latest.get(index, 0) for index in classes], np.int64)
    if not kept.sum() or not live.sum():
        return 1.0
    both = kept + live
    seen = float(_ratio(live[np.newaxis], both)[0]) * (1 - _SAME)
    rng = np.random.default_rng(seed)

    def as_large(size: int) -> npt.NDArray[np.bool_]:
        draws = rng.multivariate_hypergeometric(both, int(live.sum()), size=size)
        larger: npt.NDArray[np.bool_] = _ratio(draws, both) >= seen
        return larger

    chance, was_as_large = sequential_chance(
        as_large,
        most=min(math.ceil(2 * SUCCESSES / least), _MOST_DRAWN // len(classes)),
        at_once=_AT_ONCE // len(classes) + 1,
    )
    return chance if was_as_large else min(chance, class_bound(baseline, latest))


def _ratio(live: Counts, both: Counts) -> Floats:
    """Twice the log of the likelihood ratio of two distributions to one, [draws], less a constant of ``both``."""
    log = np.log(np.maximum(np.arange(both.max() + 1), 1))  # 0 log 0 is 0
    kept = both - live
    found: Floats = 2 * (live * log[live] + kept * log[kept]).sum(axis=-1)
    return found


def class_bound(baseline: Mapping[int, int], latest: Mapping[int, int]) -> float:
    """An upper bound of such a p-value, without drawing.

    Given the counts m of both together, the latest follow a multivariate hypergeometric law H. Against it stands a law
    Q under which each class has a share of its own, beta-binomial(m; s W / N, s (N - W) / N), made to add up to W.
    E = Q / H has the mean 1 under H, so by Markov's inequality P(E >= 1 / p) <= p: an e-value (Vovk and Wang 2021,
    "E-values: calibration, combination and applications", Ann. Stat. 49:1736), and so has the mean of several.
    """
    window, total = sum(latest.values()), sum(baseline.values()) + sum(latest.values())
    if not window or window == total:
        return 1.0
    pairs = [
        (baseline.get(index, 0) + latest.get(index, 0), latest.get(index, 0))
        for index in {*baseline, *latest}
    ]
    choose = math.lgamma(total + 1) - math.lgamma(window + 1) - math.lgamma(total - window + 1)
    logs = [choose + _log_alternative(pairs, s, window, total) for s in CONCENTRATIONS]
    most = max(logs)
    log_mean = most + math.log(sum(math.exp(log - most) for log in logs) / len(logs))
    return math.exp(-max(min(log_mean, 700.0), 0.0))


def _log_alternative(pairs: Sequence[tuple[int, int]], s: float, window: int, total: int) -> float:
    """The log of Q, less the binomial coefficients that H has too."""
    a, b = s * window / total, s * (total - window) / total
    found = sum(_log_beta(latest + a, both - latest + b) - _log_beta(a, b) for both, latest in pairs)
    sums = np.ones(1)
    for both, times in Counter(both for both, _ in pairs).items():
        single = _beta_binomial(both, a, b)[: window + 1]
        for _ in range(times):
            sums = np.convolve(sums, single)[: window + 1]
    return found - math.log(sums[window])


def _beta_binomial(m: int, a: float, b: float) -> Floats:
    """Its probabilities for 0 to m, each from the one before."""
    x = np.arange(m)
    ratios = np.log((m - x) * (x + a) / ((x + 1) * (m - x - 1 + b)))
    logs = _log_beta(a, m + b) - _log_beta(a, b) + np.concatenate(([0.0], np.cumsum(ratios)))
    probabilities: Floats = np.exp(logs)
    return probabilities


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


class SwitchTest:
    """How often one answer differs from the one before, over pairs that share no input, against the baseline's.

    The order of the baseline's samples is not known and says nothing (files by name): they are paired by chance.
    """

    def __init__(self, baseline: Mapping[int, int], *, window: int) -> None:
        answers = [index for index, count in baseline.items() for _ in range(count if index != OTHER else 0)]
        answers += [-2 - place for place in range(baseline.get(OTHER, 0))]  # rare ones: each of its own
        np.random.default_rng(0).shuffle(answers)
        self._pairs, self._window = len(answers) // 2, window // 2
        switches = sum(answers[2 * i] != answers[2 * i + 1] for i in range(self._pairs))
        self.share = switches / self._pairs if self._pairs else 0.0
        """Of the baseline's pairs."""
        self._more = chances(switches, self._pairs, self._window)
        self._fewer = chances(self._pairs - switches, self._pairs, self._window)

    tests = 2

    def look(self, answers: Sequence[int]) -> float:
        """The chance of as many or as few switches in the latest ``window`` answers."""
        switches = sum(answers[2 * i] != answers[2 * i + 1] for i in range(self._window))
        return float(min(self._more[switches], self._fewer[self._window - switches]))


def switch_share(answers: Sequence[int]) -> float:
    """How many answers differ from the one before, as a share."""
    pairs = list(pairwise(answers))
    return sum(before != after for before, after in pairs) / len(pairs) if pairs else 0.0
