"""Which range of real numbers the 256 steps of an int8 activation cover."""

from collections.abc import Callable

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.calibrate import Statistics

QMIN, QMAX = -128, 127
_STEPS = QMAX - QMIN
_PERCENTILE = 99.99
_SEARCHED_VALUES = 8192
_SMALLEST_SPAN = 1e-6
"""A tensor that is always zero still needs a positive scale."""

_ENTROPY_BINS, _ENTROPY_STEPS = 2048, 128
_INT8 = np.dtype(np.int8)

RangeChooser = Callable[[Statistics], tuple[float, float]]


def min_max(statistics: Statistics) -> tuple[float, float]:
    """Everything that was seen."""
    return statistics.minimum, statistics.maximum


def percentile(statistics: Statistics) -> tuple[float, float]:
    """All but the rarest hundredth of a percent at each end."""
    low, high = np.percentile(statistics.values, (100 - _PERCENTILE, _PERCENTILE))
    return float(low), float(high)


def least_square_error(statistics: Statistics) -> tuple[float, float]:
    """The range that gives the smallest mean squared error of rounding and clipping together.

    Both ends shrink together over a grid, then each alone (Banner et al. 2019, arXiv:1810.05723, section 3, by
    search instead of an assumed distribution).
    """
    widest = low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    values = statistics.values
    if values.size > _SEARCHED_VALUES:
        values = values[:: values.size // _SEARCHED_VALUES]
    if high - low < _SMALLEST_SPAN:
        return widest
    best = (_error(values, low, high), low, high)
    factors = np.linspace(0.98, 0.3, 35)
    best = min([best, *((_error(values, low * f, high * f), low * f, high * f) for f in factors)])
    _, low, high = best
    for factor in np.linspace(0.95, 0.5, 10):
        best = min(best, (_error(values, low * factor, high), low * factor, high))
    _, low, high = best
    for factor in np.linspace(0.95, 0.5, 10):
        best = min(best, (_error(values, low, high * factor), low, high * factor))
    # The few values that were searched may have missed the rare large ones, which cost most when clipped.
    every = statistics.values
    return best[1:] if _error(every, *best[1:]) <= _error(every, *widest) else widest


def _error(values: Array, low: float, high: float) -> float:
    scale, zero_point = scale_of(low, high)
    steps = np.clip(np.rint(values / scale) + zero_point, QMIN, QMAX)
    difference = (steps - zero_point) * scale - values
    return float(difference @ difference)


def entropy(statistics: Statistics) -> tuple[float, float]:
    """The range that loses least information, by the Kullback-Leibler divergence of what is left from what was.

    The threshold search of Migacz 2017 ("8-bit inference with TensorRT", GTC), on magnitudes: the histogram is cut at
    each of a row of thresholds, what lies beyond falls into the last bin, and the rest is merged into 128 steps.
    """
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    largest = max(-low, high)
    if largest < _SMALLEST_SPAN:
        return low, high
    # Zeros are exact in every range; the many that a ReLU leaves would drown what the rest loses.
    magnitudes = np.abs(statistics.values[statistics.values != 0])
    counts, _ = np.histogram(magnitudes, bins=_ENTROPY_BINS, range=(0.0, largest))
    ends = np.arange(_ENTROPY_STEPS, _ENTROPY_BINS + 1, _ENTROPY_STEPS // 4)
    losses = [_divergence(counts.astype(np.float64), int(end)) for end in ends]
    threshold = largest * float(ends[int(np.argmin(losses))]) / _ENTROPY_BINS
    return max(low, -threshold), min(high, threshold)


def _divergence(counts: Array, end: int) -> float:
    """Of the first ``end`` bins, the rest clipped into the last, from their merger into 128 steps."""
    kept = counts[:end].copy()
    kept[-1] += counts[end:].sum()
    edges = np.linspace(0, end, _ENTROPY_STEPS + 1).astype(int)
    inside = counts[:end]
    filled = inside > 0
    totals = np.add.reduceat(inside, edges[:-1])
    share = np.maximum(np.add.reduceat(filled.astype(np.float64), edges[:-1]), 1.0)
    merged = np.where(filled, np.repeat(totals / share, np.diff(edges)), 0.0)
    p, q = kept / kept.sum(), merged / max(merged.sum(), 1.0)
    both = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q <= 0)].sum())
    # Bins that the merger emptied have no finite divergence: their mass counts as if it were spread over all bins.
    return float(np.sum(p[both] * np.log(p[both] / q[both]))) + lost * float(np.log(end))


def scale_of(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of int8 for a range, widened to hold zero exactly (Jacob et al. 2018, section 2.1)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max(high - low, _SMALLEST_SPAN) / _STEPS))
    return scale, int(np.clip(round(QMIN - low / scale), QMIN, QMAX))


def quantization_of(
    low: float, high: float, *, dtype: np.dtype[np.generic] = _INT8, symmetric: bool = False
) -> Quantization:
    """Per-tensor quantization of a range. int16 is always symmetric (TFLite's kernels demand zero point 0)."""
    if dtype == np.int8 and not symmetric:
        scale, zero_point = scale_of(low, high)
        return Quantization((scale,), (zero_point,))
    largest = max(-low, high, _SMALLEST_SPAN)
    return Quantization((float(np.float32(largest / np.iinfo(dtype).max)),), (0,))  # type: ignore[type-var]  # numpy's stub knows no dtype by name


CHOOSERS: dict[str, RangeChooser] = {
    "minmax": min_max,
    "percentile": percentile,
    "mse": least_square_error,
    "entropy": entropy,
}
