"""What is normal, learnt from normal data: a threshold with an honest interval, a mean and covariance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, floor, lgamma, log

import numpy as np

from edgewise.anomaly_card import MAHALANOBIS, NEAREST, AnomalyCard
from edgewise.errors import InvalidInput
from edgewise.tensors import Array


@dataclass(frozen=True)
class FittedThreshold:
    """A threshold, and how often normal inputs are expected to be above it."""

    threshold: float
    false_alarm_rate: float
    """Expected, over all data that might have been drawn."""
    low: float
    """The 95 % interval of the rate that this very threshold has, whatever the distribution of scores."""
    high: float
    samples: int

    def on(self, card: AnomalyCard) -> AnomalyCard:
        """The card with this threshold."""
        return replace(
            card,
            threshold=self.threshold,
            false_alarm_rate=self.false_alarm_rate,
            low=self.low,
            high=self.high,
            samples=self.samples,
        )


def fit_threshold(
    normal_scores: Sequence[float] | Array, *, false_alarm_rate: float = 0.01
) -> FittedThreshold:
    """The lowest of the scores above which at most this share of further normal inputs is expected.

    With m of n independent scores above it, the rate of further ones is distributed as Beta(m + 1, n - m), of mean
    (m + 1) / (n + 1), for any continuous distribution (Wilks, "Determination of sample sizes for setting tolerance
    limits", Ann. Math. Stat. 12 (1941)). Scores of windows that overlap, or that were trained on, are not
    independent: the interval is then too narrow. Raises InvalidInput for too few scores for such a rate.
    """
    scores = np.sort(np.asarray(normal_scores, np.float64).ravel())
    n = len(scores)
    if not 0 < false_alarm_rate < 1:
        raise InvalidInput(f"false_alarm_rate: got {false_alarm_rate}, expected more than 0, less than 1")
    if n and not (np.isfinite(scores).all() and scores[0] >= 0):
        raise InvalidInput(
            "normal_scores: got NaN, infinity or a negative score, expected those of predict()"
        )
    above = floor(false_alarm_rate * (n + 1) * (1 + 1e-12)) - 1
    if above < 0:
        needed = int(np.ceil(1 / false_alarm_rate)) - 1
        raise InvalidInput(
            f"normal_scores: got {n}, expected at least {needed} for a false alarm rate of {false_alarm_rate}; "
            "bring more of them, or ask for a higher rate"
        )
    low, high = (_beta_quantile(share, above + 1, n - above) for share in (0.025, 0.975))
    return FittedThreshold(float(scores[n - 1 - above]), (above + 1) / (n + 1), low, high, n)


def fit_nearest(vectors: Array) -> AnomalyCard:
    """A card without threshold: distance to the nearest of these, [n, d]. Raises InvalidInput, CardError."""
    return AnomalyCard(kind=NEAREST, vectors=tuple(map(tuple, _rows(vectors, 1).tolist())))


def fit_mahalanobis(vectors: Array) -> AnomalyCard:
    """A card without threshold: mean and covariance of these, [n, d], the covariance shrunk towards a sphere.

    How much is by Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    J. Multivariate Analysis 88 (2004), equation 14, so that it can be inverted for few vectors, too.
    Raises InvalidInput, also for vectors that do not vary.
    """
    rows = _rows(vectors, 2)
    n, size = rows.shape
    mean = rows.mean(axis=0)
    centred = rows - mean
    sample = centred.T @ centred / n
    sphere = np.trace(sample) / size
    if not sphere > 0:
        raise InvalidInput(f"vectors: got {n} that are all the same, expected some that vary")
    spread = ((sample - sphere * np.eye(size)) ** 2).sum() / size
    noise = ((centred**2).sum(axis=1) ** 2).sum() / n**2 / size - (sample**2).sum() / n / size
    share = 1.0 if spread == 0 else min(max(noise, 0.0), spread) / spread
    shrunk = share * sphere * np.eye(size) + (1 - share) * sample
    # Of a rank too low for its size a sample may leave no share at all; what is then missing is rounding.
    shrunk += np.eye(size) * sphere * 1e-9
    return AnomalyCard(
        kind=MAHALANOBIS, mean=tuple(mean.tolist()), covariance=tuple(map(tuple, shrunk.tolist()))
    )


def _rows(vectors: Array, least: int) -> Array:
    rows = np.asarray(vectors, np.float64)
    if rows.ndim != 2 or len(rows) < least or not rows.shape[1]:
        raise InvalidInput(f"vectors: got shape {rows.shape}, expected (n, d) of at least {least}")
    if not np.isfinite(rows).all():
        raise InvalidInput("vectors: got NaN or infinity, expected finite numbers")
    return rows


def _beta_quantile(share: float, a: int, b: int) -> float:
    """Where the distribution function of Beta(a, b) is ``share``, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_distribution(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_distribution(x: float, a: int, b: int) -> float:
    """The regularised incomplete beta function: Numerical Recipes, 3rd edition, section 6.4, equation 6.4.5."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_distribution(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    # Lentz's way through the continued fraction 1 / (1 + d1 / (1 + d2 / (1 + ...
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + factor * d or tiny)
            c = 1 + factor / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * value
