"""Whether the latest inputs, taken whole, are another mix than the baseline's: a kernel two-sample test.

A mix of other kinds may leave every statistic by itself much as it was, and change how they go together. Two inputs are
compared by

    k(x, y) = exp(-3/4 |r(x) - r(y)|^2 / d - 8 (1 - sum over classes of sqrt(p_x p_y)))

where r are the mid-ranks of the d statistics among all inputs compared, scaled to variance 1, and the sum is
Bhattacharyya's coefficient of the likeliest answers. Of both groups the mean in the space of that kernel is taken;
their distance is the maximum mean discrepancy (Gretton et al. 2012, "A kernel two-sample test", JMLR 13:723), here by
landmarks chosen by chance (Nystroem's approximation; Williams and Seeger 2001). Under no shift every division of all
inputs into groups of these sizes is as likely as the one seen, whatever their distribution is, so divisions are drawn:
the chance holds for baselines of any size. Ranks and landmarks depend on all inputs alike, which that needs.
"""

import math

import numpy as np
import numpy.typing as npt

from edgewise_agent.drift.draws import SUCCESSES, sequential_chance
from edgewise_agent.drift.rows import NONE, Rows
from edgewise_agent.drift.tails import Floats

_LANDMARKS = 128
_OF_STATISTICS, _OF_ANSWERS = 0.75, 8.0
"""How fast inputs become unlike each other with their statistics, and with their answers."""
_RIDGE = 1e-3
_AT_ONCE = 128
"""Divisions drawn at a time: some 2 MB."""
_MOST_DRAWN = 100_000
_SAME = 1e-5
"""Two sums of the same terms in another order are equal."""

Features = npt.NDArray[np.float32]


def mix_chance(kept: Rows, latest: Rows, *, least: float, seed: int) -> float:
    """A p-value that both are drawn from one distribution, whatever it is: it is at most a with a chance of at most a.

    Chances far below ``least`` are not told apart.
    """
    rng = np.random.default_rng(seed)
    features = _features(kept.joined(latest), rng)
    count, window = len(features), len(latest)
    total = features.sum(axis=0)

    def distances(sums: Features) -> Floats:
        apart = sums / window - (total - sums) / (count - window)
        found: Floats = np.square(apart).sum(axis=-1)
        return found

    seen = float(distances(features[len(kept) :].sum(axis=0))) * (1 - _SAME)

    def as_large(size: int) -> npt.NDArray[np.bool_]:
        chosen = rng.random((size, count), np.float32).argpartition(window, axis=1)[:, :window]
        is_latest = np.zeros((size, count), np.float32)
        np.put_along_axis(is_latest, chosen, 1, axis=1)
        larger: npt.NDArray[np.bool_] = distances(is_latest @ features) >= seen
        return larger

    most = min(math.ceil(2 * SUCCESSES / least), _MOST_DRAWN)
    return sequential_chance(as_large, most=most, at_once=_AT_ONCE)[0]


def _features(rows: Rows, rng: np.random.Generator) -> Features:
    """[rows, landmarks] whose inner products are about the kernel."""
    landmarks = rng.permutation(len(rows))[:_LANDMARKS]
    ranks, answers = _ranks(rows.values), _answers(rows, landmarks)
    squares = np.square(ranks).sum(axis=1)
    apart = squares[:, np.newaxis] + squares[landmarks] - 2 * ranks @ ranks[landmarks].T
    alike = answers @ answers[landmarks].T
    kernel = np.exp(-_OF_STATISTICS * apart / max(ranks.shape[1], 1) - _OF_ANSWERS * (1 - alike))
    return _factor(kernel.astype(np.float64), landmarks).astype(np.float32)


def _factor(kernel: Floats, landmarks: npt.NDArray[np.int64]) -> Floats:
    """``kernel``, [rows, landmarks], times the inverse of the landmarks' own Cholesky factor with a ridge, transposed.

    Column by column: LAPACK does the same, and brings half a megabyte of its code into memory for it.
    """
    found = np.zeros_like(kernel)
    for column, row in enumerate(landmarks):
        own = found[row, :column].copy()
        pivot = math.sqrt(kernel[row, column] + _RIDGE - own @ own)
        found[:, column] = (kernel[:, column] - found[:, :column] @ own) / pivot
    return found


def _ranks(values: Floats) -> Features:
    """Mid-ranks of each column scaled to variance 1; 0, the middle, for NaN."""
    found = np.zeros(values.shape, np.float32)
    for column, ranks in zip(values.T, found.T, strict=True):
        ordered = np.sort(column)  # NaN last
        below, not_above = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
        ranks[:] = np.where(column == column, (below + not_above) / (2 * len(column)) - 0.5, 0)
    return found * np.float32(math.sqrt(12))


def _answers(rows: Rows, landmarks: npt.NDArray[np.int64]) -> Features:
    """Square roots of the probabilities, [rows, classes of the landmarks]; others are like none of these."""
    classes = np.union1d(rows.classes[landmarks], [NONE])
    column = np.searchsorted(classes, rows.classes)
    is_one = (classes[np.minimum(column, len(classes) - 1)] == rows.classes) & (rows.probabilities > 0)
    shares = rows.probabilities / np.maximum(rows.probabilities.sum(axis=1, keepdims=True), 1e-6)
    found = np.zeros((len(rows), len(classes)), np.float32)
    found[np.nonzero(is_one)[0], column[is_one]] = np.sqrt(shares[is_one])
    return found
